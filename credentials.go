// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
)

// PeerCredentials tell which process is at the other end of a unix socket. The kernel has
// noted them when that process connected, listened, or made the pair of sockets; it may have
// become another user since, or have passed the socket on. They are there on Linux, macOS
// and FreeBSD.
//
// Its methods ask the kernel each time. They may be called concurrently, while the connection
// is open. What the system or the kernel does not have is an error that wraps
// [errors.ErrUnsupported]: who decides on it must refuse then.
type PeerCredentials struct {
	// UID and GID are the effective user and group. On Linux 65534 also stands for all
	// that have no number in the user namespace of this process.
	UID, GID uint32

	// PID is the process, or 0 if it is not known: on FreeBSD, and on Linux if the
	// process is not seen in the pid namespace of this one. The number alone says little:
	// once the process has ended another one may get it. See PIDFD.
	PID int

	source credentialSource
}

// PeerCredentialsOf returns the credentials of the peer of a *net.UnixConn, for a [Handshaker]
// of one's own. All other conns are an error.
func PeerCredentialsOf(conn net.Conn) (*PeerCredentials, error) {
	p, err := credentialsOf(conn)
	if err != nil {
		return nil, fmt.Errorf("ttrpc: peer credentials: %w", err)
	}
	return p, nil
}

func credentialsOf(conn net.Conn) (*PeerCredentials, error) {
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("only unix sockets have them, and this is a %T (RequireCID is for vsock, certificates are for TCP)", conn)
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return nil, err
	}
	p, err := readCredentials(raw)
	if err != nil {
		return nil, err
	}
	if p.UID == unknownID || p.GID == unknownID {
		return nil, errors.New("the kernel does not know the peer: the socket is not connected, or one of datagrams")
	}
	return p, nil
}

// unknownID is what the kernel says of a peer that it does not know.
const unknownID = 1<<32 - 1

// Groups returns the supplementary groups, of which GID may be one. macOS and FreeBSD tell
// of 16 at most, GID included. Linux has them since 4.13.
func (p *PeerCredentials) Groups() ([]uint32, error) {
	groups, err := p.source.groups()
	if err != nil {
		return nil, fmt.Errorf("ttrpc: the peer's groups: %w", err)
	}
	return groups, nil
}

// Label returns the label that the security module of Linux has given the process: a context
// of SELinux, or a profile of AppArmor.
func (p *PeerCredentials) Label() (string, error) {
	label, err := p.source.label()
	if err != nil {
		return "", fmt.Errorf("ttrpc: the peer's security label: %w", err)
	}
	return label, nil
}

// PIDFD returns a descriptor of the process, which stays its own whatever becomes of the
// number, and becomes readable when the process ends. The caller closes it. It is there since
// Linux 6.5. The error wraps [os.ErrProcessDone] if the kernel says that the process has ended
// already; newer kernels return the descriptor even then.
//
// While the process of the descriptor lives, PID is its number. So what is read about that
// number, in /proc for example, holds if the descriptor was there before and is not
// readable after.
func (p *PeerCredentials) PIDFD() (*os.File, error) {
	f, err := p.source.pidfd()
	if err != nil {
		return nil, fmt.Errorf("ttrpc: the peer's pidfd: %w", err)
	}
	return f, nil
}

// String returns "uid 1000, gid 100, pid 4711", for logs.
func (p *PeerCredentials) String() string {
	if p.PID == 0 {
		return fmt.Sprintf("uid %d, gid %d", p.UID, p.GID)
	}
	return fmt.Sprintf("uid %d, gid %d, pid %d", p.UID, p.GID, p.PID)
}

// PeerCredentialsFunc decides whether the process at the other end of a unix socket may
// connect; an error refuses it. It is a [Handshaker] of servers and clients. It may call what
// the Require functions return, and so combine them.
type PeerCredentialsFunc func(*PeerCredentials) error

// Handshake implements [Handshaker]. It returns conn and a *PeerCredentials, or an error if
// there are none or fn refuses them.
func (fn PeerCredentialsFunc) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	p, err := PeerCredentialsOf(conn)
	if err != nil {
		return nil, nil, err
	}
	if err := fn(p); err != nil {
		return nil, nil, fmt.Errorf("ttrpc: the peer (%v) is refused: %w", p, err)
	}
	return conn, p, nil
}

func (PeerCredentialsFunc) isQuiet() {}

// RequireUser requires the peer to run as one of these users. Of none it refuses everybody.
func RequireUser(uids ...uint32) PeerCredentialsFunc {
	return func(p *PeerCredentials) error { return requireOneOf("uid", p.UID, uids) }
}

// RequireRoot requires the peer to run as root, in any group.
func RequireRoot() PeerCredentialsFunc { return RequireUser(0) }

// RequireSameUser requires the peer to run as the user that this process runs as when the
// peer connects, in any group.
func RequireSameUser() PeerCredentialsFunc {
	return func(p *PeerCredentials) error {
		return requireOneOf("uid", p.UID, []uint32{uint32(os.Geteuid())})
	}
}

// RequireGroup requires the peer to be in one of these groups, by its effective group or a
// supplementary one. Of none it refuses everybody. A peer whose groups cannot be read is
// refused. Root is no exception.
func RequireGroup(gids ...uint32) PeerCredentialsFunc {
	return func(p *PeerCredentials) error {
		if slices.Contains(gids, p.GID) {
			return nil
		}
		groups, err := p.Groups()
		if err != nil {
			return err
		}
		for _, gid := range groups {
			if slices.Contains(gids, gid) {
				return nil
			}
		}
		return fmt.Errorf("none of its groups is one of the required %v: %w", gids, syscall.EPERM)
	}
}

// requireOneOf is nil if id is one of those required.
func requireOneOf(what string, id uint32, required []uint32) error {
	if slices.Contains(required, id) {
		return nil
	}
	return fmt.Errorf("%s %d is not one of the required %v: %w", what, id, required, syscall.EPERM)
}

// An xucred is what macOS and FreeBSD tell of a peer, in their struct xucred.
type xucred struct {
	version, uid uint32
	count        int16
	groups       [16]uint32 // the effective one first
}

// credentials returns who that is, and the groups.
func (x xucred) credentials() (*PeerCredentials, []uint32, error) {
	if x.version != 0 {
		return nil, nil, fmt.Errorf("the kernel's struct xucred is of version %d, only 0 is known", x.version)
	}
	if x.count < 1 || int(x.count) > len(x.groups) {
		return nil, nil, fmt.Errorf("the kernel tells of %d groups, not of 1 to %d", x.count, len(x.groups))
	}
	return &PeerCredentials{UID: x.uid, GID: x.groups[0]}, x.groups[:x.count], nil
}
