// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package ttrpc

import (
	"context"
	"errors"
	"net"
)

var errNoVsock = errors.New("ttrpc: vsock is there on Linux only")

func dialVsock(context.Context, VsockAddr) (net.Conn, error) { return nil, errNoVsock }

func listenVsock(VsockAddr) (net.Listener, error) { return nil, errNoVsock }
