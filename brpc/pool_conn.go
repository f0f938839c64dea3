// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"context"
	"hash/maphash"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A PoolConn calls the clients of a pool: it is a grpc.ClientConnInterface for the generated
// constructor of a client. Each call goes to the next client in turn. If there is none it is
// Unavailable at once, or, with grpc.WaitForReady, waits for one. A call that was begun is not
// made again at another client.
type PoolConn struct {
	pool     *Pool
	keyed    bool // for clients of key only
	key      string
	affine   bool // for the client that fits affinity best
	affinity string
}

// Conn returns what calls all clients of the pool in turn.
func (p *Pool) Conn() *PoolConn { return &PoolConn{pool: p} }

// KeyConn returns what calls those clients in turn that have this key.
func (p *Pool) KeyConn(key string) *PoolConn { return &PoolConn{pool: p, keyed: true, key: key} }

// Affine returns what has calls with one affinity, such as the name of a session, go to the
// same client as long as that is in the pool: each affinity has a client, whatever others come
// and go, and only those of one that has gone get another one. One that comes gets its share.
func (c *PoolConn) Affine(affinity string) *PoolConn {
	d := *c
	d.affine, d.affinity = true, affinity
	return &d
}

// Ready tells whether there is a client.
func (c *PoolConn) Ready() bool {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	clients, _ := c.clientsLocked()
	return len(clients) > 0
}

// WaitForReady waits for a client. The error is that of ctx, if that ends first.
func (c *PoolConn) WaitForReady(ctx context.Context) error {
	for {
		c.pool.mu.Lock()
		clients, _ := c.clientsLocked()
		changed := c.pool.changed
		c.pool.mu.Unlock()
		if len(clients) > 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *PoolConn) clientsLocked() (clients []*PoolClient, turn func() uint64) {
	if !c.keyed {
		return c.pool.clients, func() uint64 { return c.pool.turn.Add(1) }
	}
	of := c.pool.keys[c.key]
	if of == nil {
		return nil, nil
	}
	return of.clients, func() uint64 { return of.turn.Add(1) }
}

// order returns the clients in the order in which to try them.
func (c *PoolConn) order() []*PoolClient {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	clients, turn := c.clientsLocked()
	if len(clients) == 0 {
		return nil
	}
	if c.affine {
		clients = slices.Clone(clients)
		slices.SortFunc(clients, c.closer)
		return clients
	}
	first := turn() % uint64(len(clients))
	return slices.Concat(clients[first:], clients[:first])
}

var seed = maphash.MakeSeed()

// closer tells which client an affinity prefers: the one of the higher hash of both, so that
// a client which goes or comes moves no others.
func (c *PoolConn) closer(a, b *PoolClient) int {
	return compareDown(c.weight(a), c.weight(b))
}

func compareDown(a, b uint64) int {
	switch {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return 0
}

func (c *PoolConn) weight(of *PoolClient) uint64 {
	return maphash.Comparable(seed, struct {
		affinity string
		client   uint64
	}{c.affinity, of.number})
}

var errNoClient = status.Error(codes.Unavailable, "brpc: no client in the pool can be called")

// pick has f make a call on one client. It is another one if the first has gone already.
func (c *PoolConn) pick(ctx context.Context, opts []grpc.CallOption, f func(*grpc.ClientConn, *session) error) error {
	for {
		for _, client := range c.order() {
			if conn, err := client.session.begin(); err == nil {
				return f(conn, client.session)
			}
		}
		if !waits(opts) {
			return errNoClient
		}
		if err := c.WaitForReady(ctx); err != nil {
			return status.FromContextError(err).Err()
		}
	}
}

// waits tells whether a call has grpc.WaitForReady. The last one counts.
func waits(opts []grpc.CallOption) bool {
	wait := false
	for _, o := range opts {
		if f, ok := o.(grpc.FailFastCallOption); ok {
			wait = !f.FailFast
		}
	}
	return wait
}

// Invoke implements grpc.ClientConnInterface.
func (c *PoolConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return c.pick(ctx, opts, func(conn *grpc.ClientConn, s *session) error {
		return s.invoke(ctx, conn, method, args, reply, opts)
	})
}

// NewStream implements grpc.ClientConnInterface.
func (c *PoolConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (stream grpc.ClientStream, err error) {
	err = c.pick(ctx, opts, func(conn *grpc.ClientConn, s *session) error {
		stream, err = s.stream(ctx, conn, desc, method, opts)
		return err
	})
	return stream, err
}
