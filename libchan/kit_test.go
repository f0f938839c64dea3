// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/leak"
	"github.com/containerd/ttrpc/internal/memconn"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

var ctx = context.Background()

// within runs a test in a bubble, in which nothing may be left when it ends.
func within(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(2 * time.Second) }) // by then idle goroutines of ttrpc have ended
		f(t)
	})
}

// sessions returns the two ends of a session in memory.
func sessions(t *testing.T, opts ...Option) (near, far *Session) {
	t.Helper()
	a, b := memconn.Pipe(0)
	served := make(chan *Session)
	go func() {
		s, err := NewServer(b, opts...)
		if err != nil {
			t.Errorf("NewServer: %v", err)
		}
		served <- s
	}()
	near, err := NewClient(a, opts...)
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	far = <-served
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return near, far
}

// top returns the two ends of a new top-level channel.
func top(t *testing.T, from, to *Session) (ContextSender, ContextReceiver) {
	t.Helper()
	s, err := from.OpenChannel(ctx, "")
	if err != nil {
		t.Fatalf("OpenChannel: %v", err)
	}
	_, r, err := to.Accept(ctx)
	if err != nil {
		t.Fatalf("Accept: %v", err)
	}
	return s, r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// receives expects the next message.
func receives[T comparable](t *testing.T, r Receiver, want T) {
	t.Helper()
	var got T
	if err := r.Receive(&got); err != nil || got != want {
		t.Fatalf("received %v, %v; want %v", got, err, want)
	}
}

// tables returns how many channels the sessions have in their tables.
func tables(all ...*Session) int {
	n := 0
	for _, s := range all {
		s.mu.Lock()
		n += len(s.channels)
		s.mu.Unlock()
	}
	return n
}

// pair returns a client and a server that are connected.
func pair(t *testing.T, server *ttrpc.Server, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	t.Helper()
	a, b := memconn.Pipe(0)
	go server.ServeConn(ctx, b)
	client := ttrpc.NewClient(a, opts...)
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client
}

// A renamed codec is another to who knows codecs by name.
type renamed struct {
	Codec
	name string
}

func (c renamed) Name() string { return c.name }
