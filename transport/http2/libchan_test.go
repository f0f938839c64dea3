// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package http2_test

import (
	"net"
	"testing"

	"github.com/containerd/ttrpc/internal/libchantest"
	"github.com/containerd/ttrpc/libchan"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
)

// TestLibchan has sessions over conns that either side begins, with each codec, and beside calls.
func TestLibchan(t *testing.T) {
	t.Parallel()
	t.Run("h2c", func(t *testing.T) {
		libchantest.Run(t, libchantest.Over(func(t *testing.T) (client, server net.Conn) { return plain.Pair(t) }))
	})
	t.Run("tls", func(t *testing.T) { sessions(t, secure) })
	onEach(t, func(t *testing.T, tr transporttest.Transport) {
		libchantest.Beside(t, func(t *testing.T) (client, server net.Conn) { return tr.Pair(t) })
	})
}

// sessions holds what sessions through a proxy must do.
func sessions(t *testing.T, tr transporttest.Transport) {
	libchantest.RunCodec(t, libchantest.Over(func(t *testing.T) (client, server net.Conn) { return tr.Pair(t) }), libchan.Msgpack)
}
