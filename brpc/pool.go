// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// A PoolConfig says what a Pool does with clients. Its functions may be called concurrently,
// and before NewPool's caller has the Pool.
type PoolConfig struct {
	// Key returns the key of a client that begins to serve, or why it may not, as a status.
	// It decides by who the peer is, or by what the client has sent: the context has the
	// metadata of WithServeMetadata, as metadata.FromIncomingContext finds it, which is as
	// true as the peer is. By default the key of all is "".
	Key func(ctx context.Context, peer *Peer) (string, error)

	// Opened is called when a client can be called, and Closed once when it has gone from the
	// pool. For one client they are called one after the other.
	Opened, Closed func(*PoolClient)
}

// A Pool has the clients of a Server that serve, on whatever connections. What they serve is
// called by a [PoolConn]. A client whose connection is lost leaves the pool, and enters it
// again with the next. Its methods may be used concurrently.
type Pool struct {
	config PoolConfig
	turn   atomic.Uint64 // of calls to all

	mu sync.Mutex

	// Guarded by mu.
	clients []*PoolClient // in the order in which they came
	keys    map[string]*keyed
	count   uint64
	changed chan struct{} // closed when a client comes, and replaced
	closed  bool
}

// keyed are the clients of one key.
type keyed struct {
	clients []*PoolClient
	turn    atomic.Uint64
}

// NewPool returns a pool that no client is in, for ServerConfig.Pool.
func NewPool(config PoolConfig) *Pool {
	return &Pool{config: config, keys: make(map[string]*keyed), changed: make(chan struct{})}
}

// A PoolClient is one client in a pool. It is a grpc.ClientConnInterface, for calls to this
// client and no other, whose error is [ErrClientNotConnected] once that has gone.
type PoolClient struct {
	session *session
	key     string
	number  uint64        // counts those of the pool
	lasts   int           // guarded by the pool's mu: how many announcements
	opened  chan struct{} // closed when Opened has returned
}

// Key returns what PoolConfig.Key has.
func (c *PoolClient) Key() string { return c.key }

// Peer returns who the client is.
func (c *PoolClient) Peer() *Peer { return c.session.remote.peer }

// Invoke implements grpc.ClientConnInterface.
func (c *PoolClient) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return c.session.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (c *PoolClient) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.session.NewStream(ctx, desc, method, opts...)
}

// Clients returns the clients in the pool, in the order in which they came.
func (p *Pool) Clients() []*PoolClient {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.clients)
}

// Shutdown takes no more clients: they are told that it is Unavailable, and try again from
// time to time. Those in the pool stay.
func (p *Pool) Shutdown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

var errPoolClosed = status.Error(codes.Unavailable, "brpc: the pool takes no more clients")

// enter takes a client for as long as it says so on s.
func (p *Pool) enter(ctx context.Context, from *session, s *ttrpc.DetachedStream) error {
	key := ""
	if p.config.Key != nil {
		md, _ := ttrpc.GetMetadata(ctx)
		var err error
		if key, err = p.config.Key(metadata.NewIncomingContext(ctx, metadata.MD(md)), from.remote.peer); err != nil {
			return refusal(err)
		}
	}
	c, first, err := p.add(from, key)
	if err != nil {
		return err
	}
	if first {
		if p.config.Opened != nil {
			p.config.Opened(c)
		}
		close(c.opened)
	}
	context.AfterFunc(s.Context(), func() { p.leave(c) })
	return nil
}

// refusal returns an error as a status that the client does not take for a loss.
func refusal(err error) error {
	if st, ok := status.FromError(err); ok && st.Code() != codes.Unavailable {
		return err
	}
	return status.Error(codes.PermissionDenied, err.Error())
}

func (p *Pool) add(from *session, key string) (c *PoolClient, first bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, false, errPoolClosed
	}
	if i := slices.IndexFunc(p.clients, func(c *PoolClient) bool { return c.session == from && c.key == key }); i >= 0 {
		p.clients[i].lasts++
		return p.clients[i], false, nil
	}
	p.count++
	c = &PoolClient{session: from, key: key, number: p.count, lasts: 1, opened: make(chan struct{})}
	p.clients = append(p.clients, c)
	of := p.keys[key]
	if of == nil {
		of = new(keyed)
		p.keys[key] = of
	}
	of.clients = append(of.clients, c)
	close(p.changed)
	p.changed = make(chan struct{})
	return c, true, nil
}

// leave is called once for each announcement.
func (p *Pool) leave(c *PoolClient) {
	if !p.remove(c) {
		return
	}
	<-c.opened
	if p.config.Closed != nil {
		p.config.Closed(c)
	}
}

func (p *Pool) remove(c *PoolClient) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.lasts--; c.lasts > 0 {
		return false
	}
	is := func(d *PoolClient) bool { return c == d }
	p.clients = slices.DeleteFunc(p.clients, is)
	of := p.keys[c.key]
	if of.clients = slices.DeleteFunc(of.clients, is); len(of.clients) == 0 {
		delete(p.keys, c.key)
	}
	return true
}
