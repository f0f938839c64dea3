// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"net"
	"testing"

	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/libchan"
)

// pair returns the two sides of a session over net.Pipe.
func pair(t *testing.T, opts ...Option) (client, server *Transport) {
	t.Helper()
	a, b := net.Pipe()
	return sides(t, a, b, opts...)
}

func sides(t *testing.T, a, b net.Conn, opts ...Option) (client, server *Transport) {
	t.Helper()
	client, err := NewClient(a, opts...)
	if err != nil {
		t.Fatal(err)
	}
	server, err = NewServer(b, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// channel returns the two ends of a new channel from one side to the other.
func channel(t *testing.T, from, to *Transport) (libchan.ContextSender, libchan.ContextReceiver) {
	t.Helper()
	s, err := from.NewSendChannel()
	if err != nil {
		t.Fatal(err)
	}
	var r libchan.Receiver
	within(t, func() { r, err = to.WaitReceiveChannel() })
	if err != nil {
		t.Fatal(err)
	}
	return s.(libchan.ContextSender), r.(libchan.ContextReceiver)
}

// within requires that f returns.
func within(t *testing.T, f func()) {
	t.Helper()
	testkit.Within(t, "L11", f)
}

// send sends a message, or fails.
func send(t *testing.T, s libchan.Sender, v any) {
	t.Helper()
	within(t, func() {
		t.Helper()
		if err := s.Send(v); err != nil {
			t.Errorf("L11: Send: %v", err)
		}
	})
}

// receive receives a message, or fails.
func receive(t *testing.T, r libchan.Receiver, v any) {
	t.Helper()
	within(t, func() {
		t.Helper()
		if err := r.Receive(v); err != nil {
			t.Errorf("L11: Receive: %v", err)
		}
	})
}

var dialects = []Dialect{Released, Main}

// inDialects runs a test in each dialect and both directions.
func inDialects(t *testing.T, f func(t *testing.T, from, to *Transport)) {
	for _, d := range dialects {
		t.Run(d.String(), func(t *testing.T) {
			client, server := pair(t, WithDialect(d))
			t.Run("client", func(t *testing.T) { f(t, client, server) })
			t.Run("server", func(t *testing.T) { f(t, server, client) })
		})
	}
}
