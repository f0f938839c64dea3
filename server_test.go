// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// A memListener hands out the conns and errors that it is sent.
type memListener struct {
	accepts chan any
	closed  chan struct{}
}

func newMemListener() *memListener {
	return &memListener{make(chan any), make(chan struct{})}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case v := <-l.accepts:
		if err, ok := v.(error); ok {
			return nil, err
		}
		return v.(net.Conn), nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *memListener) Addr() net.Addr { return nil }

type temporaryError struct{ error }

func (temporaryError) Temporary() bool { return true }

func TestServeEnds(t *testing.T) {
	failed := errors.New("accept failed")
	for name, test := range map[string]struct {
		end  func(s *Server, l *memListener)
		want error
	}{
		"Close":           {func(s *Server, _ *memListener) { s.Close() }, ErrServerClosed},
		"Shutdown":        {func(s *Server, _ *memListener) { s.Shutdown(context.Background()) }, ErrServerClosed},
		"listener closed": {func(_ *Server, l *memListener) { l.Close() }, net.ErrClosed},
		"accept fails":    {func(_ *Server, l *memListener) { l.accepts <- failed }, failed},
		"after a retry":   {func(s *Server, l *memListener) { l.accepts <- temporaryError{failed}; s.Close() }, ErrServerClosed},
		"during a long retry": {func(s *Server, l *memListener) {
			l.accepts <- temporaryError{failed}
			time.Sleep(time.Millisecond)
			s.Close()
		}, ErrServerClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := NewServer(WithServerLogger(new(countingLogger)))
				l := newMemListener()
				served := make(chan error, 1)
				go func() { served <- s.Serve(t.Context(), l) }()
				synctest.Wait()
				test.end(s, l)
				if err := <-served; err != test.want {
					t.Errorf("B24: Serve returned %v, want %v", err, test.want)
				}
				<-l.closed // B24: Serve owns the listener
				if len(s.listeners) != 0 {
					t.Error("a listener is left")
				}
				s.Close()
				if err := s.Serve(t.Context(), newMemListener()); err != ErrServerClosed {
					t.Errorf("B24: Serve after the end: %v", err)
				}
			})
		})
	}
}

func TestServeRetriesAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := NewServer(WithServerLogger(new(countingLogger)))
		l := newMemListener()
		go s.Serve(t.Context(), l)
		start := time.Now()
		for _, want := range []time.Duration{0, 5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000} {
			l.accepts <- temporaryError{errors.New("no descriptors")} // taken after the last one's delay
			if got := time.Since(start); got != want*time.Millisecond {
				t.Errorf("B24: a delay of %v, want %v", got, want*time.Millisecond)
			}
			start = time.Now()
		}
		s.Close()
	})
}

func TestServeContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		ts := newTestServer(t)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		l := newMemListener()
		served := make(chan error, 1)
		go func() { served <- ts.Serve(ctx, l) }()
		a, b := memconn.Pipe(0)
		l.accepts <- b
		p := newRawPeer(t, a)
		p.request(1, 0, "Wait", nil)
		handler := <-ts.contexts
		if handler.Value(key{}) != "value" {
			t.Error("B26: the value of Serve's context is not there")
		}
		cancel()
		<-handler.Done()
		ts.answers <- nil
		p.wantResult("B24", 1, wrapperspb.String("waited"))
		p.wantEcho("B24: the end of Serve's context does not stop it", 3)
		ts.Close()
		if err := <-served; err != ErrServerClosed {
			t.Error(err)
		}
		a.Close()
	})
}

// A silentHandshaker waits for the peer to say something, whatever its context.
type silentHandshaker struct{}

func (silentHandshaker) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	b := make([]byte, 1)
	if _, err := conn.Read(b); err != nil {
		return nil, nil, err
	}
	return conn, string(b), nil
}

func TestHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(countingLogger)
		s, _ := NewServer(WithServerHandshaker(silentHandshaker{}), WithServerTimeouts(Timeouts{Handshake: time.Minute}), WithServerLogger(log))
		s.RegisterService("test", &ServiceDesc{Methods: map[string]Method{"Who": func(ctx context.Context, _ func(any) error) (any, error) {
			peer, ok := PeerFromContext(ctx)
			if !ok || peer.Addr != nil || peer.LocalAddr != nil {
				t.Errorf("B30: the peer is %+v, %v", peer, ok)
			}
			return wrapperspb.String(peer.AuthInfo.(string)), nil
		}}})
		l := newMemListener()
		go s.Serve(t.Context(), l)
		silentEnd, silent := memconn.Pipe(0)
		l.accepts <- silent
		silentPeer := newRawPeer(t, silentEnd)
		a, b := memconn.Pipe(0)
		l.accepts <- b // B29: a silent peer blocks nobody
		p := newRawPeer(t, a)
		p.write([]byte("j"))
		p.send(1, messageTypeRequest, 0, encode(t, &Request{Service: "test", Method: "Who"}))
		p.wantResult("B30", 1, wrapperspb.String("j"))
		time.Sleep(59 * time.Second)
		silentPeer.wantAlive("B29: before the timeout")
		time.Sleep(time.Second)
		silentPeer.wantEnd("B29: after the timeout")
		synctest.Wait()
		if log.errors.Load() != 1 || s.countConnection() != 1 {
			t.Errorf("B29: %d errors, %d connections", log.errors.Load(), s.countConnection())
		}
		third, other := memconn.Pipe(0)
		l.accepts <- other
		synctest.Wait()
		p.conn.Close()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("B25: Shutdown during a handshake: %v", err)
		}
		silentEnd.Close()
		third.Close()
	})
}

func TestClientHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(0)
		c := NewClient(a, WithClientHandshaker(silentHandshaker{}), WithClientTimeouts(Timeouts{Handshake: time.Second}))
		done := goCall(context.Background(), c, new(wrapperspb.StringValue))
		p := newRawPeer(t, b)
		p.wantNothing("a call before the handshake is over")
		p.write([]byte("k"))
		p.wantRequest("a call that waited for the handshake", 1, 0)
		p.respond(1, nil, nil)
		if err := <-done; err != nil {
			t.Error(err)
		}
		c.Close()
		b.Close()

		a, b = memconn.Pipe(0)
		c = NewClient(a, WithClientHandshaker(silentHandshaker{}), WithClientTimeouts(Timeouts{Handshake: time.Second}), WithClientLogger(new(countingLogger)))
		if err := c.Call(context.Background(), "test", "M", wrapperspb.String(""), new(wrapperspb.StringValue)); err != ErrClosed {
			t.Errorf("a call whose handshake failed: %v", err)
		}
		if !errors.Is(c.Cause(), context.DeadlineExceeded) {
			t.Errorf("B1: the cause is %v", c.Cause())
		}
		b.Close()
	})
}

func TestConnectionCap(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		a, b := memconn.Pipe(0)
		ts.accept(t.Context(), b)
		over := newRawPeer(t, a)
		over.wantEnd("B32: a connection over the cap")
		ts.peer.wantEcho("B32", 1)
		a.Close()
	}, WithServerLimits(Limits{Connections: 1}), WithServerLogger(new(countingLogger)))
}

func TestServerOptionErrors(t *testing.T) {
	unary := func(ctx context.Context, unmarshal Unmarshaler, _ *UnaryServerInfo, m Method) (any, error) {
		return m(ctx, unmarshal)
	}
	unknown := func(context.Context, *UnknownCall, StreamServer) (any, error) { return nil, nil }
	for name, opts := range map[string][]ServerOpt{
		"B27: two interceptors": {WithUnaryServerInterceptor(unary), WithUnaryServerInterceptor(unary)},
		"two handshakers":       {WithServerHandshaker(silentHandshaker{}), WithServerHandshaker(silentHandshaker{})},
		"two for unknown":       {WithUnknownServiceHandler(unknown), WithUnknownServiceHandler(unknown)},
	} {
		if _, err := NewServer(opts...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := NewServer(WithUnaryServerInterceptor(nil), WithUnaryServerInterceptor(unary), WithServerLimits(Limits{MessageSize: 1 << 30})); err != nil {
		t.Error(err)
	}
}

func TestRegisterTwice(t *testing.T) {
	s, _ := NewServer()
	s.Register("a", nil)
	s.RegisterService("b", &ServiceDesc{})
	for name, register := range map[string]func(){
		"Register twice":               func() { s.Register("a", nil) },
		"RegisterService twice":        func() { s.RegisterService("b", &ServiceDesc{}) },
		"Register and RegisterService": func() { s.RegisterService("a", &ServiceDesc{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("B28: %s did not panic", name)
				}
			}()
			register()
		}()
	}
}

func TestFullPath(t *testing.T) {
	if got := fullPath("pkg.Service", "Method"); got != "/pkg.Service/Method" {
		t.Errorf("B27: %s", got)
	}
}

// TestWorkersEnd holds that goroutines which nothing needs do not stay.
func TestWorkersEnd(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		idle := func() int {
			synctest.Wait()
			ts.workers.mu.Lock()
			defer ts.workers.mu.Unlock()
			return len(ts.workers.idle)
		}
		for i := range uint32(100) {
			ts.peer.request(2*i+1, 0, "Wait", nil)
		}
		for range 100 {
			<-ts.contexts // all run at once
		}
		for range 100 {
			ts.answers <- nil
		}
		if n := idle(); n != 100 {
			t.Errorf("%d goroutines wait for the next calls, want 100", n)
		}
		for i := range uint32(100) { // one call at a time needs one worker
			ts.peer.wantEchoAfter(i)
			time.Sleep(workersLinger / 10)
		}
		if n := idle(); n != 1 {
			t.Errorf("%d goroutines wait for calls that one can run", n)
		}
		time.Sleep(3 * workersLinger)
		if n := idle(); n != 0 || ts.workers.timed {
			t.Errorf("%d goroutines are left", n)
		}
	})
}

// wantEchoAfter drops the answers of Wait and requires an echo.
func (p *rawPeer) wantEchoAfter(i uint32) {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	p.frames = nil
	p.mu.Unlock()
	p.wantEcho("", 1001+2*i)
}

// TestHandlerEndsItsGoroutine holds that a handler which ends its goroutine, as
// testing.T's FailNow does, leaves no caller without an answer.
func TestHandlerEndsItsGoroutine(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		ts.Register("exit", map[string]Method{"Now": func(context.Context, func(any) error) (any, error) {
			runtime.Goexit()
			return nil, nil
		}})
		ts.peer.send(1, messageTypeRequest, 0, encode(t, &Request{Service: "exit", Method: "Now"}))
		ts.peer.wantStatus("B31", 1, codes.Internal, "ttrpc: the handler ended its goroutine")
		ts.peer.wantEcho("B31", 3)
	})
}

// TestConnectionState holds the names of the states, and when a connection is in
// which.
func TestConnectionState(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		want := func(name string) {
			t.Helper()
			synctest.Wait()
			if st, ok := ts.conn.getState(); st.String() != name || !ok {
				t.Errorf("the state is %v, %v, want %s", st, ok, name)
			}
		}
		want("idle")
		ts.peer.request(1, 0, "Wait", nil)
		want("active")
		go ts.Shutdown(t.Context())
		want("draining")
		ts.answers <- nil
		time.Sleep(settleGrace)
		want("closed")
		ts.peer.next("")
		if _, ok := newConn(roleServer, nil, &ts.config.connConfig).getState(); ok {
			t.Error("a connection that has not started has a state")
		}
		if got := connState(0).String(); got != "unknown" {
			t.Errorf("no state is called %s", got)
		}
	})
}
