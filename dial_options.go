// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// Defaults of Backoff.
const (
	defaultBackoffMin = 50 * time.Millisecond
	defaultBackoffMax = 5 * time.Second
)

// WithDialer says how a client made by [Dial] connects. It does not apply to [NewClient],
// which does not connect.
func WithDialer(d Dialer) ClientOpts {
	d.Backoff.check()
	return func(c *Client) {
		if c.config.dialer == nil {
			c.config.dialer = new(Dialer)
		}
		c.config.dialer.(*Dialer).override(&d)
	}
}

// A Dialer is how a client made by [Dial] connects. Fields that are zero have their
// default.
type Dialer struct {
	// Dial makes the connections. It is given the target as it is. The context ends with
	// the client, and after Timeouts.Handshake. By default [DialAddress] does it.
	Dial func(ctx context.Context, target string) (net.Conn, error)

	// Backoff is how long the client pauses between attempts to connect.
	Backoff Backoff

	// FailFast has calls fail if there is no connection, with a status of code Unavailable
	// that wraps ErrNotExecuted and says why. They wait for an attempt to connect that is
	// under way, but not while the client pauses after one that failed. [WaitForConnection]
	// says so for one call.
	FailFast bool

	// Events is told what becomes of the connections. It is called for one event at a
	// time, in their order, and the next attempt to connect waits for it. It may use
	// the client, but should not wait for a call, which may need that attempt.
	Events func(ConnectionEvent)
}

// override sets what other says.
func (d *Dialer) override(other *Dialer) {
	if other.Dial != nil {
		d.Dial = other.Dial
	}
	override(&d.Backoff.Min, other.Backoff.Min)
	override(&d.Backoff.Max, other.Backoff.Max)
	d.FailFast = d.FailFast || other.FailFast
	if other.Events != nil {
		d.Events = other.Events
	}
}

// Backoff is how long a client made by [Dial] pauses between attempts to connect: about
// Min after the first failure, about twice as long after each more in a row, at most Max.
// A random part, up to half, is taken off each pause, so that the clients of one server do
// not come all at once.
//
// A connection that was of no use counts as a failure. It was of use if it answered a
// unary call, lasted as long as Max, or was left because the peer said goodbye. Then it is
// replaced without a pause, but not sooner than Min after it was made.
//
// A field that is zero has its default, or a value that fits the other one.
type Backoff struct {
	Min time.Duration // 50 ms by default
	Max time.Duration // 5 s by default
}

func (b *Backoff) check() {
	refuse("Backoff.Min", b.Min)
	refuse("Backoff.Max", b.Max)
	if b.Max != 0 && b.Max < b.Min {
		panic(fmt.Sprintf("ttrpc: Backoff.Max is less than Backoff.Min: %v, %v", b.Max, b.Min))
	}
}

func (b *Backoff) setDefaults() {
	if b.Min == 0 && b.Max != 0 {
		b.Min = min(defaultBackoffMin, b.Max)
	}
	setDefault(&b.Min, defaultBackoffMin)
	setDefault(&b.Max, defaultBackoffMax)
	b.Max = max(b.Min, b.Max)
}

// pause is how long to wait after so many failures in a row, 1 or more.
func (b *Backoff) pause(failures int) time.Duration {
	d := b.Min
	for i := 1; i < failures && d < b.Max; i++ {
		d += min(d, b.Max-d)
	}
	return d - rand.N(d/2+1)
}

// ConnectionEventKind is what happened.
type ConnectionEventKind int

// What happens to a connection: an attempt to connect begins, which succeeds or
// fails; after one that succeeded the connection is lost, or left.
const (
	EventConnecting ConnectionEventKind = iota + 1
	EventConnected
	EventDisconnected
	EventFailed
)

// String returns the name in lower case.
func (k ConnectionEventKind) String() string {
	switch k {
	case EventConnecting:
		return "connecting"
	case EventConnected:
		return "connected"
	case EventDisconnected:
		return "disconnected"
	case EventFailed:
		return "failed"
	}
	return "unknown"
}

// A ConnectionEvent is what Events of a [Dialer] is told.
type ConnectionEvent struct {
	Kind ConnectionEventKind

	// Err is, of EventFailed, what the dialer or the handshaker returned; of
	// EventDisconnected, why the connection ended, as [Client.Cause] would tell
	// it. It is nil if the connection has not ended but only takes no more
	// calls, because the peer said goodbye; what was begun on it goes on, and no
	// event tells of its end.
	Err error

	// Pause is how long the client waits after EventFailed and EventDisconnected
	// before it connects again.
	Pause time.Duration
}

// dialLogger is the default logger of a client made by [Dial]: what nobody would see
// otherwise, that there is no connection, goes to the standard log like an error.
type dialLogger struct{ errorLogger }

func (l *dialLogger) Warn(msg string, args ...any) { l.Error(msg, args...) }

type repeatableKey struct{}

// Repeatable returns a context whose unary calls may run more than once: a
// client made by [Dial] repeats one that was lost with its connection, though
// it may have run, until it is answered or the context ends. Other clients
// repeat nothing.
func Repeatable(ctx context.Context) context.Context {
	return context.WithValue(ctx, repeatableKey{}, true)
}

func isRepeatable(ctx context.Context) bool {
	yes, _ := ctx.Value(repeatableKey{}).(bool)
	return yes
}

type waitKey struct{}

// WaitForConnection returns a context whose calls and streams wait for a connection, or do not,
// whatever [Dialer.FailFast] says of the others of the client. Clients that [Dial] has not made
// have one connection and wait for none.
func WaitForConnection(ctx context.Context, wait bool) context.Context {
	return context.WithValue(ctx, waitKey{}, wait)
}

// failsFast tells whether a call fails if there is no connection.
func (r *redialer) failsFast(ctx context.Context) bool {
	if wait, ok := ctx.Value(waitKey{}).(bool); ok {
		return !wait
	}
	return r.FailFast
}
