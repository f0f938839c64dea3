// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

// rounds is how often a race is run that a faulty Shutdown loses now and then.
const rounds = 1000

// TestShutdownKeepsTheOnlyCall has one call run on a connection on which
// nothing else happens.
func TestShutdownKeepsTheOnlyCall(t *testing.T) {
	address := socketPath(t)
	for i := range rounds {
		g := newGate()
		s := startOn(t, context.Background(), listen(t, address), newServer(t, service{echo: g.echo}))
		c := s.connect(t)
		done := c.echoing(context.Background())
		<-g.entered
		down := s.shuttingDown()
		<-s.served // so Shutdown has begun
		close(g.release)
		if err := <-done; err != nil {
			t.Fatalf("B25: round %d: the call in flight: %v", i, err)
		}
		if err := <-down; err != nil {
			t.Fatalf("B25: round %d: Shutdown: %v", i, err)
		}
		c.raw.Close()
	}
}

// TestShutdownKeepsWhatHasArrived has the only call of a connection lie in the
// socket, and not be read maybe, when Shutdown begins.
func TestShutdownKeepsWhatHasArrived(t *testing.T) {
	address := socketPath(t)
	for i := range rounds {
		s := startOn(t, context.Background(), listen(t, address), newServer(t, service{}))
		conn := &watchedConn{Conn: s.dial(t), written: make(chan struct{}, 2)}
		c := newClient(t, conn)
		if err := <-c.echoing(context.Background()); err != nil {
			t.Fatal(err)
		}
		<-conn.written
		done := c.echoing(context.Background())
		<-conn.written // on a unix socket that means: it has arrived
		if err := s.Shutdown(context.Background()); err != nil {
			t.Fatalf("B25: round %d: Shutdown: %v", i, err)
		}
		if err := <-done; err != nil {
			t.Fatalf("B25: round %d: the call that had arrived: %v", i, err)
		}
		<-s.served
		c.raw.Close()
	}
}

// A watchedConn tells when something was written.
type watchedConn struct {
	net.Conn
	written chan struct{}
}

func (c *watchedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.written <- struct{}{}
	return n, err
}

// shuttingDown calls Shutdown in the background.
func (s *server) shuttingDown() <-chan error {
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	return down
}

func TestShutdownWaitsForStreams(t *testing.T) {
	s := start(t, service{})
	c := s.connect(t)
	idle := s.connect(t)
	idle.mustEcho(t, "B25")
	stream, err := c.EchoStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	exchange := func(seq uint32) {
		t.Helper()
		if err := stream.Send(&streaming.EchoPayload{Seq: seq}); err != nil {
			t.Fatalf("B25: Send: %v", err)
		}
		if got, err := stream.Recv(); err != nil || got.Seq != seq+1 {
			t.Fatalf("B25: Recv: %v, %v", got, err)
		}
	}
	exchange(1)
	down := s.shuttingDown()
	<-s.served
	if err := idle.raw.UserOnCloseWait(context.Background()); err != nil {
		t.Errorf("B25: the idle connection: %v", err)
	}
	exchange(2)
	exchange(3)
	select {
	case err := <-down:
		t.Fatalf("B25: Shutdown returned %v while a stream was open", err)
	default:
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatalf("B25: CloseSend: %v", err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("B25: the end of the stream: %v, want EOF", err)
	}
	if err := <-down; err != nil {
		t.Errorf("B25: Shutdown: %v", err)
	}
}

func TestShutdownHonoursItsContext(t *testing.T) {
	g := newGate()
	s := start(t, service{echo: g.echo})
	c := s.connect(t)
	done := c.echoing(context.Background())
	<-g.entered
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err != context.DeadlineExceeded {
		t.Errorf("B25: Shutdown: %v, want %v", err, context.DeadlineExceeded)
	}
	again := s.shuttingDown()
	close(g.release)
	if err := <-done; err != nil {
		t.Errorf("B25: the call in flight: %v", err)
	}
	if err := <-again; err != nil {
		t.Errorf("B25: Shutdown again: %v", err)
	}
}

func TestShutdownThenClose(t *testing.T) {
	g := newGate()
	s := start(t, service{echo: g.echo})
	defer close(g.release)
	c := s.connect(t)
	done := c.echoing(context.Background())
	<-g.entered
	down := s.shuttingDown()
	<-s.served
	if err := s.Close(); err != nil {
		t.Errorf("B25: Close: %v", err)
	}
	if err := <-down; err != nil {
		t.Errorf("B25: Shutdown when all is closed: %v", err)
	}
	if err := <-done; err != ttrpc.ErrClosed {
		t.Errorf("B25: the call in flight: %v, want %v", err, ttrpc.ErrClosed)
	}
}

func TestShutdownWithoutServe(t *testing.T) {
	s := newServer(t, service{})
	if err := s.Shutdown(context.Background()); err != nil {
		t.Errorf("B25: Shutdown: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("B25: Close after that: %v", err)
	}
}
