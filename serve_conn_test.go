// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// serveConn starts ServeConn of a server of extendedService. It returns where the error
// will be.
func serveConn(t *testing.T, ctx context.Context, nc net.Conn, opts ...ServerOpt) (*Server, <-chan error) {
	t.Helper()
	server, err := NewServer(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	server.RegisterService("test", extendedService())
	done := make(chan error, 1)
	go func() { done <- server.ServeConn(ctx, nc) }()
	synctest.Wait()
	return server, done
}

// echoOnce calls Echo.
func echoOnce(c *Client) error {
	m := new(wrapperspb.StringValue)
	err := c.Call(context.Background(), "test", "Echo", wrapperspb.String("m"), m)
	if err == nil && m.Value != "m" {
		return errors.New("not what was sent")
	}
	return err
}

// refuser is a handshaker that refuses.
type refuser struct{ err error }

func (r refuser) Handshake(context.Context, net.Conn) (net.Conn, any, error) { return nil, nil, r.err }

// TestServeConnEnds holds what ServeConn returns, and that the server then has forgotten
// the connection.
func TestServeConnEnds(t *testing.T) {
	refused := errors.New("refused")
	for name, test := range map[string]struct {
		opts []ServerOpt
		end  func(s *Server, c *Client, nc net.Conn, cancel func())
		want error
	}{
		"the client closes": {nil, func(_ *Server, c *Client, _ net.Conn, _ func()) { c.Close() }, nil},
		"Close":             {nil, func(s *Server, _ *Client, _ net.Conn, _ func()) { s.Close() }, ErrServerClosed},
		"Shutdown":          {nil, func(s *Server, _ *Client, _ net.Conn, _ func()) { s.Shutdown(context.Background()) }, ErrServerClosed},
		"its context":       {nil, func(_ *Server, _ *Client, _ net.Conn, cancel func()) { cancel() }, context.Canceled},
		"the transport":     {nil, func(_ *Server, _ *Client, nc net.Conn, _ func()) { nc.(*memconn.Conn).FailReads(io.ErrNoProgress) }, io.ErrNoProgress},
		"the handshake":     {[]ServerOpt{WithServerHandshaker(refuser{refused})}, nil, refused},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := memconn.Pipe(0)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				server, done := serveConn(t, ctx, b, test.opts...)
				client := NewClient(a)
				defer client.Close()
				if test.end != nil {
					if err := echoOnce(client); err != nil {
						t.Errorf("B73: %v", err)
					}
					wantWaiting(t, "B73: ServeConn", done)
					test.end(server, client, b, cancel)
				}
				if err := <-done; !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
					t.Errorf("B73: ServeConn returns %v, want %v", err, test.want)
				}
				if n := server.countConnection(); n != 0 {
					t.Errorf("B73: the server has %d connections", n)
				}
				synctest.Wait()
				if client.Cause() == nil {
					t.Error("B73: the connection lasts")
				}
			})
		})
	}
}

// TestServeConnRefused holds that a conn that is not served is closed.
func TestServeConnRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(0)
		server, done := serveConn(t, t.Context(), b, WithServerLimits(Limits{Connections: 1}))
		refused := func(want string) {
			t.Helper()
			peer, nc := memconn.Pipe(0)
			if err := server.ServeConn(t.Context(), nc); err == nil || err.Error() != want {
				t.Errorf("B73: %v, want %q", err, want)
			}
			if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("B73: the conn is not closed: %v", err)
			}
		}
		refused("ttrpc: too many connections")
		a.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		server.Close()
		refused("ttrpc: server closed")
	})
}

// TestTwoClients holds that clients at either end of a connection find out by the first
// call, and that both are told.
func TestTwoClients(t *testing.T) {
	ext := []ClientOpts{WithExtensions()}
	for name, test := range map[string]struct {
		a, b []ClientOpts
		both bool // call
	}{
		"one calls":          {nil, nil, false},
		"both call":          {nil, nil, true},
		"one asks":           {ext, nil, false},
		"one asks, two call": {ext, nil, true},
		"both ask":           {ext, ext, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nca, ncb := memconn.Pipe(0)
				a, b := NewClient(nca, test.a...), NewClient(ncb, test.b...)
				began := time.Now()
				clients := []*Client{a, b}
				calls := []chan error{make(chan error, 1), make(chan error, 1)}
				go func() { calls[0] <- echoOnce(a) }()
				if test.both {
					go func() { calls[1] <- echoOnce(b) }()
				} else {
					calls[1] <- ErrClosed
				}
				for i, c := range clients {
					err := <-calls[i]
					<-c.Done()
					told := status.Code(err) == codes.FailedPrecondition && strings.HasSuffix(err.Error(), "is a client, too")
					if !told && err != ErrClosed || c.Cause() != errTwoClients {
						t.Errorf("B73: a call: %v, the cause is %v", err, c.Cause())
					}
					if err := echoOnce(c); err != ErrClosed {
						t.Errorf("B1: %v", err)
					}
				}
				if took := time.Since(began); took > lostPeerGrace {
					t.Errorf("B73: they found out after %v", took)
				}
			})
		})
	}
}

// TestNoClients holds that a call that is none of a client's does not look like one.
func TestNoClients(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		request := encode(t, &Request{Service: "test", Method: "Echo"})
		p.send(2, messageTypeRequest, 0, request)
		p.send(7, messageTypeRequest, 0, nil)
		p.send(7, messageTypeRequest, 0, request[:2])
		p.send(7, messageTypeResponse, 0, request)
		p.wantNothing("B22")
		if err := c.Cause(); err != nil {
			t.Errorf("B22: it has ended: %v", err)
		}
	})
}

// TestTwoServers holds that servers at either end wait for ever for a client, unless one
// is told to require the mode.
func TestTwoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(0)
		one, done := serveConn(t, t.Context(), a, WithServerExtensions())
		two, done2 := serveConn(t, t.Context(), b)
		time.Sleep(24 * time.Hour)
		wantWaiting(t, "B73: an idle client is legal", done)
		wantWaiting(t, "B73: an idle client is legal", done2)
		one.Close()
		two.Close()

		a, b = memconn.Pipe(0)
		began := time.Now()
		_, done = serveConn(t, t.Context(), a, WithExtensionsRequired(), WithServerTimeouts(Timeouts{Handshake: time.Minute}))
		_, done2 = serveConn(t, t.Context(), b)
		if err := <-done; err == nil || !strings.HasSuffix(err.Error(), "or a server, too") || !errors.Is(err, ErrProtocol) {
			t.Errorf("B73: two servers: %v", err)
		}
		if err := <-done2; err != nil {
			t.Errorf("B73: the other server: %v", err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("B73: they found out after %v", took)
		}
	})
}

// TestExtensionsRequired holds which clients such a server serves.
func TestExtensionsRequired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(0)
		_, done := serveConn(t, t.Context(), a, WithExtensionsRequired())
		client := NewClient(b, WithExtensions())
		time.Sleep(24 * time.Hour)
		wantWaiting(t, "B73: a client that has asked", done)
		if err := echoOnce(client); err != nil {
			t.Errorf("B73: %v", err)
		}
		client.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}

		a, b = memconn.Pipe(0)
		_, done = serveConn(t, t.Context(), a, WithExtensionsRequired())
		client = NewClient(b)
		if err := echoOnce(client); status.Code(err) != codes.FailedPrecondition || status.Convert(err).Message() != "ttrpc: "+helloRequired {
			t.Errorf("B73: a classic client: %v", err)
		}
		if err := <-done; err == nil || err.Error() != "ttrpc: "+helloRequired {
			t.Errorf("B73: %v", err)
		}
		<-client.Done()
	})
}
