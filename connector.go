// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"net"
	"sync"

	"github.com/containerd/ttrpc/internal/wire"
)

// A connector is what a client's calls go through: one connection, or Dial's succession of
// connections.
type connector interface {
	// await waits until it is known what the peer can do, if one asks for that.
	await(ctx context.Context) error

	// roundTrip sends a request and returns the response, which is then the caller's.
	roundTrip(ctx context.Context, head requestHead, p payload) (*frame, error)

	// openStream is Client.openStream.
	openStream(ctx context.Context, desc *StreamDesc, service, method string, req any, extras callerExtras) (ClientStream, error)

	extended(ctx context.Context) (bool, error) // is Client.Extended
	cause() error                               // is Client.Cause
	told(err error) error                       // makes of an error, or nil, what the client returns
	connection() (now *conn, absent error)      // the connection that takes calls, or why there is none
	draining() <-chan struct{}                  // is Client.Draining
	close()                                     // ends all connections now
	drain()                                     // ends them in order
}

// A link is one connection as a client uses it.
type link struct {
	conn   *conn
	cfg    *clientConfig
	shaken chan struct{} // closed once it is known who the peer is; nil if it is from the beginning
	ready  chan struct{} // closed once it is known what the peer can do; nil if it is not asked
	calls  sync.Pool     // of *stream: finished unary calls
}

// newLink makes a client's link on nc.
func newLink(cfg *clientConfig, nc net.Conn) *link {
	l := &link{conn: newConn(roleClient, nc, &cfg.connConfig), cfg: cfg}
	l.conn.user = l
	l.conn.twoClientsLocked, l.conn.firstAnsweredLocked = (*conn).refuseClientLocked, (*conn).answeredFirstLocked
	if cfg.extends != nil {
		l.ready = make(chan struct{})
	}
	if cfg.host != nil {
		l.conn.host, l.conn.hooks = cfg.host, cfg.hooks
	}
	return l
}

// begin begins to speak on nc, after the handshake if there is to be one.
func (l *link) begin(nc net.Conn) {
	if l.cfg.handshaker != nil {
		l.shaken = make(chan struct{})
		go l.handshake(nc)
	} else {
		l.start(nc, nil)
	}
}

func (l *link) handshake(nc net.Conn) {
	defer close(l.shaken)
	shaken, auth, err := handshake(context.Background(), l.cfg.handshaker, nc, l.cfg.timeouts.Handshake)
	if err != nil {
		if l.cause() == nil { // or it is our own Close
			traceRefused(l.conn, err)
			l.cfg.log.Error("ttrpc: client handshake failed", "error", err)
		}
		l.conn.close(err)
		if l.ready != nil {
			close(l.ready)
		}
		return
	}
	l.start(shaken, auth)
}

// start begins to speak on nc, which may be what a handshake made of the conn.
func (l *link) start(nc net.Conn, auth any) {
	base := withPeer(context.Background(), l.conn, nc, auth)
	l.conn.mu.Lock() // calls may have begun
	l.conn.base = base
	l.conn.mu.Unlock()
	l.conn.start(nc)
	if l.ready != nil {
		go func() {
			defer close(l.ready)
			l.cfg.extends.ask(l.conn, l.call)
		}()
	}
}

// await implements [connector].
func (l *link) await(ctx context.Context) error {
	if l.ready == nil {
		return nil
	}
	select {
	case <-l.ready:
		return nil
	case <-ctx.Done():
		return l.told(errOf(ctx))
	}
}

// extended implements [connector].
func (l *link) extended(ctx context.Context) (bool, error) {
	if err := l.await(ctx); err != nil {
		return false, err
	}
	l.conn.mu.Lock()
	is, closed := l.conn.mode != nil, l.conn.closed
	l.conn.mu.Unlock()
	if !is && closed {
		return false, l.told(ErrClosed)
	}
	return is, nil
}

// peer implements [peerKnower].
func (l *link) peer(ctx context.Context) (*Peer, error) {
	if p := l.conn.peer(); p != nil {
		return p, nil
	}
	if l.shaken != nil {
		select {
		case <-l.shaken:
		case <-ctx.Done():
			return nil, l.told(errOf(ctx))
		}
		if p := l.conn.peer(); p != nil {
			return p, nil
		}
	}
	return nil, l.told(ErrClosed)
}

// cause implements [connector].
func (l *link) cause() error { return l.conn.why() }

// connection implements [connector].
func (l *link) connection() (*conn, error) { return l.conn, nil }

// draining implements [connector].
func (l *link) draining() <-chan struct{} { return l.conn.leaving() }

// close implements [connector].
func (l *link) close() { l.conn.close(ErrClosed) }

// drain implements [connector].
func (l *link) drain() { l.conn.drain() }

// roundTrip implements [connector].
func (l *link) roundTrip(ctx context.Context, head requestHead, p payload) (*frame, error) {
	request, err := requestFrame(head, p, 0, l.conn.messageLimit())
	if err != nil {
		return nil, l.told(err)
	}
	if head.extras != nil {
		if err := head.extras.attach(l.conn, request); err != nil {
			request.release()
			return nil, l.told(err)
		}
	}
	f, err := l.call(ctx, head.service, head.method, request)
	if err != nil {
		return nil, l.told(err)
	}
	if err := l.conn.turnedAway(f); err != nil {
		f.release()
		return nil, err
	}
	return f, nil
}

// turnedAway returns the error of a call that the peer has refused with an answer, if the
// answer says so, else nil.
func (c *conn) turnedAway(answer *frame) error {
	if answer.header.Flags == 0 || c.mode == nil { // the mode of a call stays
		return nil
	}
	return c.mode.turnedAway(answer)
}

// refuseClientLocked ends the connection if the frame tells that the peer is a client, too.
func (c *conn) refuseClientLocked(f *frame) bool {
	if !isClients(f) {
		return false
	}
	c.refuseLocked(f, errTwoClients)
	return true
}

// isClients tells whether a frame is a request as clients make them.
func isClients(f *frame) bool {
	if f.header.Type != messageTypeRequest || f.header.StreamID%2 == 0 {
		return false
	}
	v, err := wire.ParseRequest(f.data, func(_, _ []byte) {})
	return err == nil && len(v.Service) > 0 && len(v.Method) > 0
}
