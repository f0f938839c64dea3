// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"fmt"
	"time"
)

// Defaults of Limits and Timeouts.
const (
	defaultHandshakeTimeout = 10 * time.Second
	defaultQueueMessages    = 64
	defaultQueueBytes       = 16 << 20
	defaultQueuePatience    = time.Second
	defaultConnectionBytes  = 32 << 20
	defaultWindow           = 512 << 10
)

// leastConnectionBytes is the least that a connection may hold: in extended mode it is enough
// for a small call and a stream at a time.
const leastConnectionBytes = 5 << 10

// maxCredit is the most that a peer may be told that it may send.
const maxCredit = 1<<31 - 1

// Limits bounds what a client or a server takes, see [WithClientLimits] and
// [WithServerLimits]. Fields that are zero have their default.
type Limits struct {
	// MessageSize is how many bytes a message, with its envelope, may have, sent or
	// received: up to 1 GiB; 4 MiB by default. Above the default the other end must
	// allow it as well. In extended mode the smaller of the two counts; without,
	// 16 MiB - 1 is the most.
	MessageSize int

	// Queue bounds the queues of the messages that streams have received.
	Queue StreamQueue

	// Handlers caps how many handlers of a server may run at once for one connection.
	// A call over the cap is answered with ResourceExhausted. By default there is no
	// cap. The answers of handlers that already run are kept whatever the peer reads:
	// the cap times the largest answer is the most that one connection can pile up
	// beyond StreamQueue.ConnectionBytes.
	Handlers int

	// Connections caps how many connections a server holds. One over the cap is closed
	// when it is accepted, or when its handshake is over. As many more may shake hands; if
	// there is another, the one of these that has taken longest is closed, so that peers
	// that never get through keep nobody out. By default there is no cap.
	Connections int

	// Files asks for open files in extended mode, from the other end and for it, and caps
	// how many of its files a connection may hold at once: in messages that have not
	// arrived in full, calls whose handlers have not claimed them, messages that nobody has
	// received, and those that are being closed. A message with more fails alone, with
	// ResourceExhausted; files count no more once they were claimed or received. A
	// connection ends if they take too long to close. By default, 0, none are passed.
	Files int
}

// check panics if no limits can be such.
func (l *Limits) check() {
	refuse("Limits.MessageSize", l.MessageSize)
	if l.MessageSize > maxMessageCap {
		panic(fmt.Sprintf("ttrpc: Limits.MessageSize is over %d: %d", maxMessageCap, l.MessageSize))
	}
	refuse("Limits.Handlers", l.Handlers)
	refuse("Limits.Connections", l.Connections)
	refuse("Limits.Files", l.Files)
	l.Queue.check()
}

// override sets what other says.
func (l *Limits) override(other *Limits) {
	override(&l.MessageSize, other.MessageSize)
	override(&l.Handlers, other.Handlers)
	override(&l.Connections, other.Connections)
	override(&l.Files, other.Files)
	l.Queue.override(&other.Queue)
}

func (l *Limits) setDefaults() {
	setDefault(&l.MessageSize, messageLengthMax)
	l.Queue.setDefaults()
}

// StreamQueue bounds what is kept of the messages that were received on
// streams and not yet taken by RecvMsg. ttrpc has no flow control, so a peer
// can send faster than a receiver takes; a stream whose queue is over its
// bounds does not delay others, but fails with [ErrStreamFull] if its receiver
// takes nothing for as long as Patience.
//
// Fields that are zero have their default.
type StreamQueue struct {
	// Messages is how many messages the queue of one stream holds before it
	// counts as full; 64 by default.
	Messages int

	// Bytes is how many bytes of memory the queue of one stream holds before
	// it counts as full; 16 MiB by default.
	Bytes int

	// Patience is how long a full queue may stay full without RecvMsg taking
	// anything from it; 1 s by default.
	Patience time.Duration

	// ConnectionBytes caps the memory of all queues of one connection; 5 KiB or more, 32 MiB
	// by default. In extended mode all that has arrived and is not taken counts, see
	// Window. On classic connections the request of a stream counts from its arrival.
	// Once the cap is reached, the stream with most of it fails: at once if its receiver has
	// never taken any of several messages, else if it does not take the next
	// one within Patience, for which time the connection is not read. A
	// server also stops reading from a peer while that leaves as many bytes of
	// answers unread.
	ConnectionBytes int

	// Window is how many bytes a peer in extended mode may send on one stream that
	// RecvMsg has not taken; 512 KiB by default. Each message counts 256 bytes more
	// than its encoding, and 4 KiB for each file with it. A larger message may come
	// while RecvMsg waits for it. A sender without room waits, so no stream fails:
	// Messages, Bytes and Patience mean nothing in that mode.
	//
	// A stream begins with less and gets more as it uses that. All streams of
	// a connection share three quarters of ConnectionBytes, and each begins with a
	// 4,096th of that, but with 1 KiB at least and 8 KiB at most. A stream for which no
	// such share is left is refused with ResourceExhausted, and its handler is not run.
	// Requests and answers have the last quarter. A connection holds no more of what
	// has arrived than ConnectionBytes and two messages, whatever the peer does; or three,
	// if messages are received [Within] a context.
	Window int
}

func (q *StreamQueue) check() {
	refuse("StreamQueue.Messages", q.Messages)
	refuse("StreamQueue.Bytes", q.Bytes)
	refuse("StreamQueue.Patience", q.Patience)
	refuse("StreamQueue.ConnectionBytes", q.ConnectionBytes)
	if q.ConnectionBytes != 0 && q.ConnectionBytes < leastConnectionBytes {
		panic(fmt.Sprintf("ttrpc: StreamQueue.ConnectionBytes is below %d: %d", leastConnectionBytes, q.ConnectionBytes))
	}
	refuse("StreamQueue.Window", q.Window)
}

func (q *StreamQueue) override(other *StreamQueue) {
	override(&q.Messages, other.Messages)
	override(&q.Bytes, other.Bytes)
	override(&q.Patience, other.Patience)
	override(&q.ConnectionBytes, other.ConnectionBytes)
	override(&q.Window, other.Window)
}

func (q *StreamQueue) setDefaults() {
	setDefault(&q.Messages, defaultQueueMessages)
	setDefault(&q.Bytes, defaultQueueBytes)
	setDefault(&q.Patience, defaultQueuePatience)
	setDefault(&q.ConnectionBytes, defaultConnectionBytes)
	setDefault(&q.Window, defaultWindow)
	q.ConnectionBytes = min(q.ConnectionBytes, maxCredit)
	q.Window = min(q.Window, q.ConnectionBytes)
}

// Timeouts bounds how long something may take, see [WithClientTimeouts] and
// [WithServerTimeouts]. Fields that are zero have their default.
type Timeouts struct {
	// Handshake bounds a handshake, the wait for the peer's answer to the question for
	// the extended mode, and each attempt of [Dial] to connect; 10 s by default.
	Handshake time.Duration

	// Call is what a unary call without a deadline gets: of a client, how far away that
	// of its calls is; of a server, how far away that of the handlers' contexts is.
	// Streams, which may be meant to last, get none. By default there is none.
	Call time.Duration
}

func (t *Timeouts) check() {
	refuse("Timeouts.Handshake", t.Handshake)
	refuse("Timeouts.Call", t.Call)
}

func (t *Timeouts) override(other *Timeouts) {
	override(&t.Handshake, other.Handshake)
	override(&t.Call, other.Call)
}
