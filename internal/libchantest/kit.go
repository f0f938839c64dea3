// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchantest

import (
	"context"
	"io"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/libchan"
)

// ctx is of what ends without it.
var ctx = context.Background()

// moment is how long something is waited for that is not to come.
const moment = 5 * time.Millisecond

// A kit is what a row has.
type kit struct {
	*testing.T
	pair  Pair
	codec libchan.Codec
	a, b  *libchan.Session // a begins
}

func newKit(t *testing.T, pair Pair, c libchan.Codec) *kit {
	k := &kit{T: t, pair: pair, codec: c}
	k.a, k.b = k.session()
	return k
}

// session returns the sides of another session.
func (k *kit) session() (a, b *libchan.Session) {
	k.Helper()
	return k.pair(k.T, libchan.WithCodec(k.codec))
}

// must ends the row if there is an error.
func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// top returns the ends of a new channel from a to b.
func (k *kit) top() (libchan.ContextSender, libchan.ContextReceiver) {
	k.Helper()
	return k.topOf(k.a, k.b)
}

func (k *kit) topOf(a, b *libchan.Session) (libchan.ContextSender, libchan.ContextReceiver) {
	k.Helper()
	s, err := a.OpenChannel(ctx, "")
	k.must(err)
	_, r, err := b.Accept(ctx)
	k.must(err)
	return s, r
}

// A note is the message of most rows: a number, and ends of channels.
type note struct {
	N    int64
	Ends []any
}

// maxEnds is how many ends a note has at most that the protobuf codec receives.
const maxEnds = 4

// value returns what to send as a note.
func (k *kit) value(n int, ends ...any) any {
	if k.codec == libchan.Protobuf {
		return libchan.With(wrapperspb.Int64(int64(n)), ends...)
	}
	return note{int64(n), ends}
}

// target returns what to receive a note into, and the function that returns it then.
func (k *kit) target() (into any, get func() note) {
	if k.codec != libchan.Protobuf {
		m := new(note)
		return m, func() note { return *m }
	}
	m, ends := new(wrapperspb.Int64Value), make([]any, maxEnds)
	into = libchan.With(m, &ends[0], &ends[1], &ends[2], &ends[3])
	return into, func() note {
		for len(ends) > 0 && ends[len(ends)-1] == nil {
			ends = ends[:len(ends)-1]
		}
		return note{m.Value, ends}
	}
}

// send sends a note.
func (k *kit) send(s libchan.Sender, n int, ends ...any) {
	k.Helper()
	k.must(s.Send(k.value(n, ends...)))
}

// receive returns the next note.
func (k *kit) receive(r libchan.Receiver) (note, error) {
	into, get := k.target()
	err := r.Receive(into)
	return get(), err
}

// expect receives a note that has the number and as many ends, which it returns.
func (k *kit) expect(r libchan.Receiver, n int, ends int) []any {
	k.Helper()
	got, err := k.receive(r)
	if err != nil || got.N != int64(n) || len(got.Ends) != ends {
		k.Fatalf("received %d with %d ends, %v; want %d with %d", got.N, len(got.Ends), err, n, ends)
	}
	return got.Ends
}

// ends expects io.EOF.
func (k *kit) ends(r libchan.Receiver) {
	k.Helper()
	if got, err := k.receive(r); err != io.EOF {
		k.Fatalf("received %d, %v; want io.EOF", got.N, err)
	}
}

// give sends an end from a to b, over a channel of its own, and returns what arrives.
func (k *kit) give(end any) any {
	k.Helper()
	out, in := k.top()
	k.send(out, 0, end)
	return k.expect(in, 0, 1)[0]
}

// giveReceiver makes a channel whose receiver is sent from a to b.
func (k *kit) giveReceiver(capacity int) (libchan.ContextSender, libchan.ContextReceiver) {
	k.Helper()
	r, s := newPipe(capacity)
	return s.(libchan.ContextSender), k.give(r).(libchan.ContextReceiver)
}

// giveSender makes a channel whose sender is sent from a to b.
func (k *kit) giveSender(capacity int) (libchan.ContextSender, libchan.ContextReceiver) {
	k.Helper()
	r, s := newPipe(capacity)
	return k.give(s).(libchan.ContextSender), r.(libchan.ContextReceiver)
}

// newPipe returns a channel with a capacity, or without one if that is -1.
func newPipe(capacity int) (libchan.Receiver, libchan.Sender) {
	if capacity < 0 {
		return libchan.Pipe()
	}
	return libchan.BufferedPipe(capacity)
}

// channels calls f with a channel of each kind: the session's own, and with either end given
// to b.
func (k *kit) channels(capacity int, f func(s libchan.ContextSender, r libchan.ContextReceiver)) {
	k.Helper()
	if capacity < 0 {
		f(k.top())
	}
	f(k.giveReceiver(capacity))
	f(k.giveSender(capacity))
}

// brief is a context of a moment.
func (k *kit) brief() context.Context {
	short, cancel := context.WithTimeout(ctx, moment)
	k.Cleanup(cancel)
	return short
}
