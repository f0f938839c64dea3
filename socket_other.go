// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package ttrpc

import "net"

// kernelKind is what a stream socket of the kernel is: here no more than any byte stream.
const kernelKind = streamConn

// A socket is what unix kernels offer beyond net.Conn; here there is none.
type socket struct{}

func newSocket(net.Conn) *socket { return nil }

func (*socket) fill(*channel, bool) error { return errNoFrame }

func (*socket) writeFirst(*frame, func(int)) {}

func (*socket) tryWrite(*frame) (int, error) { return 0, nil }

func (*socket) writeExtras(*frame) (int, error) { return 0, nil }

func readSocket(int, []byte) (int, error) { return 0, errNoFrame }
