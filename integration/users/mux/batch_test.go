// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !released

package mux

import (
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/users/mux/exchange"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A gate holds back who writes until it is opened, so that frames queue up.
type gate chan struct{}

func (g gate) pass() { <-g }

// gated puts taps with gates around an end's connections, and returns them when
// the end is made: that on which it calls first.
func gated(t *testing.T, g gate, made *[]*tap) exchange.Options {
	return exchange.Options{Wrap: func(c net.Conn) net.Conn {
		tapped := &tap{Conn: c, t: t, before: g.pass}
		*made = append(*made, tapped)
		return tapped
	}}
}

// wantBatch sees to it that frames left together at all: else nothing was tested.
func wantBatch(t *testing.T, what string, c *tap) {
	t.Helper()
	if most := c.most(); most < 2 {
		t.Errorf("%s: no two frames left in one Write, though many were queued", what)
	}
}

// TestSmallCallsAtOnce has many small requests leave at once, and then many small
// answers: each Write is one packet to the multiplexer, so it must not grow over what
// a Read at the other end has room for.
func TestSmallCallsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 200
		local, remote := net.Pipe()
		requests, answers := make(gate), make(gate)
		var near, far []*tap
		runtime := join(t, local, exchange.Runtime, gated(t, requests, &near))
		join(t, remote, exchange.Plugin, gated(t, answers, &far))

		ctx := limited(t)
		var all sync.WaitGroup
		for i := range calls {
			all.Go(func() {
				if err := exchange.Echo(ctx, runtime.Client, i, 100); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // one request is being written, the others are queued
		close(requests)
		synctest.Wait() // the same of the answers
		close(answers)
		all.Wait()
		wantBatch(t, "requests", near[0])
		wantBatch(t, "answers", far[1])
	})
}

// TestMessagesInARow has many small messages leave at once towards the release,
// whose reads have room for one packet of 4096 bytes.
func TestMessagesInARow(t *testing.T) {
	// They stay below what is queued before senders wait.
	const messages, size = 100, 100
	g := make(gate)
	var made []*tap
	end := withRelease(t, exchange.Runtime, gated(t, g, &made))
	desc := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
	stream, err := end.Client.NewStream(limited(t), desc, exchange.Service, "EchoStream", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if err := stream.SendMsg(wrapperspb.Bytes(exchange.Pattern(i, size))); err != nil {
			t.Fatal(err)
		}
	}
	close(g)
	for i := range messages {
		in := new(wrapperspb.BytesValue)
		if err := stream.RecvMsg(in); err != nil {
			t.Fatalf("B43: message %d of %d: %v", i, messages, err)
		}
		if want := exchange.Pattern(i, size); string(in.Value) != string(want) {
			t.Fatalf("B43: message %d: %x came back, not %x", i, in.Value, want)
		}
	}
	wantBatch(t, "messages", made[0])
}
