// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"net"
	"syscall"
)

// soPassRights is SO_PASSRIGHTS, of Linux 6.16: whether a unix socket takes descriptors.
const soPassRights = 0x53

// takeRights has the kernel let the peer of a unix socket send descriptors, or not: then who
// tries gets EPERM. Without that the kernel drops those that nobody receives, in the read,
// which may take as long as the sender likes. It reports whether the kernel knows how.
func (ch *channel) takeRights(takes bool) (known bool) {
	if _, ok := ch.conn.(*net.UnixConn); !ok || ch.kind != socketConn {
		return false
	}
	value := 0
	if takes {
		value = 1
	}
	ch.socket.raw.Control(func(fd uintptr) {
		known = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soPassRights, value) == nil
	})
	return known
}
