// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package libchantest is the conformance suite of package libchan: what holds between the two
// sides of a session whatever carries it, and whatever its messages are encoded with.
package libchantest

import (
	"net"
	"sync"
	"testing"

	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/libchan"
)

// A Pair makes a session and returns its two sides, of which a has dialled. Both have the
// options. The sides are closed when the test ends.
type Pair func(t *testing.T, opts ...libchan.Option) (a, b *libchan.Session)

// Codecs are those of package libchan, with which Run tests.
var Codecs = []libchan.Codec{libchan.Msgpack, libchan.JSON, libchan.Protobuf, libchan.Gob}

// A row is one behaviour.
type row struct {
	name   string
	anyway bool // it needs a codec that encodes any value, not messages of protobuf alone
	test   func(k *kit)
}

// rows is the suite. Each names the law that it is of.
var rows = [][]row{topRows, valueRows, endsRows, bytesRows, fileRows, closeRows, flowRows, habitRows, passRows}

// Run runs the suite over sessions that pair makes, with each of Codecs. The side that has
// dialled begins; with the first codec the other one does, too.
func Run(t *testing.T, pair Pair) {
	for _, c := range Codecs {
		t.Run(c.Name(), func(t *testing.T) { RunCodec(t, pair, c) })
	}
	t.Run(Codecs[0].Name()+", back", func(t *testing.T) {
		RunCodec(t, func(t *testing.T, opts ...libchan.Option) (a, b *libchan.Session) {
			b, a = pair(t, opts...)
			return a, b
		}, Codecs[0])
	})
}

// RunCodec is Run with one codec, of which the side that has dialled begins.
func RunCodec(t *testing.T, pair Pair, c libchan.Codec) {
	for _, group := range rows {
		for _, r := range group {
			if r.anyway && c == libchan.Protobuf {
				continue
			}
			t.Run(r.name, func(t *testing.T) {
				testkit.Within(t, r.name, func() { r.test(newKit(t, pair, c)) })
			})
		}
	}
}

// Over returns a Pair of sessions over what conns makes.
func Over(conns func(t *testing.T) (client, server net.Conn)) Pair {
	return func(t *testing.T, opts ...libchan.Option) (a, b *libchan.Session) {
		t.Helper()
		client, server := conns(t)
		var failed error
		var served sync.WaitGroup
		served.Go(func() { b, failed = libchan.NewServer(server, opts...) })
		a, err := libchan.NewClient(client, opts...)
		if err != nil {
			_ = server.Close()
		}
		served.Wait()
		if err != nil || failed != nil {
			t.Fatalf("no session: the client says %v, the server %v", err, failed)
		}
		t.Cleanup(func() {
			_ = a.Close()
			_ = b.Close()
		})
		return a, b
	}
}
