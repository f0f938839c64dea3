// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"maps"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// A Config is what a bridge of either direction is made with.
type Config struct {
	// Methods knows the kinds of the methods that are passed on: who comes first and knows
	// a method is right.
	Methods []Methods

	// Limits bounds what passes.
	Limits Limits

	// Ended, if it is not nil, is told of each call that has ended, for a log. It may be
	// called concurrently, and its call waits for it.
	Ended func(EndedCall)
}

// An EndedCall is a call that a bridge has passed on or refused.
type EndedCall struct {
	Service, Method string
	Kind            Kind // Unknown if nobody knows it
	Took            time.Duration
	Err             error // how it has ended: nil, or a status of google.golang.org/grpc
}

// Limits bounds what a bridge passes on. Fields that are zero have their default.
type Limits struct {
	// Calls is how many calls may be under way at once, on all connections; 10,000 by
	// default. One over it is answered with ResourceExhausted.
	Calls int

	// Message is how many bytes a message may have; 4 MiB by default. A larger one ends its
	// call with ResourceExhausted. The ttrpc side has limits of its own, see [ttrpc.Limits],
	// which have to allow as much.
	Message int

	// Metadata is how many bytes the metadata of a request may have, counted as HTTP/2 does:
	// keys, values and 32 more for each value; 64 KiB by default.
	Metadata int

	// Timeout is how long a unary call may take, if its own deadline is not sooner. By
	// default there is no such limit.
	Timeout time.Duration
}

func (l Limits) withDefaults() Limits {
	for field, value := range map[*int]int{&l.Calls: 10_000, &l.Message: 4 << 20, &l.Metadata: 64 << 10} {
		if *field < 0 {
			panic("bridge: a limit is negative")
		}
		if *field == 0 {
			*field = value
		}
	}
	if l.Timeout < 0 {
		panic("bridge: a limit is negative")
	}
	return l
}

// Counts is what a bridge has done since it was made.
type Counts struct {
	Active       int                   // calls that are under way
	Ended        map[codes.Code]uint64 // calls that have ended, by how, refused ones among them
	UnknownKind  uint64                // calls that were refused because nobody knows their kind
	OverCalls    uint64                // calls that were refused because of Limits.Calls
	Requests     uint64                // messages that were passed on from clients
	RequestBytes uint64
	Answers      uint64 // messages that were passed back to clients
	AnswerBytes  uint64
}

// traffic counts the messages of one direction.
type traffic struct{ messages, bytes atomic.Uint64 }

func (t *traffic) count(payload []byte) {
	t.messages.Add(1)
	t.bytes.Add(uint64(len(payload)))
}

// A gate is what both directions have in common: which calls pass, and what came of them.
type gate struct {
	methods []Methods
	limits  Limits
	told    func(EndedCall)

	active            atomic.Int64
	ended             [17 + 1]atomic.Uint64 // by code; the last are those that gRPC does not have
	unknown, over     atomic.Uint64
	requests, answers traffic
}

func newGate(config Config) *gate {
	return &gate{methods: config.Methods, limits: config.Limits.withDefaults(), told: config.Ended}
}

// A passage is a call that was let in, or refused.
type passage struct {
	gate    *gate
	call    EndedCall
	started time.Time
}

// enter begins a call, which ends with end.
func (g *gate) enter(service, method string) *passage {
	p := &passage{gate: g, call: EndedCall{Service: service, Method: method}}
	if g.told != nil {
		p.started = time.Now()
	}
	return p
}

// begin lets a call in, or says why not.
func (p *passage) begin(ctx context.Context) (Kind, error) {
	kind, err := p.gate.begin(ctx, p.call.Service, p.call.Method)
	p.call.Kind = kind
	return kind, err
}

// end counts and tells how the call has ended.
func (p *passage) end(err error) {
	g := p.gate
	g.active.Add(-1)
	g.ended[min(int(status.Code(err)), len(g.ended)-1)].Add(1)
	if g.told != nil {
		p.call.Took, p.call.Err = time.Since(p.started), err
		g.told(p.call)
	}
}

func (g *gate) begin(ctx context.Context, service, method string) (Kind, error) {
	if g.active.Add(1) > int64(g.limits.Calls) {
		g.over.Add(1)
		return Unknown, status.Errorf(codes.ResourceExhausted, "ttrpc bridge: %d calls are under way, which is the limit", g.limits.Calls)
	}
	kind, err := kindOf(ctx, g.methods, service, method)
	if status.Code(err) == codes.Unimplemented {
		g.unknown.Add(1)
	}
	return kind, err
}

// bound returns the context of a unary call.
func (g *gate) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if g.limits.Timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, g.limits.Timeout)
}

// checkMetadata returns an error if a request has too much metadata.
func (g *gate) checkMetadata(md ttrpc.MD) error {
	size := 0
	for key, values := range md {
		for _, value := range values {
			size += len(key) + len(value) + 32
		}
	}
	if size > g.limits.Metadata {
		return status.Errorf(codes.ResourceExhausted, "ttrpc bridge: %d bytes of metadata, and %d are the most", size, g.limits.Metadata)
	}
	return nil
}

// checkMessage returns an error if a message has too many bytes.
func (g *gate) checkMessage(payload []byte) error {
	if len(payload) > g.limits.Message {
		return status.Errorf(codes.ResourceExhausted, "ttrpc bridge: a message of %d bytes, and %d are the most", len(payload), g.limits.Message)
	}
	return nil
}

func (g *gate) counts() Counts {
	c := Counts{
		Active: int(g.active.Load()), Ended: map[codes.Code]uint64{}, UnknownKind: g.unknown.Load(), OverCalls: g.over.Load(),
		Requests: g.requests.messages.Load(), RequestBytes: g.requests.bytes.Load(),
		Answers: g.answers.messages.Load(), AnswerBytes: g.answers.bytes.Load(),
	}
	for code := range g.ended {
		c.Ended[codes.Code(code)] = g.ended[code].Load()
	}
	maps.DeleteFunc(c.Ended, func(_ codes.Code, n uint64) bool { return n == 0 })
	return c
}
