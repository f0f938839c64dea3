// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

// A testListener is told what to accept.
type testListener struct {
	net.Listener
	accept chan error // what Accept returns; nil for a connection
	closed chan struct{}
}

func newListener(t *testing.T) *testListener {
	return &testListener{listen(t, socketPath(t)), make(chan error, 10), make(chan struct{}, 10)}
}

func (l *testListener) Accept() (net.Conn, error) {
	select {
	case err := <-l.accept:
		if err != nil {
			return nil, err
		}
	default:
	}
	return l.Listener.Accept()
}

func (l *testListener) Close() error {
	l.closed <- struct{}{}
	return l.Listener.Close()
}

type temporaryError struct{}

func (temporaryError) Error() string   { return "try again" }
func (temporaryError) Temporary() bool { return true }

func TestServeReturns(t *testing.T) {
	ends := map[string]func(*server) error{
		"Close":    func(s *server) error { return s.Close() },
		"Shutdown": func(s *server) error { return s.Shutdown(context.Background()) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			s := start(t, service{})
			s.connect(t).mustEcho(t, "B24")
			for range 2 {
				if err := end(s); err != nil {
					t.Errorf("B25: %s: %v", name, err)
				}
			}
			if err := <-s.served; err != ttrpc.ErrServerClosed {
				t.Errorf("B24: Serve: %v, want %v", err, ttrpc.ErrServerClosed)
			}
			if _, err := net.Dial("unix", s.address); err == nil {
				t.Error("B24: the listener is still open")
			}
			l := newListener(t)
			if err := s.Serve(context.Background(), l); err != ttrpc.ErrServerClosed {
				t.Errorf("B24: Serve after the end: %v, want %v", err, ttrpc.ErrServerClosed)
			}
			select {
			case <-l.closed:
			default:
				t.Error("B24: Serve after the end left the listener open")
			}
		})
	}
}

func TestServeReturnsErrorOfAccept(t *testing.T) {
	l := newListener(t)
	own := errors.New("no more connections")
	l.accept <- own
	if err := newServer(t, service{}).Serve(context.Background(), l); err != own {
		t.Errorf("B24: Serve: %v, want the error of Accept itself", err)
	}
	select {
	case <-l.closed:
	default:
		t.Error("B24: Serve left the listener open")
	}
}

func TestListenerClosedByCaller(t *testing.T) {
	l := listen(t, socketPath(t))
	s := startOn(t, context.Background(), l, newServer(t, service{}))
	c := s.connect(t)
	c.mustEcho(t, "B24")
	l.Close()
	var op *net.OpError
	if err := <-s.served; !errors.As(err, &op) || op.Op != "accept" || !errors.Is(err, net.ErrClosed) {
		t.Errorf("B24: Serve: %v, want the error of Accept", err)
	}
	c.mustEcho(t, "B24") // connections outlive their listener
}

func TestServeRetries(t *testing.T) {
	l := newListener(t)
	log := newLog()
	for range 3 {
		l.accept <- temporaryError{}
	}
	s := startOn(t, context.Background(), l, newServer(t, service{}, ttrpc.WithServerLogger(log)))
	s.connect(t).mustEcho(t, "B24")
	for range 3 {
		log.await(t, "error")
	}
}

func TestServeOutlivesItsContext(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "value"))
	values := make(chan any, 2)
	s := startOn(t, ctx, listen(t, socketPath(t)), newServer(t, service{
		echo: func(ctx context.Context, req *streaming.EchoPayload) (*streaming.EchoPayload, error) {
			values <- ctx.Value(key{})
			return &streaming.EchoPayload{Seq: req.Seq + 1, Msg: req.Msg}, nil
		},
		echoStream: func(ctx context.Context, _ streaming.Streaming_EchoStreamServer) error {
			<-ctx.Done()
			return nil
		},
	}))
	c := s.connect(t)
	c.mustEcho(t, "B24")
	stream, err := c.EchoStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("B26: the handler's context did not end with Serve's: %v", err)
	}
	s.connect(t).mustEcho(t, "B24")
	for range 2 {
		if got := <-values; got != "value" {
			t.Errorf("B26: the handler's context has %v where Serve's has a value", got)
		}
	}
}

func TestServeTwoListeners(t *testing.T) {
	srv := newServer(t, service{})
	first := startOn(t, context.Background(), listen(t, socketPath(t)), srv)
	second := startOn(t, context.Background(), listen(t, socketPath(t)), srv)
	for _, s := range []*server{first, second} {
		s.connect(t).mustEcho(t, "B24")
	}
	srv.Close()
	for _, s := range []*server{first, second} {
		if err := <-s.served; err != ttrpc.ErrServerClosed {
			t.Errorf("B24: Serve: %v, want %v", err, ttrpc.ErrServerClosed)
		}
	}
}

func TestClose(t *testing.T) {
	g := newGate()
	s := start(t, service{echo: g.echo})
	c := s.connect(t)
	done := c.echoing(context.Background())
	handler := <-g.entered
	if err := s.Close(); err != nil { // although the handler runs
		t.Errorf("B25: Close: %v", err)
	}
	if err := <-done; err != ttrpc.ErrClosed {
		t.Errorf("B25: a call in flight: %v, want %v", err, ttrpc.ErrClosed)
	}
	<-handler.Done()
	if err := handler.Err(); err != context.Canceled {
		t.Errorf("B26: the handler's context ended with %v, want %v", err, context.Canceled)
	}
	close(g.release)
}

func TestRestart(t *testing.T) {
	address := socketPath(t)
	for range 5 {
		closed := make(chan struct{})
		s := startOn(t, context.Background(), listen(t, address), newServer(t, service{}))
		c := s.connect(t, ttrpc.WithOnClose(func() { close(closed) }))
		c.mustEcho(t, "B24")
		c.mustStream(t, "B24")
		s.Close()
		<-closed
		if err := <-c.echoing(context.Background()); err != ttrpc.ErrClosed {
			t.Errorf("B1: Echo when the server has gone: %v, want %v", err, ttrpc.ErrClosed)
		}
		<-s.served // the listener has removed the socket
	}
}

// TestOnClose: whatever ends the connection, the function runs once.
func TestOnClose(t *testing.T) {
	for name, end := range map[string]func(s *server, c *ttrpc.Client, peer net.Conn){
		"Close":         func(_ *server, c *ttrpc.Client, _ net.Conn) { c.Close() },
		"server closes": func(s *server, _ *ttrpc.Client, _ net.Conn) { s.Close() },
		"server shuts down": func(s *server, _ *ttrpc.Client, _ net.Conn) {
			s.Shutdown(context.Background())
		},
		"transport closes": func(_ *server, _ *ttrpc.Client, conn net.Conn) { conn.Close() },
		"all at once": func(s *server, c *ttrpc.Client, conn net.Conn) {
			var all sync.WaitGroup
			for range 4 {
				all.Add(3)
				go func() { defer all.Done(); c.Close() }()
				go func() { defer all.Done(); s.Close() }()
				go func() { defer all.Done(); conn.Close() }()
			}
			all.Wait()
		},
	} {
		for _, busy := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				g := newGate()
				s := start(t, service{echo: g.echo})
				conn := s.dial(t)
				ran := make(chan struct{}, 10)
				c := newClient(t, conn, ttrpc.WithOnClose(func() { ran <- struct{}{} }))
				c.mustStream(t, "B12")
				var done <-chan error
				if busy && name != "server shuts down" { // that would wait
					done = c.echoing(context.Background())
					<-g.entered
				}
				end(s, c.raw, conn)
				if err := c.raw.UserOnCloseWait(context.Background()); err != nil {
					t.Errorf("B12: UserOnCloseWait: %v", err)
				}
				if done != nil {
					if err := <-done; err != ttrpc.ErrClosed {
						t.Errorf("B1: Echo: %v, want %v", err, ttrpc.ErrClosed)
					}
				}
				close(g.release)
				c.raw.Close()
				s.Close()
				if len(ran) != 1 {
					t.Errorf("B12: OnClose's function ran %d times, want once", len(ran))
				}
			})
		}
	}
}

// TestOnCloseLocks: callers hold locks around Close that the function takes.
func TestOnCloseLocks(t *testing.T) {
	s := start(t, service{})
	var mu sync.Mutex
	var c *client
	mu.Lock()
	c = s.connect(t, ttrpc.WithOnClose(func() {
		mu.Lock()
		defer mu.Unlock()
		if err := c.raw.Close(); err != nil {
			t.Errorf("B12: Close in OnClose: %v", err)
		}
	}))
	if err := c.raw.Close(); err != nil {
		t.Errorf("B12: Close: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := c.raw.UserOnCloseWait(ctx); err != context.DeadlineExceeded {
		t.Errorf("B12: UserOnCloseWait while the function waits: %v, want %v", err, context.DeadlineExceeded)
	}
	mu.Unlock()
	if err := c.raw.UserOnCloseWait(context.Background()); err != nil {
		t.Errorf("B12: UserOnCloseWait: %v", err)
	}
	if cause := c.raw.Cause(); cause != ttrpc.ErrClosed {
		t.Errorf("B1: the cause of a Close is %v, want %v", cause, ttrpc.ErrClosed)
	}
}

func TestLastOnCloseWins(t *testing.T) {
	ran := make(chan int, 2)
	c := start(t, service{}).connect(t, ttrpc.WithOnClose(func() { ran <- 1 }), ttrpc.WithOnClose(func() { ran <- 2 }))
	c.raw.Close()
	if err := c.raw.UserOnCloseWait(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := <-ran; got != 2 || len(ran) > 0 {
		t.Errorf("B13: the function given as number %d ran, and %d more, want the last alone", got, len(ran))
	}
}

func TestCauseOfPeersEnd(t *testing.T) {
	s := start(t, service{})
	c := s.connect(t)
	c.mustEcho(t, "B1")
	if cause := c.raw.Cause(); cause != nil {
		t.Errorf("B1: the cause of the end of a client that lives is %v", cause)
	}
	s.Close()
	if err := c.raw.UserOnCloseWait(context.Background()); err != nil {
		t.Fatal(err)
	}
	if cause := c.raw.Cause(); cause != io.EOF {
		t.Errorf("B1: the cause is %v, want EOF", cause)
	}
}
