// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	wire "github.com/moby/spdystream/spdy"

	"github.com/containerd/ttrpc/libchan"
)

// A Transport is a session with an old peer. It implements [libchan.Transport]. Its methods may
// be used concurrently.
type Transport struct {
	// Immutable.
	conn    net.Conn
	frames  *frames
	opts    options
	client  bool
	done    chan struct{}      // closed when the session ends
	closed  context.Context    // ends when this side closes it: nothing more is received
	discard context.CancelFunc // ends closed

	mu        sync.Mutex
	cause     error
	streams   map[wire.StreamId]*stream // that are open
	offered   map[uint64]*stream        // of these, by ref, the peer's that no message has named
	awaited   map[uint64]*stream        // by ref what was named and is not open yet
	arrivals  []*stream                 // channels that nobody has accepted
	lastOwn   wire.StreamId
	lastPeer  wire.StreamId
	lastRef   uint64
	peers     int   // of streams, those that the peer has opened
	window    int64 // of new streams, towards the peer
	windows   bool  // the peer has sent a window update, so its windows count
	draining  bool
	peerLeft  bool // it has said goodbye
	farewell  wire.GoAwayStatus
	buffered  int // bytes that have arrived and that nobody has received
	partial   int // bytes of messages that have begun to arrive, beside those
	queue     queue
	arrived   signal // there is another arrival
	drained   signal // buffered is less
	quiet     signal // there are fewer streams
	finishing bool   // the session ends when the queue is empty
}

// NewClient begins a session on a connection that this side has dialled. It owns the
// connection from then on.
func NewClient(conn net.Conn, opts ...Option) (*Transport, error) { return begin(conn, true, opts) }

// NewServer begins a session on a connection that the peer has dialled. It owns the connection
// from then on.
func NewServer(conn net.Conn, opts ...Option) (*Transport, error) { return begin(conn, false, opts) }

func begin(conn net.Conn, client bool, opts []Option) (*Transport, error) {
	if conn == nil {
		return nil, errors.New("libchan/spdy: the connection is nil")
	}
	o := options{opens: opensWithin}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("libchan/spdy: an option is nil")
		}
		opt(&o)
	}
	o.limits = o.limits.withDefaults()
	f, err := newFrames(conn, uint32(o.limits.Headers))
	if err != nil {
		return nil, err
	}
	t := &Transport{
		conn: conn, frames: f, opts: o, client: client, done: make(chan struct{}), window: firstWindow,
		streams: map[wire.StreamId]*stream{}, offered: map[uint64]*stream{}, awaited: map[uint64]*stream{},
	}
	t.closed, t.discard = context.WithCancel(context.Background())
	go t.write()
	go t.read()
	return t, nil
}

// NewSendChannel implements [libchan.Transport].
func (t *Transport) NewSendChannel() (libchan.Sender, error) {
	s, err := t.OpenChannel(context.Background())
	if err != nil {
		return nil, err // no nil that is none
	}
	return s, nil
}

// OpenChannel is NewSendChannel that waits no longer than ctx lasts, while the connection takes
// nothing.
func (t *Transport) OpenChannel(ctx context.Context) (libchan.ContextSender, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !t.queue.hasRoom() && t.cause == nil {
		if err := t.waitLocked(ctx.Done(), &t.queue.room); err != nil {
			return nil, ctx.Err()
		}
	}
	st, err := t.openLocked(nil, receives)
	if err != nil {
		return nil, err
	}
	r, s := libchan.BufferedPipe(0)
	go st.sendFrom(r.(libchan.ContextReceiver))
	return s.(libchan.ContextSender), nil
}

// WaitReceiveChannel implements [libchan.Transport].
func (t *Transport) WaitReceiveChannel() (libchan.Receiver, error) {
	r, err := t.Accept(context.Background())
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Accept is WaitReceiveChannel that waits no longer than ctx lasts.
func (t *Transport) Accept(ctx context.Context) (libchan.ContextReceiver, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.arrivals) == 0 {
		if t.cause != nil {
			return nil, ended(t.cause)
		}
		if err := t.waitLocked(ctx.Done(), &t.arrived); err != nil {
			return nil, ctx.Err()
		}
	}
	st := t.arrivals[0]
	t.arrivals = t.arrivals[1:]
	r, s := libchan.BufferedPipe(0)
	st.growLocked()
	go st.receiveInto(s.(libchan.ContextSender))
	return r.(libchan.ContextReceiver), nil
}

// Done returns a channel that is closed when the session has ended. Cause tells why.
func (t *Transport) Done() <-chan struct{} { return t.done }

// Cause tells why the session has ended: [libchan.ErrClosed] if this side has closed it, io.EOF
// if the peer has, or what happened to the connection. It is nil while the session lasts.
func (t *Transport) Cause() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cause
}

// Close ends the session and its connection at once. What waits anywhere returns. What was
// sent and has not left is lost, which Shutdown waits for, and so is what was not received.
func (t *Transport) Close() error {
	t.end(libchan.ErrClosed)
	t.discard()
	return nil
}

// Shutdown ends the session in order: this side opens no more channels and refuses those that
// the peer opens. Those that there are go on until they end, and then it closes the session and
// returns nil; or, if ctx ends first, its error, and Close is still to be called.
func (t *Transport) Shutdown(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = true
	for len(t.streams) > 0 && t.cause == nil {
		if err := t.waitLocked(ctx.Done(), &t.quiet); err != nil {
			return ctx.Err()
		}
	}
	t.leaveLocked(wire.GoAwayOK, libchan.ErrClosed)
	for t.cause == nil {
		if err := t.waitLocked(ctx.Done(), &t.quiet); err != nil {
			return ctx.Err()
		}
	}
	return nil
}

// leaveLocked has the session end once the peer was told, or after a while.
func (t *Transport) leaveLocked(status wire.GoAwayStatus, cause error) {
	if t.cause != nil || t.finishing {
		return
	}
	t.finishing = true
	t.queue.add(&wire.GoAwayFrame{LastGoodStreamId: t.lastPeer, Status: status})
	t.queue.last = cause
	time.AfterFunc(patience, func() { t.end(cause) })
}

// end ends the session.
func (t *Transport) end(cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cause != nil {
		return
	}
	t.cause = cause
	close(t.done)
	for _, streams := range []map[uint64]*stream{t.offered, t.awaited} {
		for _, st := range streams {
			st.failLocked(ended(cause))
		}
		clear(streams)
	}
	for _, st := range t.streams {
		st.failLocked(ended(cause))
	}
	clear(t.streams)
	for _, s := range []*signal{&t.arrived, &t.drained, &t.quiet, &t.queue.room, &t.queue.ready} {
		s.raise()
	}
	_ = t.conn.Close()
}

// read reads frames until the session ends.
func (t *Transport) read() {
	for {
		frame, err := t.frames.read()
		if err == nil {
			err = t.handle(frame)
		}
		if err == nil {
			continue
		}
		t.mu.Lock()
		breach := (*protocolError)(nil)
		if errors.As(err, &breach) {
			t.leaveLocked(wire.GoAwayProtocolError, err)
			t.mu.Unlock()
			_, _ = io.Copy(io.Discard, t.frames.r) // so that the peer's writes do not keep it from reading
			t.mu.Lock()
		}
		if err == io.EOF && t.farewell != wire.GoAwayOK {
			err = fmt.Errorf("libchan/spdy: the peer has ended the session with the status %d: %w", t.farewell, io.EOF)
		}
		t.mu.Unlock()
		t.end(err)
		return
	}
}

// A signal wakes who waits for it. The Transport's lock guards it.
type signal struct{ ch chan struct{} }

func (s *signal) raise() {
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

var errStopped = errors.New("libchan/spdy: nobody waits any more")

// waitLocked waits for a signal, or until stop is closed.
func (t *Transport) waitLocked(stop <-chan struct{}, s *signal) error {
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	ch := s.ch
	t.mu.Unlock()
	defer t.mu.Lock()
	select {
	case <-ch:
		return nil
	case <-stop:
		return errStopped
	}
}
