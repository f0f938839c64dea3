// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"fmt"
	"net"
	"reflect"
)

// RequireCID requires the peer of a vsock connection to be one of these machines: 2 is the
// host, 1 this machine itself. Of none it refuses everybody. AuthInfo is a [VsockAddr].
//
// A CID names a machine and no user: every process there may connect. The conn may be of this
// package or of another one whose addresses have fields CID or ContextID, and Port.
func RequireCID(cids ...uint32) Handshaker { return cidHandshaker(cids) }

type cidHandshaker []uint32

// Handshake implements [Handshaker].
func (cids cidHandshaker) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	addr, ok := vsockPeer(conn.RemoteAddr())
	if !ok {
		return nil, nil, fmt.Errorf("ttrpc: the peer's CID: a vsock connection is required, and this is a %T with a peer at %v", conn, conn.RemoteAddr())
	}
	if err := requireOneOf("CID", addr.CID, cids); err != nil {
		return nil, nil, fmt.Errorf("ttrpc: the peer (%v) is refused: %w", addr, err)
	}
	return conn, addr, nil
}

func (cidHandshaker) isQuiet() {}

// vsockPeer returns the address of a vsock, whichever package it is of. The zero one is what
// there is if the kernel has told none.
func vsockPeer(addr net.Addr) (_ VsockAddr, ok bool) {
	v := reflect.ValueOf(addr)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || addr.Network() != schemeVsock {
		return VsockAddr{}, false
	}
	cid := v.FieldByName("CID")
	if !cid.IsValid() {
		cid = v.FieldByName("ContextID")
	}
	port := v.FieldByName("Port")
	if cid.Kind() != reflect.Uint32 || port.Kind() != reflect.Uint32 {
		return VsockAddr{}, false
	}
	found := VsockAddr{uint32(cid.Uint()), uint32(port.Uint())}
	return found, found != VsockAddr{} && found.CID != anyCID
}
