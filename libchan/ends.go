// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"fmt"
	"io"
	"runtime"
)

// A Sender is the end of a channel that messages are sent to. Its methods may be used
// concurrently.
type Sender interface {
	// Send sends a message: any value that the channel's codec can encode. It waits if the
	// receiver is too far behind, until there is room, the receiver takes no more, the
	// channel is closed or its session ends. Ends of channels in the message are given
	// away, if Send returns nil. A sender that was closed cannot be.
	Send(message interface{}) error

	// Close ends the channel. What was sent before is received, and then io.EOF. A second
	// Close returns nil; a Send after it, or one that waits, ErrClosed.
	Close() error
}

// A Receiver is the end of a channel that messages are received from. Its methods may be
// used concurrently: each message is received once.
type Receiver interface {
	// Receive waits for the next message and decodes it into message, a pointer. Fields
	// that the message does not have are left as they are. If the message does not fit, it
	// is lost, the error says why, and the next one is received whole. At the end the error
	// is io.EOF, or that with which the sender has closed the channel.
	Receive(message interface{}) error
}

// A Transport makes channels to a peer. A [Session] is one.
type Transport interface {
	// NewSendChannel opens a channel, whose other end the peer gets by WaitReceiveChannel.
	NewSendChannel() (Sender, error)

	// WaitReceiveChannel waits for the next channel that the peer opens.
	WaitReceiveChannel() (Receiver, error)
}

// A ContextSender is what all Senders of this package are.
type ContextSender interface {
	Sender

	// SendContext is Send that waits no longer than ctx lasts. Its error is that of ctx if
	// that has ended first: the message was not sent, the ends in it are good, and so is
	// the channel. If it was sent, and it is not known whether it was received, the error
	// wraps [ErrUnconfirmed], too.
	SendContext(ctx context.Context, message any) error

	// CloseWithError is Close with an error that the receiver gets instead of io.EOF,
	// after all messages: a status of google.golang.org/grpc as such, any other by its
	// text. With nil it is Close.
	CloseWithError(err error) error

	// Done returns a channel that is closed when nothing can be sent any more. Cause tells
	// why, and is nil until then.
	Done() <-chan struct{}
	Cause() error

	// Len returns how many messages wait here that have not been received or left by a
	// session. Cap returns how many may be sent and not received, or -1 if that is bounded
	// in bytes.
	Len() int
	Cap() int

	// Sent returns how many messages were sent, and Taken how many of these were received
	// for sure. After a lost connection the rest may or may not have been. Of a channel
	// without a capacity whose receiver is beyond a session the number may be up to 1,024
	// too low.
	Sent() uint64
	Taken() uint64
}

// A ContextReceiver is what all Receivers of this package are.
type ContextReceiver interface {
	Receiver

	// ReceiveContext is Receive that waits no longer than ctx lasts. If its error is that
	// of ctx, no message was taken.
	ReceiveContext(ctx context.Context, message any) error

	// Cancel takes no more messages. The sender's next Send, and one that waits, returns
	// cause: a status as such, any other error by its text. What was not received is
	// dropped. A second Cancel does nothing.
	Cancel(cause error)

	// Ready returns a channel that is closed once Receive need not wait, as long as nobody
	// else receives.
	Ready() <-chan struct{}

	// Done returns a channel that is closed when no more messages come than those that Len
	// counts. Cause tells why, and is nil until then: io.EOF after Close.
	Done() <-chan struct{}
	Cause() error

	// Len and Cap are those of [ContextSender].
	Len() int
	Cap() int
}

// Pipe returns the two ends of a channel in memory. It holds what fits into 256 KiB. Either
// end can be sent away.
func Pipe() (Receiver, Sender) {
	r, s := pipe(-1)
	return r, s
}

// BufferedPipe is Pipe with Go's meaning of a capacity: that many messages may be sent and
// not received; with 0, Send returns when the message was received. That holds wherever its
// ends are sent. It panics, as make does, if n is negative or more than 2³¹-1.
func BufferedPipe(n int) (Receiver, Sender) {
	r, s := pipe(checked(n))
	return r, s
}

// checked returns a capacity, which a peer can be told of.
func checked(n int) int {
	if n < 0 || int64(n) >= maxCapacity {
		panic(fmt.Sprintf("libchan: the capacity %d of a channel is out of range", n))
	}
	return n
}

func pipe(capacity int) (*receiver, *sender) {
	c := newChannel(capacity)
	return newReceiver(c, 1), newSender(c, 1)
}

// Copy sends on what it receives, until the end, which is success if it is io.EOF. It
// returns the number of messages. Neither end is closed. Between ends of this package
// nothing is decoded.
func Copy(w Sender, r Receiver) (int, error) {
	out, ownOut := w.(*sender)
	in, ownIn := r.(*receiver)
	for n := 0; ; n++ {
		var err error
		if ownOut && ownIn {
			err = passOn(out, in)
		} else {
			err = copyOne(w, r, ownIn)
		}
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// copyOne is Copy for one message, of which one end is not of this package.
func copyOne(w Sender, r Receiver, own bool) error {
	var m Raw
	defer m.Release()
	if own {
		if err := r.Receive(&m); err != nil {
			return err
		}
		return m.sendTo(w)
	}
	var v any
	if err := r.Receive(&v); err != nil {
		return err
	}
	return w.Send(v)
}

// newSender returns the handle of the side that sends. If nobody holds it any more, and it
// was not closed, the receiver is told.
func newSender(c *channel, gen uint32) *sender { return tracked(&sender{end{c, sending, gen}}) }

func newReceiver(c *channel, gen uint32) *receiver {
	return tracked(&receiver{end{c, receiving, gen}})
}

// tracked has the side let go of when its handle is garbage.
func tracked[H any, P interface {
	*H
	held() *end
}](h P) P {
	onGarbage((*H)(h), end.lapse, *h.held())
	return h
}

// lapse lets go of the side if it still is the handle's.
func (e end) lapse() {
	e.c.mu.Lock()
	owned := e.c.ownsLocked(e.side, e.gen)
	e.c.unlock()
	if owned {
		e.c.abandon(e.side)
	}
}

// A sender is the handle of the side that sends.
type sender struct{ end }

// A receiver is the handle of the side that receives.
type receiver struct{ end }

func (s *sender) held() *end   { return &s.end }
func (r *receiver) held() *end { return &r.end }

func (s *sender) Send(message any) error { return s.SendContext(context.Background(), message) }

func (s *sender) SendContext(ctx context.Context, message any) error {
	return s.send(ctx, message, false)
}

// send sends a message, with which the channel ends if closes is set.
func (s *sender) send(ctx context.Context, message any, closes bool) error {
	m, err := encode(s.c.codec(), s.c, message)
	if err != nil {
		return err
	}
	m.closes = closes && s.c.capacity < 0
	sent, err := s.c.put(ctx, s.gen, m)
	if !sent {
		m.keep()
	}
	if err == nil && closes {
		err = s.Close()
	}
	runtime.KeepAlive(s) // else it might be garbage while it waits
	return err
}

func (s *sender) Close() error { return s.c.close(s.gen, nil) }

func (s *sender) CloseWithError(err error) error { return s.c.close(s.gen, err) }

func (s *sender) Done() <-chan struct{} {
	s.c.mu.Lock()
	defer s.c.unlock()
	s.c.watchLocked()
	return s.c.doneLocked(sending)
}

func (s *sender) Cause() error {
	s.c.mu.Lock()
	defer s.c.unlock()
	return s.c.mayPutLocked(s.gen)
}

func (s *sender) Sent() uint64 {
	s.c.mu.Lock()
	defer s.c.unlock()
	return s.c.sent - s.c.before
}

func (s *sender) Taken() uint64 {
	s.c.mu.Lock()
	defer s.c.unlock()
	return max(s.c.taken, s.c.before) - s.c.before
}

func (r *receiver) Receive(message any) error {
	return r.ReceiveContext(context.Background(), message)
}

func (r *receiver) ReceiveContext(ctx context.Context, message any) error {
	m, err := r.c.take(ctx, r.gen)
	if err != nil {
		return err
	}
	return m.decode(r.c.codecNamed, message)
}

func (r *receiver) Cancel(cause error) {
	if cause == nil {
		cause = ErrClosed
	}
	_ = r.c.cancel(r.gen, cause)
}

func (r *receiver) Ready() <-chan struct{} { return r.c.readyChan(true) }

func (r *receiver) Done() <-chan struct{} {
	r.c.mu.Lock()
	defer r.c.unlock()
	return r.c.doneLocked(receiving)
}

func (r *receiver) Cause() error {
	r.c.mu.Lock()
	defer r.c.unlock()
	switch c := r.c; {
	case !c.ownsLocked(receiving, r.gen):
		return ErrGivenAway
	case c.stopped != nil:
		return c.stopped
	case c.closed && c.end == nil:
		return io.EOF
	default:
		return c.end
	}
}

// Len returns how many messages are queued.
func (e *end) Len() int {
	e.c.mu.Lock()
	defer e.c.unlock()
	return len(e.c.queue)
}

// Cap returns the channel's capacity.
func (e *end) Cap() int { return e.c.capacity }

// doneLocked returns the channel that settleLocked closes.
func (c *channel) doneLocked(s side) <-chan struct{} {
	if c.done[s] == nil {
		c.done[s] = make(chan struct{})
	}
	return c.done[s]
}

// session returns the session that the channel leads through, or nil.
func (c *channel) session() *Session {
	c.mu.Lock()
	defer c.unlock()
	for _, e := range c.sides {
		if e.far != nil {
			return e.far.s
		}
	}
	return nil
}

// codec is that of what is sent.
func (c *channel) codec() Codec {
	if s := c.session(); s != nil {
		return s.opts.codec
	}
	return defaultCodec()
}

// codecNamed returns the codec of what was received.
func (c *channel) codecNamed(name string) (Codec, error) {
	if s := c.session(); s != nil {
		return codecNamed(name, s.opts.codecs)
	}
	return codecNamed(name, nil)
}
