// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

func TestShutdownLetsCallsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTestServer(t)
		idle, _ := ts.connect(t, 0)
		p := ts.peer
		p.request(1, 0, "Wait", nil)
		p.request(3, flagRemoteOpen, "Sum", nil)
		handler := <-ts.contexts
		synctest.Wait()
		ended := make(chan error, 1)
		start := time.Now()
		go func() { ended <- ts.Shutdown(context.Background()) }()
		time.Sleep(settleGrace)
		idle.wantEnd("B25: an idle connection is closed")
		p.wantAlive("B25: one with calls is not")
		if st, _ := ts.conn.getState(); st != connStateDraining {
			t.Errorf("the state is %v", st)
		}
		p.request(5, 0, "Echo", wrapperspb.String("late"))
		p.wantStatus("B25: a call that comes later", 5, codes.Unavailable, "ttrpc: server closed")
		if handler.Err() != nil {
			t.Error("B25: a handler's context has ended")
		}
		p.send(3, messageTypeData, flagRemoteClosed, encode(t, wrapperspb.Int64(4)))
		p.wantResult("B25: a stream goes on", 3, wrapperspb.Int64(4))
		ts.answers <- nil
		if err := <-ended; err != nil || time.Since(start) != settleGrace {
			t.Errorf("B25: Shutdown: %v after %v", err, time.Since(start))
		}
		p.wantResult("B25: the answer is flushed", 1, wrapperspb.String("waited"))
		p.wantEnd("B25")
		if n := ts.countConnection(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		idle.conn.Close()
	})
}

// TestShutdownFlushes holds that an answer that the peer reads late is not lost.
func TestShutdownFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTestServer(t)
		a, b := memconn.Pipe(10)
		ts.accept(t.Context(), b)
		p := &rawPeer{t: t, conn: a}
		p.request(1, 0, "Echo", wrapperspb.String("a long answer for such a small pipe"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := ts.Shutdown(ctx); err != context.DeadlineExceeded {
			t.Errorf("B25: Shutdown with an answer that nobody reads: %v", err)
		}
		go p.receive()
		p.wantResult("B25", 1, wrapperspb.String("a long answer for such a small pipe"))
		if err := ts.Shutdown(context.Background()); err != nil {
			t.Errorf("B25: Shutdown again: %v", err)
		}
		a.Close()
	})
}

// TestShutdownRejectsNoMore holds that a connection which has only rejections to
// write takes no more of them: a peer that goes on sending what is rejected would
// keep it for ever.
func TestShutdownRejectsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTestServer(t)
		a, b := memconn.Pipe(10)
		c := ts.add(t, b)
		p := &rawPeer{t: t, conn: a}
		queued := func() int {
			synctest.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.out.count
		}
		for range 20 {
			p.send(2, messageTypeData, 0, nil)
		}
		ended := make(chan error, 1)
		go func() { ended <- ts.Shutdown(t.Context()) }()
		time.Sleep(2 * settleGrace)
		before := queued()
		for range 10 {
			p.send(2, messageTypeData, 0, nil)
		}
		if after := queued(); before == 0 || after > before {
			t.Errorf("B25: %d frames were queued when all that had arrived was read, and %d are now", before, after)
		}
		go p.receive()
		synctest.Wait()
		wantDone(t, "B25: Shutdown", ended, nil)
		p.wantEnd("B25")
		a.Close()
	})
}

func TestShutdownHonoursItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTestServer(t)
		ts.peer.request(1, 0, "Wait", nil)
		handler := <-ts.contexts
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		if err := ts.Shutdown(ctx); err != context.DeadlineExceeded || time.Since(start) != time.Second {
			t.Errorf("B25: %v after %v", err, time.Since(start))
		}
		if handler.Err() != nil {
			t.Error("B25: Shutdown ended a handler")
		}
		if err := errors.Join(ts.Close(), ts.Close()); err != nil {
			t.Errorf("B25: Close: %v", err)
		}
		<-handler.Done()
		if err := ts.Shutdown(context.Background()); err != nil {
			t.Errorf("B25: Shutdown after Close: %v", err)
		}
		ts.answers <- nil
	})
}

// TestShutdownTakesWhatHasArrived holds that requests which a socket holds, and
// nobody has read yet, count as received.
func TestShutdownTakesWhatHasArrived(t *testing.T) {
	for range 100 {
		s, err := NewServer()
		if err != nil {
			t.Fatal(err)
		}
		s.RegisterService("test", (&testServer{Server: s}).service())
		a, b := unixPair(t)
		request := encode(t, &Request{Service: "test", Method: "Echo", Payload: encode(t, wrapperspb.String("x"))})
		if _, err := a.Write(frameBytes(1, messageTypeRequest, 0, request)); err != nil {
			t.Fatal(err)
		}
		s.accept(t.Context(), b)
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if h, _, err := newChannel(a).recv(); err != nil || h.StreamID != 1 {
			t.Fatalf("B25: %+v, %v", h, err)
		}
		a.Close()
	}
}

// TestShutdownUnderFire holds that a peer that never stops sending, whatever it
// sends, does not keep a server from ending.
func TestShutdownUnderFire(t *testing.T) {
	request := encode(t, &Request{Service: "test", Method: "Echo", Payload: encode(t, wrapperspb.Bytes(make([]byte, 1000)))})
	id := uint32(1)
	testShutdownUnderFire(t, "requests", len(request), func() []byte {
		id += 2
		return frameBytes(id, messageTypeRequest, 0, request)
	})
	tooLarge := bytes.Repeat(frameBytes(2, messageTypeData, 0, make([]byte, 17)), 3000)
	testShutdownUnderFire(t, "oversized frames", 16, func() []byte { return tooLarge })
}

func testShutdownUnderFire(t *testing.T, what string, limit int, next func() []byte) {
	s, err := NewServer(WithServerLimits(Limits{MessageSize: limit}))
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService("test", (&testServer{Server: s}).service())
	a, b := unixPair(t)
	s.accept(t.Context(), b)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for {
			if _, err := a.Write(next()); err != nil {
				return
			}
		}
	}()
	ch := newChannel(a)
	if _, _, err := ch.recv(); err != nil {
		t.Fatal(err)
	}
	received := make(chan struct{})
	go func() {
		defer close(received)
		for err == nil {
			_, _, err = ch.recv()
		}
	}()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("B25: %s: %v", what, err)
	}
	<-sent
	<-received
}

// An ownTimeoutConn has a timeout error of its own, as named pipes and some
// multiplexers do.
type ownTimeoutConn struct{ net.Conn }

func (c ownTimeoutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = temporaryError{err}
	}
	return n, err
}

// A spoilableConn reads nothing more after an error, such as a timeout, as
// websockets do.
type spoilableConn struct {
	net.Conn
	err error
}

func (c *spoilableConn) Read(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.Conn.Read(b)
	c.err = err
	return n, err
}

// A lockedConn cannot be given a deadline while it reads.
type lockedConn struct {
	net.Conn
	reading chan struct{}
}

func (c lockedConn) Read(b []byte) (int, error) {
	c.reading <- struct{}{}
	defer func() { <-c.reading }()
	return c.Conn.Read(b)
}

func (c lockedConn) SetReadDeadline(time.Time) error {
	c.reading <- struct{}{}
	defer func() { <-c.reading }()
	return nil
}

// TestShutdownOtherConns holds that calls finish on conns that are no kernel
// sockets, whatever deadlines do there (B43).
func TestShutdownOtherConns(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"pipe":             func(c net.Conn) net.Conn { return c },
		"own timeout":      func(c net.Conn) net.Conn { return ownTimeoutConn{c} },
		"spoilt by errors": func(c net.Conn) net.Conn { return &spoilableConn{Conn: c} },
		"locked":           func(c net.Conn) net.Conn { return lockedConn{c, make(chan struct{}, 1)} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := newTestServer(t)
				a, b := net.Pipe()
				ts.accept(t.Context(), wrap(b))
				p := newRawPeer(t, a)
				p.request(1, 0, "Wait", nil)
				<-ts.contexts
				ended := make(chan error, 1)
				go func() { ended <- ts.Shutdown(context.Background()) }()
				time.Sleep(time.Minute)
				p.wantAlive("B25: a connection with a call")
				ts.answers <- nil
				p.wantResult("B25", 1, wrapperspb.String("waited"))
				if err := <-ended; err != nil {
					t.Errorf("B25: %v", err)
				}
				p.wantEnd("B25")
				a.Close()
			})
		})
	}
}

// A recursiveListener needs the server's lock when it is closed, as one may that
// asks the server something: the listener is the user's.
type recursiveListener struct {
	*memListener
	server *Server
	locked chan bool
}

var errListener = errors.New("the listener does not close")

func (l recursiveListener) Close() error {
	ok := l.server.mu.TryLock()
	if ok {
		l.server.mu.Unlock()
	}
	l.locked <- !ok
	l.memListener.Close()
	return errListener
}

// TestListenerClose holds that listeners are closed without locks, and that the
// error of one is returned as it is.
func TestListenerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewServer()
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		locked := make(chan bool, 2)
		go func() { served <- s.Serve(t.Context(), recursiveListener{newMemListener(), s, locked}) }()
		synctest.Wait()
		if err := s.Close(); err != errListener {
			t.Errorf("Close: %v", err)
		}
		if <-locked {
			t.Error("the listener is closed under a lock of the server")
		}
		if err := <-served; err != ErrServerClosed {
			t.Errorf("B24: %v", err)
		}
	})
}

// TestShutdownWhileShakingHands holds that a connection whose handshake has not
// ended is not waited for: no call can have reached it.
func TestShutdownWhileShakingHands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewServer(WithServerHandshaker(silentHandshaker{}))
		if err != nil {
			t.Fatal(err)
		}
		a, b := memconn.Pipe(0)
		s.accept(t.Context(), b)
		time.Sleep(defaultHandshakeTimeout - 1)
		if n := s.countConnection(); n != 1 {
			t.Fatalf("B29: %d connections before the handshake's timeout", n)
		}
		start := time.Now()
		if err := s.Shutdown(context.Background()); err != nil || time.Since(start) != 0 {
			t.Errorf("B25: %v after %v", err, time.Since(start))
		}
		a.Close()
	})
}

// A funcListener is one that cannot be the key of a map.
type funcListener struct {
	net.Listener
	closed func()
}

func (l funcListener) Close() error {
	l.closed()
	return l.Listener.Close()
}

// TestListenerOfAnyType holds that a listener may be of a type that cannot be compared.
func TestListenerOfAnyType(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{}, 2)
	s, err := NewServer()
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(t.Context(), funcListener{l, func() { closed <- struct{}{} }}) }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(nc)
	if err := c.Call(t.Context(), "none", "None", new(wrapperspb.StringValue), nil); status.Code(err) != codes.Unimplemented {
		t.Errorf("B25: %v", err)
	}
	c.Close()
	if err := s.Close(); err != nil {
		t.Errorf("B25: Close: %v", err)
	}
	if err := <-served; err != ErrServerClosed {
		t.Errorf("B25: Serve: %v", err)
	}
	<-closed
}
