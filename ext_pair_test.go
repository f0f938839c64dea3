// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// extendedService is what the tests of the extended mode call, from either end.
func extendedService() *ServiceDesc {
	return &ServiceDesc{
		Methods: map[string]Method{
			"Echo": func(_ context.Context, unmarshal func(any) error) (any, error) {
				m := new(wrapperspb.StringValue)
				return m, unmarshal(m)
			},
			"Block": func(ctx context.Context, _ func(any) error) (any, error) {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			},
			"Nest": nest,
		},
		Streams: map[string]Stream{
			"Echoes": {StreamingClient: true, StreamingServer: true, Handler: func(_ context.Context, s StreamServer) (any, error) {
				for {
					m := new(wrapperspb.BytesValue)
					if err := s.RecvMsg(m); err != nil {
						return nil, endOfStream(err)
					}
					if err := s.SendMsg(m); err != nil {
						return nil, err
					}
				}
			}},
			"Flood": {StreamingServer: true, Handler: func(_ context.Context, s StreamServer) (any, error) {
				for {
					if err := s.SendMsg(wrapperspb.Bytes(make([]byte, 1000))); err != nil {
						return nil, err
					}
				}
			}},
		},
	}
}

// nest calls the peer's Nest with one less, until it is 0.
func nest(ctx context.Context, unmarshal func(any) error) (any, error) {
	m := new(wrapperspb.Int64Value)
	if err := unmarshal(m); err != nil || m.Value == 0 {
		return m, err
	}
	peer, err := PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	answer := new(wrapperspb.Int64Value)
	err = peer.Call(ctx, "test", "Nest", wrapperspb.Int64(m.Value-1), answer)
	answer.Value++
	return answer, err
}

// An extendedPair is a client that offers services, and a server.
type extendedPair struct {
	server, services *Server
	client           *Client
}

// newExtendedPair connects the two over a unix socket.
func newExtendedPair(t testing.TB, serverOpts []ServerOpt, opts ...ClientOpts) *extendedPair {
	t.Helper()
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	p := newExtendedServers(t, serverOpts)
	go p.server.Serve(context.Background(), l)
	nc, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p.connect(t, nc, opts)
	return p
}

// newBubblePair connects the two in memory, in a synctest bubble.
func newBubblePair(t *testing.T, serverOpts []ServerOpt, opts ...ClientOpts) *extendedPair {
	t.Helper()
	p := newExtendedServers(t, serverOpts)
	a, b := memconn.Pipe(0)
	p.server.accept(context.Background(), b)
	p.connect(t, a, opts)
	return p
}

func newExtendedServers(t testing.TB, serverOpts []ServerOpt) *extendedPair {
	t.Helper()
	p := &extendedPair{}
	var err error
	if p.server, err = NewServer(append([]ServerOpt{WithServerExtensions()}, serverOpts...)...); err != nil {
		t.Fatal(err)
	}
	if p.services, err = NewServer(); err != nil {
		t.Fatal(err)
	}
	p.server.RegisterService("test", extendedService())
	p.services.RegisterService("test", extendedService())
	return p
}

func (p *extendedPair) connect(t testing.TB, nc net.Conn, opts []ClientOpts) {
	t.Helper()
	p.client = NewClient(nc, append([]ClientOpts{WithClientServices(p.services)}, opts...)...)
	t.Cleanup(func() {
		p.client.Close()
		p.server.Close()
		p.services.Close()
	})
	if ok, err := p.client.Extended(context.Background()); !ok || err != nil {
		t.Fatalf("B46: extended %v, %v", ok, err)
	}
}

// serverConn is the server's side of the connection.
func (p *extendedPair) serverConn() *conn {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	for c := range p.server.connections {
		return c
	}
	return nil
}

// echo makes a call and checks its answer.
func (p *extendedPair) echo(ctx context.Context, value string) error {
	m := new(wrapperspb.StringValue)
	err := p.client.Call(ctx, "test", "Echo", wrapperspb.String(value), m)
	if err == nil && m.Value != value {
		err = fmt.Errorf("an answer of %d bytes, want %d", len(m.Value), len(value))
	}
	return err
}

func TestExtendedOverSocket(t *testing.T) {
	p := newExtendedPair(t, nil)
	ctx := context.Background()
	for _, size := range []int{2, 1 << 20} {
		if err := p.echo(ctx, strings.Repeat("x", size)); err != nil {
			t.Errorf("a call with %d bytes: %v", size, err)
		}
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range 10 {
				if err := p.echo(ctx, strings.Repeat(fmt.Sprint(i), 1+(i*j*997)%100000)); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
}

func TestExtendedStreamsOverSocket(t *testing.T) {
	p := newExtendedPair(t, nil)
	for _, size := range []int{0, 1000, 60000, 70000, 300000} {
		s, err := p.client.NewStream(context.Background(), bidi, "test", "Echoes", nil)
		if err != nil {
			t.Fatal(err)
		}
		const n = 10
		go func() {
			for range n {
				if err := s.SendMsg(wrapperspb.Bytes(make([]byte, size))); err != nil {
					t.Error(err)
				}
			}
			s.CloseSend()
		}()
		for i := range n {
			m := new(wrapperspb.BytesValue)
			if err := s.RecvMsg(m); err != nil || len(m.Value) != size {
				t.Fatalf("message %d of %d bytes: %d, %v", i, size, len(m.Value), err)
			}
		}
		if err := s.RecvMsg(new(wrapperspb.BytesValue)); err != io.EOF {
			t.Errorf("the end: %v", err)
		}
	}
}
