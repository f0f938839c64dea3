// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"context"
	"net"
	"testing"

	"github.com/containerd/nri/pkg/net/multiplex"
	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/users/mux/exchange"
	"github.com/containerd/ttrpc/integration/users/wire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func encoded(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// answerRaw waits for a request and writes an answer to it that is one packet.
func answerRaw(t *testing.T, c net.Conn, answer []byte) {
	if _, err := c.Read(make([]byte, packet)); err != nil {
		t.Error(err)
		return
	}
	if _, err := c.Write(answer); err != nil {
		t.Error(err)
	}
}

// TestPacketTooLarge has a packet come that is larger than B43 allows: it holds an
// answer that begins in the middle of it. The multiplexer fails a Read that has no
// room for its packet, but what it looks at is the capacity of the memory, and it
// fills no more than its length. So a reader whose memory has more capacity than
// length takes for an answer what never was sent.
func TestPacketTooLarge(t *testing.T) {
	for _, size := range []int{4200, 5000, 8000, 8192} {
		pair := socketPair(t)
		local, err := pair.LocalConn()
		if err != nil {
			t.Fatal(err)
		}
		remote, err := pair.PeerConn()
		if err != nil {
			t.Fatal(err)
		}
		end := join(t, local, exchange.Runtime, exchange.Options{})
		peer := multiplex.Multiplex(remote)
		defer peer.Close()
		conn, err := peer.Open(multiplex.PluginServiceConn)
		if err != nil {
			t.Fatal(err)
		}
		// An answer to nobody comes first, so that the other needs a new Read
		// or goes over the end of one.
		n := size - 2000 - 2*wire.HeaderLength - 6
		answer := &ttrpc.Response{Payload: encoded(t, wrapperspb.Bytes(exchange.Pattern(1, n)))}
		whole := wire.AppendFrame(nil, 999, wire.TypeResponse, 0, make([]byte, 2000))
		whole = wire.AppendFrame(whole, 1, wire.TypeResponse, 0, encoded(t, answer))
		go answerRaw(t, conn, whole)

		got := new(wrapperspb.BytesValue)
		ctx, cancel := context.WithTimeout(t.Context(), hang)
		err = end.Client.Call(ctx, exchange.Service, "Echo", new(wrapperspb.BytesValue), got)
		cancel()
		switch {
		case err == nil && string(got.Value) != string(exchange.Pattern(1, n)):
			t.Errorf("B43: a packet of %d bytes: the call succeeded with an answer that nobody sent", len(whole))
		case err != nil && err != ttrpc.ErrClosed:
			t.Errorf("B5: a packet of %d bytes: %v, want ErrClosed", len(whole), err)
		}
	}
}
