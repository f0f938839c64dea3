// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package duplex

import (
	"net"
	"net/netip"
)

// An Addr is a net.Addr of which only the text is known.
type Addr struct{ Net, Text string }

// Network implements net.Addr.
func (a Addr) Network() string { return a.Net }

// String implements net.Addr.
func (a Addr) String() string { return a.Text }

// ParseAddr returns the address that an http.Request tells as a text: one of TCP, a text of
// another kind, such as "@" of a unix socket, or nil if there is none.
func ParseAddr(text string) net.Addr {
	if text == "" {
		return nil
	}
	if a, err := netip.ParseAddrPort(text); err == nil {
		return net.TCPAddrFromAddrPort(a)
	}
	return Addr{"http", text}
}
