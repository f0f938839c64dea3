// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && linux

package libchan

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// L4: a gateway hands out raw connections, as descriptors or as byte streams; who gets one owns
// it.
func TestGateway(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			_, _, out, in := realSessions(t, network)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer ln.Close()
			var all atomic.Bool
			g := &Gateway{Allow: func(network, addr string) error {
				if !all.Load() && (network != "tcp" || addr != ln.Addr().String()) {
					return errors.New("not on the list")
				}
				return nil
			}}
			served := make(chan error)
			go func() { served <- g.Serve(ctx, in) }()
			for range 3 {
				conn, err := DialThrough(ctx, out, "tcp", ln.Addr().String())
				must(t, err)
				accepted, err := ln.Accept()
				must(t, err)
				if _, isSocket := conn.(*net.TCPConn); isSocket != (network == "unix") {
					t.Errorf("L4: the connection is a %T", conn)
				}
				if conn.RemoteAddr().String() != ln.Addr().String() || conn.LocalAddr().String() != accepted.RemoteAddr().String() {
					t.Errorf("L4: the connection of %v with %v has the addresses %v and %v", accepted.RemoteAddr(), accepted.LocalAddr(), conn.LocalAddr(), conn.RemoteAddr())
				}
				_, err = conn.Write([]byte("question"))
				must(t, err)
				must(t, conn.(interface{ CloseWrite() error }).CloseWrite())
				got, err := io.ReadAll(accepted)
				if string(got) != "question" || err != nil {
					t.Errorf("L4: read %q, %v", got, err)
				}
				_, err = accepted.Write([]byte("answer"))
				must(t, err)
				must(t, accepted.Close()) // and the gateway's end with it, else TestMain finds it
				if got, err := io.ReadAll(conn); string(got) != "answer" || err != nil {
					t.Errorf("L4: read %q, %v", got, err)
				}
				must(t, conn.Close())
			}
			_, err = DialThrough(ctx, out, "tcp", "127.0.0.1:1")
			if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "not on the list") {
				t.Errorf("L4: what is not allowed: %v, want PermissionDenied with the address and the reason", err)
			}
			for _, network := range []string{"udp", "", "unixgram"} {
				if _, err := DialThrough(ctx, out, network, "x"); status.Code(err) != codes.InvalidArgument {
					t.Errorf("L4: the network %q: %v, want InvalidArgument", network, err)
				}
			}
			all.Store(true)
			ln.Close()
			_, err = DialThrough(ctx, out, "tcp", ln.Addr().String())
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "refused") {
				t.Errorf("L4: what cannot be reached: %v, want Unavailable with the reason", err)
			}
			must(t, out.Close())
			must(t, <-served)
		})
	}
}

// L4: a gateway closes what it has dialled for somebody who has gone, and dials nothing without
// a list.
func TestGatewayLetsGo(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		var open atomic.Int32
		slow := make(chan bool)
		g := &Gateway{Timeout: time.Minute}
		go g.Serve(ctx, in)
		if _, err := DialThrough(ctx, out, "tcp", "a:1"); status.Code(err) != codes.PermissionDenied {
			t.Errorf("L4: a gateway without a list: %v, want PermissionDenied", err)
		}
		g.Allow = func(_, _ string) error { return nil }
		g.Dial = func(ctx context.Context, _, addr string) (net.Conn, error) {
			if addr == "never" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			<-slow
			a, b := net.Pipe()
			t.Cleanup(func() { b.Close() })
			open.Add(1)
			return &counted{Conn: a, open: &open}, nil
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := DialThrough(short, out, "tcp", "slow"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("L4: %v, want DeadlineExceeded", err)
		}
		slow <- true
		synctest.Wait()
		if n := open.Load(); n != 0 {
			t.Errorf("L4: %d connections are open that nobody waits for", n)
		}
		start := time.Now()
		if _, err := DialThrough(ctx, out, "tcp", "never"); status.Code(err) != codes.Unavailable || time.Since(start) != time.Minute {
			t.Errorf("L4: %v after %v, want Unavailable after a minute", err, time.Since(start))
		}
		var conns []net.Conn
		for range 2 {
			go func() { slow <- true }()
			conn, err := DialThrough(ctx, out, "tcp", "fast")
			must(t, err)
			conns = append(conns, conn)
		}
		if n := open.Load(); n != 2 {
			t.Errorf("L4: %d connections are open, want 2", n)
		}
		must(t, conns[0].Close())
		synctest.Wait()
		if n := open.Load(); n != 1 {
			t.Errorf("L4: %d connections are open after one was closed, want 1", n)
		}
		near.Close()
		synctest.Wait()
		if n := open.Load(); n != 0 {
			t.Errorf("L4: %d connections are open after the session, want 0", n)
		}
	})
}

// A counted connection counts whether it is open, and has no deadlines.
type counted struct {
	net.Conn
	open   *atomic.Int32
	closed atomic.Bool
}

func (c *counted) Close() error {
	if !c.closed.Swap(true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}
