// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package http2_test

import (
	"net"
	"testing"

	"github.com/containerd/ttrpc/internal/libchantest"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
)

// TestLibchan has sessions over conns, and beside calls on one.
func TestLibchan(t *testing.T) {
	onEach(t, func(t *testing.T, tr transporttest.Transport) {
		conns := func(t *testing.T) (client, server net.Conn) { return tr.Pair(t) }
		libchantest.Run(t, libchantest.Over(conns))
		libchantest.Beside(t, conns)
	})
}

// TestLibchanBehindProxy has sessions through a proxy with authentication in front.
func TestLibchanBehindProxy(t *testing.T) {
	tr := behind(reverse)
	libchantest.Run(t, libchantest.Over(func(t *testing.T) (client, server net.Conn) { return tr.Pair(t) }))
}
