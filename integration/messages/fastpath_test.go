// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package messages

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/containerd/ttrpc"
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
// decoded by these, once each, at both ends: those of vtprotobuf by an option, those of
// gogo/protobuf always.
func TestFastPath(t *testing.T) {
	newVT := func(name string, n *counts) any { return countingVT{&vt.Sample{Name: name}, n} }
	newGogo := func(name string, n *counts) any { return countingGogo{&gogofast.Sample{Name: name}, n} }
	const all, none = "2 sized, 2 encoded, 2 decoded", "0 sized, 0 encoded, 0 decoded"
	vtServer, vtClient := []ttrpc.ServerOpt{ttrpc.WithServerVTProto()}, []ttrpc.ClientOpts{ttrpc.WithVTProto()}
	for _, test := range []struct {
		name                   string
		newMessage             func(name string, n *counts) any
		ofServer               []ttrpc.ServerOpt
		ofClient               []ttrpc.ClientOpts
		wantServer, wantClient string
	}{
		{"vt", newVT, vtServer, vtClient, all, all},
		{"vt at the server", newVT, vtServer, nil, all, none},
		{"vt at the client", newVT, nil, vtClient, none, all},
		{"vt without options", newVT, nil, nil, none, none},
		{"gogofast", newGogo, nil, nil, all, all},
	} {
		t.Run(test.name, func(t *testing.T) {
			var client, server counts
			c := connectWith(t, "messages.counting", echoService(func() any { return test.newMessage("old", &server) }, nil), test.ofServer, test.ofClient)
			out, in := test.newMessage("new", &client), test.newMessage("old", &client)
			if err := c.Call(context.Background(), "messages.counting", "Echo", out, in); err != nil {
				t.Fatal(err)
			}
			stream := openEcho(t, c, "messages.counting")
			exchange(t, stream, out, in)
			finish(t, stream, in)
			if got := in.(interface{ GetName() string }).GetName(); got != "new" {
				t.Errorf("B44: decoded %q, want %q", got, "new")
			}
			if got := client.String(); got != test.wantClient {
				t.Errorf("B44: the client's messages: %s, want %s", got, test.wantClient)
			}
			if got := server.String(); got != test.wantServer {
				t.Errorf("B44: the server's messages: %s, want %s", got, test.wantServer)
			}
		})
	}
}
