// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"context"
	"io"
	"testing"

	"github.com/containerd/ttrpc/libchan"
)

type request struct {
	N    int
	Text string
	Ret  libchan.Sender
	In   libchan.Receiver
}

type answer struct{ Text string }

// TestMessages sends messages with ends of channels in both directions.
func TestMessages(t *testing.T) {
	inDialects(t, func(t *testing.T, from, to *Transport) {
		s, r := channel(t, from, to)
		answers, ret := libchan.Pipe()
		in, out := libchan.Pipe()
		send(t, s, request{7, "hello", ret, in})
		send(t, out, answer{"nested"})
		var got request
		receive(t, r, &got)
		if got.N != 7 || got.Text != "hello" {
			t.Fatalf("L11: received %+v", got)
		}
		var nested, reply answer
		receive(t, got.In, &nested)
		send(t, got.Ret, answer{"reply"})
		receive(t, answers, &reply)
		if nested.Text != "nested" || reply.Text != "reply" {
			t.Fatalf("L11: received %+v by the channel in a message, and %+v as its answer", nested, reply)
		}
		out.Close()
		got.Ret.Close()
		s.Close()
		for name, r := range map[string]libchan.Receiver{"top": r, "in": got.In, "answers": answers} {
			within(t, func() {
				if err := r.Receive(&answer{}); err != io.EOF {
					t.Errorf("L11: %s: after Close: %v", name, err)
				}
			})
		}
	})
}

// TestTyped sends typed channels.
func TestTyped(t *testing.T) {
	type job struct {
		Name string
		Ret  libchan.SendChan[string]
	}
	inDialects(t, func(t *testing.T, from, to *Transport) {
		s, r := channel(t, from, to)
		answers, ret := libchan.Make[string](0)
		send(t, libchan.Of[job](s).Sender(), job{"build", ret})
		got, err := libchan.From[job](r).Receive(context.Background())
		if err != nil || got.Name != "build" {
			t.Fatalf("L11: received %+v, %v", got, err)
		}
		go got.Ret.Send(context.Background(), "done")
		if answer, err := answers.Receive(context.Background()); answer != "done" || err != nil {
			t.Fatalf("L11: the answer is %q, %v", answer, err)
		}
	})
}
