// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux && go1.25

package faults

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/kit"
	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/internal/wire"
)

// Here the errors come from real sockets, and so are what the kernel reports,
// wrapped as package net wraps them. Sockets do not work in a bubble of synctest.
// So the tests wait for what must happen, with a limit that only a hang reaches.

// unconnected returns a TCP socket that was never connected.
func unconnected(t *testing.T) *net.TCPConn {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "unconnected")
	defer f.Close()
	nc, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return nc.(*net.TCPConn)
}

// socketFaults are the ways in which a socket fails, each with the error that the
// near end then gets. fail is called when a frame has arrived at the far end.
var socketFaults = map[string]struct {
	open func(t *testing.T) (near, far net.Conn)
	fail func(far net.Conn)
	want error
}{
	"unix reset": {
		func(t *testing.T) (net.Conn, net.Conn) { return testkit.SocketPair(t) },
		func(far net.Conn) { far.Close() }, // with something unread, which resets
		syscall.ECONNRESET,
	},
	"tcp reset": {
		func(t *testing.T) (net.Conn, net.Conn) { return testkit.TCPPair(t) },
		func(far net.Conn) {
			far.(*net.TCPConn).SetLinger(0)
			far.Close()
		},
		syscall.ECONNRESET,
	},
	"end of file": {
		func(t *testing.T) (net.Conn, net.Conn) {
			near, far := testkit.SocketPair(t)
			t.Cleanup(func() { far.Close() })
			return near, far
		},
		func(far net.Conn) { far.(*net.UnixConn).CloseWrite() }, // it could still read
		io.EOF,
	},
	"not connected": {
		func(t *testing.T) (net.Conn, net.Conn) { return unconnected(t), nil },
		func(net.Conn) {},
		syscall.ENOTCONN,
	},
}

// flood sends until that fails.
func flood(stream ttrpc.ClientStream) error {
	for {
		if err := stream.SendMsg(wrapperspb.Bytes(make([]byte, 8000))); err != nil {
			return err
		}
	}
}

// maxMessage is the limit of messages.
const maxMessage = 4 << 20

func TestSocketErrorsAtTheClient(t *testing.T) {
	for name, fault := range socketFaults {
		t.Run(name, func(t *testing.T) {
			near, far := fault.open(t)
			c := ttrpc.NewClient(near)
			s, err := c.NewStream(context.Background(), &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, "s", "m", nil)
			if err != nil && (far != nil || !errors.Is(err, ttrpc.ErrClosed)) {
				t.Fatal(err)
			}
			arrived := 0
			if far != nil {
				arrived = testkit.AwaitBytes(t, far, 0)
			}
			done := make(chan error, 1)
			go func() {
				done <- c.Call(context.Background(), "s", "m", wrapperspb.String("x"), new(wrapperspb.StringValue))
			}()
			if far != nil { // nothing more is written after that
				testkit.AwaitBytes(t, far, arrived)
			}
			fault.fail(far)
			testkit.Within(t, "B5: calls under way", func() {
				if err := <-done; !errors.Is(err, ttrpc.ErrClosed) {
					t.Errorf("B5: the call returned %v", err)
				}
				if s == nil {
					return
				}
				if err := s.RecvMsg(new(wrapperspb.StringValue)); !errors.Is(err, ttrpc.ErrClosed) {
					t.Errorf("B5: RecvMsg returned %v", err)
				}
				c.UserOnCloseWait(context.Background())
			})
			// On a socket that was never connected a write may fail first.
			if !errors.Is(c.Cause(), fault.want) && (far != nil || !errors.Is(c.Cause(), syscall.EPIPE)) {
				t.Errorf("B1: the cause is %v, want %v", c.Cause(), fault.want)
			}
			c.Close()
		})
	}
}

// TestSocketErrorsAtTheServer holds that a connection whose socket fails ends,
// and that the contexts of its handlers end with it.
func TestSocketErrorsAtTheServer(t *testing.T) {
	for name, fault := range socketFaults {
		t.Run(name, func(t *testing.T) {
			srv, err := ttrpc.NewServer()
			if err != nil {
				t.Fatal(err)
			}
			server := kit.Serve(srv)
			defer server.End(t)
			ended := make(chan error, 1)
			srv.Register("test", map[string]ttrpc.Method{"Wait": func(ctx context.Context, _ func(any) error) (any, error) {
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return nil, ctx.Err()
			}})
			near, far := fault.open(t)
			server.Hand(near)
			if far != nil {
				// The answer to the second frame is not read, so closing resets.
				call := wire.Request{Service: "test", Method: "Wait"}
				far.Write(wire.AppendFrame(nil, 1, wire.TypeRequest, 0, call.Append(nil)))
				far.Write(make([]byte, wire.HeaderLength)) // an empty frame of no type
				testkit.AwaitBytes(t, far, 0)
			}
			fault.fail(far)
			testkit.Within(t, "B5: the connection's end", func() {
				if far != nil {
					if cause := <-ended; !errors.Is(cause, fault.want) {
						t.Errorf("B5: the handler's context ended with %v, want %v", cause, fault.want)
					}
				}
				srv.Shutdown(context.Background())
			})
		})
	}
}

// TestSocketBrokenPipe holds B5 for EPIPE: the peer has stopped reading, and does
// not close.
func TestSocketBrokenPipe(t *testing.T) {
	near, far := testkit.SocketPair(t)
	defer far.Close()
	far.(*net.UnixConn).CloseRead()
	c := ttrpc.NewClient(near)
	testkit.Within(t, "B5: a call that cannot be written", func() {
		if err := c.Call(context.Background(), "s", "m", wrapperspb.String("x"), new(wrapperspb.StringValue)); !errors.Is(err, ttrpc.ErrClosed) {
			t.Errorf("B5: a call returned %v", err)
		}
		c.UserOnCloseWait(context.Background())
	})
	if !errors.Is(c.Cause(), syscall.EPIPE) {
		t.Errorf("B1: the cause is %v", c.Cause())
	}
}

// TestSocketFull holds B18 over a real socket that nobody reads: what waits behind
// a message of 4 MiB ends with its own context.
func TestSocketFull(t *testing.T) {
	near, far := testkit.SocketPair(t)
	defer far.Close()
	c := ttrpc.NewClient(near)
	defer c.Close()
	big := wrapperspb.Bytes(make([]byte, maxMessage-100))
	call := func(ctx context.Context, req *wrapperspb.BytesValue) error {
		return c.Call(ctx, "s", "m", req, new(wrapperspb.BytesValue))
	}
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	stream, err := c.NewStream(soon(), &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, "s", "m", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"the call itself": func() error { return call(soon(), big) },
		"a call":          func() error { return call(soon(), new(wrapperspb.BytesValue)) },
		"SendMsg":         func() error { return flood(stream) },
		"RecvMsg":         func() error { return stream.RecvMsg(big) },
	} {
		testkit.Within(t, "B18: "+name, func() {
			long, cancel := context.WithCancel(context.Background())
			defer cancel()
			front := make(chan error, 1)
			go func() { front <- call(long, big) }()
			testkit.AwaitBytes(t, far, 0)
			if err := f(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("B18: %s returned %v", name, err)
			}
			cancel()
			if err := <-front; !errors.Is(err, context.Canceled) {
				t.Errorf("B18: the call in front returned %v", err)
			}
		})
	}
	if c.Cause() != nil {
		t.Errorf("B18: the connection has ended: %v", c.Cause())
	}
}
