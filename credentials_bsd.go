// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || freebsd

package ttrpc

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// localPeerPID is LOCAL_PEERPID, which macOS alone has.
const localPeerPID = 2

// A credentialSource has what was read.
type credentialSource struct{ all []uint32 }

func readCredentials(raw syscall.RawConn) (p *PeerCredentials, err error) {
	if ctlErr := raw.Control(func(fd uintptr) { p, err = readXucred(int(fd)) }); ctlErr != nil {
		return nil, ctlErr
	}
	return p, err
}

func readXucred(fd int) (*PeerCredentials, error) {
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return nil, os.NewSyscallError("getsockopt LOCAL_PEERCRED", err)
	}
	p, groups, err := xucred{cred.Version, cred.Uid, cred.Ngroups, cred.Groups}.credentials()
	if err != nil {
		return nil, err
	}
	p.source.all = groups
	if runtime.GOOS == "darwin" {
		if p.PID, err = unix.GetsockoptInt(fd, unix.SOL_LOCAL, localPeerPID); err != nil {
			p.PID = 0 // the peer has closed its end
		}
	}
	return p, nil
}

func (s credentialSource) groups() ([]uint32, error) {
	if len(s.all) == 0 {
		return nil, errors.New("these credentials are of no connection")
	}
	return append([]uint32(nil), s.all...), nil
}

func (credentialSource) label() (string, error) {
	return "", fmt.Errorf("%s tells of none: %w", runtime.GOOS, errors.ErrUnsupported)
}

func (credentialSource) pidfd() (*os.File, error) {
	return nil, fmt.Errorf("%s has none: %w", runtime.GOOS, errors.ErrUnsupported)
}
