// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd/ttrpc"
)

// checkCredentials returns the option that has the kernel say who connects,
// and who is let in.
func checkCredentials() (options []ttrpc.ServerOpt, who string) {
	return []ttrpc.ServerOpt{ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser())},
		fmt.Sprintf("processes of uid %d and gid %d only", os.Geteuid(), os.Getegid())
}

// describePeer says which process a handler's call came from.
func describePeer(ctx context.Context) string {
	if peer, ok := ttrpc.PeerFromContext(ctx); ok {
		if cred, ok := peer.AuthInfo.(*unix.Ucred); ok {
			return fmt.Sprintf(", pid %d, uid %d", cred.Pid, cred.Uid)
		}
	}
	return ""
}
