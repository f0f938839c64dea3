// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package cbor_test

import (
	"net"
	"testing"

	"github.com/containerd/ttrpc/internal/libchantest"
	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/libchan/cbor"
)

// TestConformance holds sessions with the codec to what holds with libchan's own.
func TestConformance(t *testing.T) {
	libchantest.RunCodec(t, libchantest.Over(func(*testing.T) (client, server net.Conn) {
		return memconn.Pipe(0)
	}), cbor.Codec)
}
