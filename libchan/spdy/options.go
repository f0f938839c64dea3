// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import "time"

// Limits bound what a peer can have this side hold. What is zero has its default.
type Limits struct {
	// Streams is how many streams of the peer's may be open: channels and byte streams. More
	// are refused. The default is 10,000.
	Streams int

	// Unclaimed is how many of them nobody has claimed: channels that WaitReceiveChannel has not
	// returned, and what no message has named. More are refused. The default is 1,000.
	Unclaimed int

	// Buffer is how many bytes may have arrived that nobody has received. Beyond it nothing is
	// read from the connection until somebody does. The default is 32 MiB.
	Buffer int

	// Headers is how many bytes the headers of a stream may have, compressed, and each of them
	// alone, not compressed. The default is 8 KiB.
	Headers int
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		limit  *int
		normal int
	}{{&l.Streams, 10000}, {&l.Unclaimed, 1000}, {&l.Buffer, 32 << 20}, {&l.Headers, 8 << 10}} {
		if *d.limit <= 0 {
			*d.limit = d.normal
		}
	}
	return l
}

// An options is what options say.
type options struct {
	dialect Dialect
	limits  Limits
	opens   time.Duration // how long a stream may take to arrive that a message names
}

// An Option is one of a [Transport].
type Option func(o *options)

// WithDialect has the Transport speak a dialect, which is [Released] by default.
func WithDialect(d Dialect) Option {
	if d > Main {
		panic("libchan/spdy: there is no such dialect")
	}
	return func(o *options) { o.dialect = d }
}

// WithLimits sets limits.
func WithLimits(l Limits) Option { return func(o *options) { o.limits = l } }
