// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"fmt"
	"log"
	"time"
)

// Defaults of the options that both sides have.
const (
	defaultHandshakeTimeout = 10 * time.Second
	defaultQueueMessages    = 64
	defaultQueueBytes       = 16 << 20
	defaultQueuePatience    = time.Second
	defaultConnectionBytes  = 32 << 20
	defaultWindow           = 256 << 10
)

// maxCredit is the most that a peer may be told that it may send.
const maxCredit = 1<<31 - 1

// A connConfig is what a client's connection and a server's have in common.
type connConfig struct {
	maxMessage       int
	queue            StreamQueue
	codec            codec
	log              Logger
	handshaker       Handshaker
	handshakeTimeout time.Duration
	defaultTimeout   time.Duration // for unary calls without one; 0 means none

	trace   tracer    // nil if there is none
	extends extension // makes the extended mode; nil if no option asks for it
}

// setDefaults sets what no option has set.
func (c *connConfig) setDefaults() {
	setDefault(&c.maxMessage, messageLengthMax)
	setDefault(&c.handshakeTimeout, defaultHandshakeTimeout)
	setDefault(&c.queue.Messages, defaultQueueMessages)
	setDefault(&c.queue.Bytes, defaultQueueBytes)
	setDefault(&c.queue.Patience, defaultQueuePatience)
	setDefault(&c.queue.ConnectionBytes, defaultConnectionBytes)
	setDefault(&c.queue.Window, defaultWindow)
	c.queue.ConnectionBytes = min(c.queue.ConnectionBytes, maxCredit)
	c.queue.Window = min(c.queue.Window, c.queue.ConnectionBytes)
	if c.log == nil {
		c.log = new(errorLogger)
	}
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

	// ConnectionBytes caps the memory of all queues of one connection; 32 MiB
	// by default. The request of a stream counts from its arrival. Once the cap
	// is reached, the stream with most of it fails: at once if its receiver has
	// never taken any of several messages, else if it does not take the next
	// one within Patience, for which time the connection is not read. A
	// server also stops reading from a peer while that leaves as many bytes of
	// answers unread.
	ConnectionBytes int

	// Window is how many bytes a peer in extended mode may send on one stream that
	// RecvMsg has not taken; 256 KiB by default. Each message counts 256 bytes more
	// than its encoding, and 4 KiB for each file with it. A message may be begun while
	// there is room, so one message may come on top. A sender without room waits, so
	// no stream fails: Messages, Bytes and Patience are of no meaning then.
	// ConnectionBytes bounds all streams of the connection in the same way, but for
	// one message of each stream of which RecvMsg has taken all others.
	Window int
}

func setDefault[T int | time.Duration](v *T, value T) {
	if *v <= 0 {
		*v = value
	}
}

// checkMessageSize returns an error if n cannot be a limit of messages.
func checkMessageSize(n int) error {
	if n < 1 || n > maxMessageCap {
		return fmt.Errorf("ttrpc: maximum message size %d is not between 1 and %d", n, maxMessageCap)
	}
	return nil
}

// A Logger takes what the library has to tell beside errors that it returns.
// args are alternating keys and values. *slog.Logger is a Logger. The methods
// may be called concurrently and must not block.
type Logger interface {
	Debug(msg string, args ...any)
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
}

// errorLogger is the default: errors go to the standard log, the rest nowhere.
type errorLogger struct{}

func (*errorLogger) Debug(string, ...any) {}
func (*errorLogger) Info(string, ...any)  {}
func (*errorLogger) Warn(string, ...any)  {}

func (*errorLogger) Error(msg string, args ...any) {
	for i := 0; i+1 < len(args); i += 2 {
		msg += fmt.Sprintf(" %v=%v", args[i], args[i+1])
	}
	log.Print(msg)
}
