// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package probe finds out whether a ttrpc server answers, and which kind of peer it seems to be,
// without knowing any of its services and without effect on it: it calls a service that cannot
// exist.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// The service that nobody has, and its method.
const (
	nobody = "ttrpc.ping.Nobody"
	method = "Ping"
)

// A Probe is what to ask, and of whom.
type Probe struct {
	Dial     func(context.Context) (net.Conn, error)
	Trunk    func(net.Conn) net.Conn // makes a connection of NRI's trunk; may be nil
	Count    int                     // how many calls are made
	Interval time.Duration           // between them
	Patience time.Duration           // for each answer

	// Answered is told of each answer, from 1 on; may be nil.
	Answered func(n int, trip time.Duration)
}

// A Peer is what was found out.
type Peer struct {
	Kind     Kind
	Extended bool          // it has agreed to the extended mode
	Connect  time.Duration // how long that has taken
	Trips    []time.Duration
}

// A Kind is what a peer seems to be.
type Kind string

// The kinds of peers that can be told apart.
const (
	ThisLibrary Kind = "this library"
	Version12   Kind = "ttrpc v1.2"
	Version11   Kind = "ttrpc v1.1"
	Version10   Kind = "ttrpc v1.0"
	Version1x   Kind = "ttrpc v1.1 or v1.2, or this library without the extended mode"
	Rust        Kind = "ttrpc in Rust"
	Other       Kind = "an unknown ttrpc, or one that answers all calls"
)

// ErrConnect is wrapped by errors of Run if there was no connection, or the peer has refused it.
var ErrConnect = errors.New("no connection")

// Run makes the calls. The error wraps ErrConnect, or is a [*NotTTRPC]; it wraps
// [ttrpc.ErrClosed] if the peer has closed the connection instead of answering, and is
// context.DeadlineExceeded if it does not answer. Of a peer that has answered and then stops, the
// Peer that was found comes with the error, which then is that of the call.
func (p *Probe) Run(ctx context.Context) (*Peer, error) {
	found, err := p.run(ctx, ttrpc.WithExtensions())
	if errors.Is(err, errAnswered) { // but not to the question for the extended mode
		found, err = p.run(ctx)
	}
	return found, err
}

// errAnswered is wrapped by the error of a peer that has answered, but has not made sense.
var errAnswered = errors.New("the answer makes no sense")

func (p *Probe) run(ctx context.Context, opts ...ttrpc.ClientOpts) (*Peer, error) {
	found := new(Peer)
	begin := time.Now()
	conn, err := p.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConnect, err)
	}
	found.Connect = time.Since(begin)
	seen := &sniffer{Conn: conn}
	client := ttrpc.NewClient(seen, append(opts, ttrpc.WithStatusErrors())...)
	defer client.Close()
	// The first call waits for the question for the extended mode, and is not timed.
	st, err := p.call(ctx, client)
	if err != nil {
		return nil, p.failed(ctx, err, client, seen)
	}
	found.Extended = client.Snapshot().Extended
	found.Kind = p.kind(ctx, st, found.Extended)
	for n := 1; n <= p.Count; n++ {
		if n > 1 && !pause(ctx, p.Interval) {
			return found, ctx.Err()
		}
		begin := time.Now()
		switch _, err := p.call(ctx, client); {
		case err != nil && n > 1:
			return found, err
		case err != nil:
			return nil, p.failed(ctx, err, client, seen)
		}
		trip := time.Since(begin)
		found.Trips = append(found.Trips, trip)
		if p.Answered != nil {
			p.Answered(n, trip)
		}
	}
	return found, nil
}

// call calls nobody's service. Any status that the peer answers with is an answer.
func (p *Probe) call(ctx context.Context, client *ttrpc.Client) (*status.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Patience)
	defer cancel()
	err := client.Call(ctx, nobody, method, new(ttrpc.RawMessage), new(ttrpc.RawMessage))
	st, ok := status.FromError(err)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !ok || errors.Is(err, ttrpc.ErrClosed):
		return nil, err
	}
	return st, nil
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// kind tells kinds apart by what they say of a service that there is not.
func (p *Probe) kind(ctx context.Context, st *status.Status, extended bool) Kind {
	switch {
	case extended:
		return ThisLibrary
	case st.Code() == codes.Unimplemented:
		return p.version(ctx)
	case st.Code() == codes.NotFound && st.Message() == "service "+nobody:
		return Version10
	case st.Code() == codes.InvalidArgument && st.Message() == "/"+nobody+"/"+method+" does not exist":
		return Rust
	}
	return Other
}

// failed tells why there was no answer.
func (p *Probe) failed(ctx context.Context, err error, client *ttrpc.Client, seen *sniffer) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	cause := client.Cause()
	client.Close()
	if other := seen.speaks(); other != nil {
		return other
	}
	switch {
	case seen.silent():
		if other := p.guess(ctx); other != nil {
			return other
		}
	case cause == nil:
	case refused(cause):
		return fmt.Errorf("%w: %w", ErrConnect, cause)
	case errors.Is(err, ttrpc.ErrClosed):
		return fmt.Errorf("%w: %w", errAnswered, err)
	}
	return err
}

// A sniffer notes how what the peer says begins.
type sniffer struct {
	net.Conn
	mu    sync.Mutex
	begin []byte
}

// sniffed is how much of that is of use.
const sniffed = 32

// Read implements [net.Conn].
func (s *sniffer) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin = append(s.begin, b[:min(n, sniffed-len(s.begin))]...)
	return n, err
}

func (s *sniffer) silent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.begin) == 0
}

// speaks returns what the peer speaks, if that is known to be something else.
func (s *sniffer) speaks() *NotTTRPC {
	s.mu.Lock()
	defer s.mu.Unlock()
	return recognize(s.begin)
}
