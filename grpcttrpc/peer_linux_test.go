// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/credentials"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
)

// TestPeerUcred holds that handlers find the user at the other end of a unix socket.
func TestPeerUcred(t *testing.T) {
	p, native := peerSeen(t, ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser()))
	info, ok := p.AuthInfo.(grpcttrpc.AuthInfo)
	if !ok || fmt.Sprintf("%T", info.Info) != "*unix.Ucred" || info.Info != native.AuthInfo {
		t.Fatalf("B125: the peer is %+v", p)
	}
	if err := credentials.CheckSecurityLevel(info, credentials.PrivacyAndIntegrity); err != nil {
		t.Errorf("B125: a unix socket is not secure: %v", err)
	}
}
