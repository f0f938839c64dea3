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

// TestLibchan has sessions over conns that either side begins, and beside calls. One codec is
// enough: those of package libchan are tested there, and a conn does not know them.
func TestLibchan(t *testing.T) {
	t.Parallel()
	t.Run("h2c", func(t *testing.T) { sessions(t, plain) })
	t.Run("tls", func(t *testing.T) { sessions(t, secure) })
	t.Run("back", func(t *testing.T) {
		dial := libchantest.Over(func(t *testing.T) (client, server net.Conn) { return plain.Pair(t) })
		libchantest.RunCodec(t, func(t *testing.T, opts ...libchan.Option) (a, b *libchan.Session) {
			b, a = dial(t, opts...)
			return a, b
		}, libchan.Msgpack)
	})
	onEach(t, func(t *testing.T, tr transporttest.Transport) {
		libchantest.Beside(t, func(t *testing.T) (client, server net.Conn) { return tr.Pair(t) })
	})
}

// sessions holds what sessions through a proxy must do.
func sessions(t *testing.T, tr transporttest.Transport) {
	libchantest.RunCodec(t, libchantest.Over(func(t *testing.T) (client, server net.Conn) { return tr.Pair(t) }), libchan.Msgpack)
}
