// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package messages

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/containerd/ttrpc/integration/messages/gen/gogofast"
	"github.com/containerd/ttrpc/integration/messages/gen/vt"
)

// counts is how often methods of messages ran.
type counts struct{ size, marshal, unmarshal atomic.Int64 }

func (c *counts) String() string {
	return fmt.Sprintf("%d sized, %d encoded, %d decoded", c.size.Load(), c.marshal.Load(), c.unmarshal.Load())
}

// countingVT counts calls of what vtprotobuf generates.
type countingVT struct {
	*vt.Sample
	n *counts
}

func (m countingVT) SizeVT() int {
	m.n.size.Add(1)
	return m.Sample.SizeVT()
}

func (m countingVT) MarshalToSizedBufferVT(b []byte) (int, error) {
	m.n.marshal.Add(1)
	return m.Sample.MarshalToSizedBufferVT(b)
}

func (m countingVT) UnmarshalVT(b []byte) error {
	m.n.unmarshal.Add(1)
	return m.Sample.UnmarshalVT(b)
}

// countingGogo counts calls of what gogo/protobuf generates.
type countingGogo struct {
	*gogofast.Sample
	n *counts
}

func (m countingGogo) Size() int {
	m.n.size.Add(1)
	return m.Sample.Size()
}

func (m countingGogo) MarshalTo(b []byte) (int, error) {
	m.n.marshal.Add(1)
	return m.Sample.MarshalTo(b)
}

func (m countingGogo) Unmarshal(b []byte) error {
	m.n.unmarshal.Add(1)
	return m.Sample.Unmarshal(b)
}

// TestFastPath sees to it that messages with methods of their own are encoded and
// decoded by these, once each, at both ends.
func TestFastPath(t *testing.T) {
	tests := map[string]func(name string, n *counts) any{
		"vt":       func(name string, n *counts) any { return countingVT{&vt.Sample{Name: name}, n} },
		"gogofast": func(name string, n *counts) any { return countingGogo{&gogofast.Sample{Name: name}, n} },
	}
	for name, newMessage := range tests {
		t.Run(name, func(t *testing.T) {
			var client, server counts
			c := connect(t, "messages.counting", echoService(func() any { return newMessage("old", &server) }, nil))
			out, in := newMessage("new", &client), newMessage("old", &client)
			if err := c.Call(context.Background(), "messages.counting", "Echo", out, in); err != nil {
				t.Fatal(err)
			}
			stream := openEcho(t, c, "messages.counting")
			exchange(t, stream, out, in)
			finish(t, stream, in)
			if got := in.(interface{ GetName() string }).GetName(); got != "new" {
				t.Errorf("B44: decoded %q, want %q", got, "new")
			}
			for side, n := range map[string]*counts{"client": &client, "server": &server} {
				if got, want := n.String(), "2 sized, 2 encoded, 2 decoded"; got != want {
					t.Errorf("B44: the %s's messages: %s, want %s", side, got, want)
				}
			}
		})
	}
}
