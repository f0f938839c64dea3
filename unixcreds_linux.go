// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// UnixCredentialsFunc decides whether the process at the other end of a unix
// socket may connect; an error refuses it. It is a [Handshaker]. The
// credentials are those that the process had when it connected, or listened.
type UnixCredentialsFunc func(*unix.Ucred) error

// Handshake implements [Handshaker]. It returns conn and a *unix.Ucred, or an
// error if conn is not a *net.UnixConn or fn refuses.
func (fn UnixCredentialsFunc) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	ucred, err := peerCredentials(conn)
	if err != nil {
		return nil, nil, fmt.Errorf("ttrpc.UnixCredentialsFunc: %w", err)
	}
	if err := fn(ucred); err != nil {
		return nil, nil, fmt.Errorf("ttrpc.UnixCredentialsFunc: credential check failed: %w", err)
	}
	return conn, ucred, nil
}

func (UnixCredentialsFunc) isQuiet() {}

func peerCredentials(conn net.Conn) (ucred *unix.Ucred, err error) {
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.New("a unix socket connection is required")
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return nil, err
	}
	var optErr error
	if err := raw.Control(func(fd uintptr) {
		ucred, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	if optErr != nil {
		return nil, os.NewSyscallError("getsockopt", optErr)
	}
	return ucred, nil
}

// UnixSocketRequireUidGid requires the peer's effective user and group id to
// be these; -1 stands for any.
func UnixSocketRequireUidGid(uid, gid int) UnixCredentialsFunc {
	return func(ucred *unix.Ucred) error {
		if uid != -1 && uint32(uid) != ucred.Uid {
			return fmt.Errorf("uid %d is not the required %d: %w", ucred.Uid, uid, syscall.EPERM)
		}
		if gid != -1 && uint32(gid) != ucred.Gid {
			return fmt.Errorf("gid %d is not the required %d: %w", ucred.Gid, gid, syscall.EPERM)
		}
		return nil
	}
}

// UnixSocketRequireRoot requires the peer to run as root, user and group.
func UnixSocketRequireRoot() UnixCredentialsFunc { return UnixSocketRequireUidGid(0, 0) }

// UnixSocketRequireSameUser requires the peer to have this process's effective
// user and group id.
func UnixSocketRequireSameUser() UnixCredentialsFunc {
	return UnixSocketRequireUidGid(os.Geteuid(), os.Getegid())
}
