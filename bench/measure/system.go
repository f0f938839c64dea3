// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"context"
	"net"
)

// A System is what is measured: something that answers calls. Each is in a program
// of its own, whose main calls Main.
type System struct {
	// Serve answers calls on a listener, for as long as the process lives.
	Serve func(net.Listener)

	// Dial connects to the socket at path.
	Dial func(path string) (Client, error)

	// Over returns a client over a conn. It is nil if all that can be measured is the
	// system over its own sockets.
	Over func(net.Conn) Client

	// Media are what only this system's conns can go over, by name.
	Media map[string]Medium

	// Pass answers calls on a listener by passing them on to the server at an address. Only
	// systems that do so have it; Dial connects to what it listens at.
	Pass func(l net.Listener, behind string)

	// Lazy systems connect with the first call only.
	Lazy bool

	// OneStream systems have one stream at a time on a connection.
	OneStream bool
}

// A Client is one connection. Everything may be used by many goroutines at once, but
// each function that is returned by one only.
type Client interface {
	// Caller returns a function that sends size bytes and waits for the answer.
	Caller(size, answer int) func(context.Context) error

	// Stream opens a stream of messages of size bytes, count of them or any number if
	// it is 0. A download is not opened without a count.
	Stream(ctx context.Context, kind StreamKind, size, count int) (Stream, error)

	// Close ends the connection.
	Close()
}

// A Batcher is a client of one goroutine.
type Batcher interface {
	Client

	// Batch returns a function that does as much as many callers do, and how many of
	// them it stands for.
	Batch(callers, size, answer int) (func() error, int)
}

// A StreamKind tells who sends messages.
type StreamKind int

// The kinds of streams.
const (
	Upload   StreamKind = iota // the client
	Download                   // the server
	Chat                       // both: the server sends back what it gets
	Turns                      // both, but the client waits for each before the next
)

// Ahead is how many messages of a chat are on their way at most: systems without
// flow control would have to keep them all.
const Ahead = 32

// A Stream has messages; its Send and Receive may run at once. Finish half-closes,
// and waits for the end.
type Stream interface {
	Send() error
	Receive() error
	Finish() error
}
