// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package websocket_test

import (
	"net"
	"testing"

	"github.com/containerd/ttrpc/internal/libchantest"
)

// TestChannels runs libchan's suite.
func TestChannels(t *testing.T) {
	onPlain := func(t *testing.T) (client, server net.Conn) { return plain.Pair(t) }
	libchantest.Run(t, libchantest.Over(onPlain))
}
