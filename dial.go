// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Dial returns a client that makes its own connections to target, one after the other.
// target is an address that [DialAddress] understands, such as unix:path or tcp:host:port,
// or whatever the Dial of [WithDialer] understands. Dial returns at once. Its only errors
// are about the options, and about a target that can be no address.
//
// The client connects in the background, and again, for ever, whenever the connection is
// lost. The options apply to each connection. An attempt to connect may take as long as
// Timeouts.Handshake says, and the handshake as long again.
//
// A call waits until there is a connection, or its context ends; see [Dialer].FailFast. A
// call that was certainly not begun, because the connection was ending or the peer had
// said goodbye or was shutting down, is made again on the next connection; with FailFast
// it returns an error that wraps [ErrNotExecuted] instead. A call that was lost on its way
// returns a status of code Unavailable that wraps [ErrClosed], for nobody knows whether it
// has run; if its context is [Repeatable] it is made again. Interceptors run once around
// all attempts. A stream that was opened is never repeated: if its connection ends, it
// ends with a status of code Unavailable that wraps ErrClosed and says why.
//
// All errors are statuses, see [WithStatusErrors]. A call whose context has ended while
// there was no connection says how the last attempt to connect has failed. The logger is
// warned of the first of several failures in a row, and without [WithClientLogger] that is
// in the standard log; the others are debug messages.
//
// Close ends the client for good. Its calls then end with code Canceled. [Client.Cause],
// [Client.UserOnCloseWait] and [WithOnClose] tell of that end, and not of the end of a
// connection.
func Dial(target string, opts ...ClientOpts) (*Client, error) {
	r := &redialer{
		target:  target,
		links:   make(map[*dialled]struct{}),
		changed: make(chan struct{}),
		attempt: make(chan struct{}),
		absent:  errNotYet,
		running: true,
	}
	c := &Client{config: newClientConfig(), via: r}
	c.config.asStatus = asStatus
	c.apply(opts)
	if c.config.log == nil {
		c.config.log = new(dialLogger)
	}
	if err := c.config.finish(); err != nil {
		return nil, err
	}
	if c.config.dialer != nil {
		r.Dialer = *c.config.dialer.(*Dialer)
	}
	if r.Dial == nil {
		var err error
		if r.Dial, err = targetDialer(target); err != nil {
			return nil, err
		}
	}
	r.Backoff.setDefaults()
	r.config, r.extends = c.config, c.config.extends
	r.ctx, r.end = context.WithCancel(context.Background())
	go r.run()
	return c, nil
}

// Reasons for there being no connection.
var (
	errNotYet = errors.New("not connected yet")
	errLeft   = errors.New("the peer said goodbye")
)

// A redialer makes the connections of a client made by Dial, and its calls on
// them. At most one connection takes new calls; others may live on for the calls
// that they have. There is no goroutine while one takes calls, else one: run.
type redialer struct {
	// Immutable.
	Dialer
	target string
	config *clientConfig
	ctx    context.Context // ends with the client
	end    context.CancelFunc

	// Owned by run.
	failures int       // in a row
	warned   bool      // since the last connection, that there is none
	extends  extension // makes the mode of the next connection, or nil

	mu sync.Mutex // no connection's is taken while it is held

	// Guarded by mu.
	links   map[*dialled]struct{} // all that have not ended
	current *dialled              // the one that takes calls, or nil
	changed chan struct{}         // closed while there is a current one
	attempt chan struct{}         // closed when the attempt to connect that is under way has failed; nil if none is
	absent  error                 // why there is none
	lost    *dialled              // was the current one, and run has not told of it yet
	running bool                  // run runs
	stopped bool                  // the client has ended, and so has its last connection
}

// A dialled is one connection of a redialer.
type dialled struct {
	*link
	since    time.Time
	answered atomic.Bool // a unary call has been
	ended    error       // set when it became lost: why it ended, nil if it had not
}

// run makes connections until one takes calls, and tells of all that happens.
func (r *redialer) run() {
	for {
		lost, goesOn := r.next()
		switch {
		case !goesOn:
			return
		case lost != nil:
			if r.extends != nil {
				r.extends = r.extends.following(lost.ended)
			}
			r.pause(ConnectionEvent{EventDisconnected, lost.ended, r.pauseAfter(lost)})
			continue
		}
		r.tell(ConnectionEvent{Kind: EventConnecting})
		switch err := r.connect(); {
		case err == nil:
			r.tell(ConnectionEvent{Kind: EventConnected})
		case r.ctx.Err() == nil:
			r.failures++
			r.pause(ConnectionEvent{EventFailed, err, r.Backoff.pause(r.failures)})
		}
	}
}

// next returns the link that run is to tell of, or nil if it is to make one. It
// reports whether there is anything to do for it; else leave will start it again.
func (r *redialer) next() (lost *dialled, goesOn bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lost, r.lost = r.lost, nil
	r.running = lost != nil || r.current == nil && r.ctx.Err() == nil
	return lost, r.running
}

// pauseAfter is how long to wait before lost is replaced.
func (r *redialer) pauseAfter(lost *dialled) time.Duration {
	age := time.Since(lost.since)
	switch {
	case r.ctx.Err() != nil:
		return 0
	case lost.ended == nil, lost.answered.Load(), age >= r.Backoff.Max:
		r.failures = 0
		return max(0, r.Backoff.Min-age)
	}
	r.failures++
	return r.Backoff.pause(r.failures)
}

// pause tells of e and waits as long as it says.
func (r *redialer) pause(e ConnectionEvent) {
	if e.Pause != 0 {
		r.attempting(false)
		defer r.attempting(true)
	}
	r.tell(e)
	if e.Pause == 0 {
		return
	}
	timer := time.NewTimer(e.Pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.ctx.Done():
	}
}

// attempting takes note that an attempt to connect is under way, or is not.
func (r *redialer) attempting(is bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !is && r.attempt != nil:
		close(r.attempt)
		r.attempt = nil
	case is && r.attempt == nil:
		r.attempt = make(chan struct{})
	}
}

func (r *redialer) tell(e ConnectionEvent) {
	switch {
	case e.Kind == EventConnected:
		r.warned = false
	case e.Kind == EventFailed && !r.warned:
		r.warned = true
		r.config.log.Warn("ttrpc: cannot connect, and goes on trying", "target", r.target, "error", e.Err)
	case e.Kind == EventFailed:
		r.config.log.Debug("ttrpc: cannot connect", "target", r.target, "error", e.Err, "pause", e.Pause)
	}
	if r.Events != nil {
		r.Events(e)
	}
}

// connect makes one attempt at a connection, which takes calls from then on.
func (r *redialer) connect() error {
	nc, auth, err := r.transport()
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.absent = err
		return err
	}
	l := r.newLink(nc)
	if !r.adopt(l) {
		closeConn(nc)
		return ErrClosed
	}
	l.start(nc, auth)
	close(l.shaken)
	return nil
}

// transport dials, and shakes hands.
func (r *redialer) transport() (nc net.Conn, auth any, err error) {
	ctx, cancel := context.WithTimeout(r.ctx, r.config.timeouts.Handshake)
	defer cancel()
	nc, err = r.Dial(ctx, r.target)
	if err == nil && nc == nil {
		err = errors.New("the dialer returned no connection")
	}
	if err != nil || r.config.handshaker == nil {
		return nc, nil, err
	}
	return handshake(r.ctx, r.config.handshaker, nc, r.config.timeouts.Handshake)
}

func (r *redialer) newLink(nc net.Conn) *dialled {
	cfg := *r.config
	cfg.closeDone, cfg.extends = make(chan struct{}), r.extends
	l := &dialled{link: newLink(&cfg, nc), since: time.Now()}
	l.shaken = make(chan struct{}) // connect has shaken hands, but it has not been told
	hooks := *l.conn.hooks
	hooks.refusal = errEnded
	l.conn.hooks = &hooks
	l.conn.onLeave(func() {
		if r.ctx.Err() == nil { // else it is ours to end
			r.leave(l)
			l.retire()
		}
	})
	l.conn.gone = func(*conn) { r.forget(l) }
	return l
}

// retire has a link that leaves because it has few ids end once it has no streams, which those
// it has may still open. It looks now and then, as there is time.
func (l *dialled) retire() {
	l.conn.mu.Lock()
	few, idle := l.conn.lastID >= fewIDs && !l.conn.closed, len(l.conn.streams) == 0
	l.conn.mu.Unlock()
	switch {
	case few && idle:
		l.conn.drain()
	case few:
		time.AfterFunc(retireEvery, l.retire)
	}
}

// retireEvery is how often retire looks.
const retireEvery = time.Second

// adopt makes l the current link, unless the client has ended.
func (r *redialer) adopt(l *dialled) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return false
	}
	r.links[l] = struct{}{}
	r.current, r.attempt = l, nil
	close(r.changed)
	return true
}

// leave has no more calls made on l.
func (r *redialer) leave(l *dialled) {
	cause := l.cause()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != l {
		return
	}
	l.ended = cause
	r.current, r.lost, r.absent = nil, l, cause
	if cause == nil {
		r.absent = errLeft
	}
	r.changed, r.attempt = make(chan struct{}), make(chan struct{})
	if !r.running {
		r.running = true
		go r.run()
	}
}

// forget is called when the connection of l has ended.
func (r *redialer) forget(l *dialled) {
	close(l.cfg.closeDone)
	r.leave(l)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.links, l)
	r.endLocked()
}

// cause implements [connector]. It is nil as long as the client goes on.
func (r *redialer) cause() error {
	if r.ctx.Err() == nil {
		return nil
	}
	return ErrClosed
}

// close implements [connector].
func (r *redialer) close() { r.stop((*link).close) }

// drain implements [connector].
func (r *redialer) drain() { r.stop((*link).drain) }

// await implements [connector]. Each connection waits for itself.
func (r *redialer) await(context.Context) error { return nil }

// stop ends the client. What it does to each connection must end that, sooner or
// later.
func (r *redialer) stop(end func(*link)) {
	r.mu.Lock()
	r.end()
	links := slices.Collect(maps.Keys(r.links))
	r.endLocked()
	r.mu.Unlock()
	for _, l := range links {
		end(l.link)
	}
}

// endLocked tells of the client's end once that has come.
func (r *redialer) endLocked() {
	if !r.stopped && r.ctx.Err() != nil && len(r.links) == 0 {
		r.stopped = true
		go r.config.closed()
	}
}

// draining implements [connector].
func (r *redialer) draining() <-chan struct{} { return r.ctx.Done() }

// connection implements [connector].
func (r *redialer) connection() (*conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == nil {
		return nil, r.absent
	}
	return r.current.conn, nil
}
