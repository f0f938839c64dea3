// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A credentialSource is the socket that is asked.
type credentialSource struct{ raw syscall.RawConn }

func readCredentials(raw syscall.RawConn) (*PeerCredentials, error) {
	source := credentialSource{raw}
	var ucred *unix.Ucred
	err := source.ask("SO_PEERCRED", func(fd int) (err error) {
		ucred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &PeerCredentials{UID: ucred.Uid, GID: ucred.Gid, PID: int(ucred.Pid), source: source}, nil
}

// ask runs f, which reads an option, with the socket.
func (s credentialSource) ask(option string, f func(fd int) error) error {
	if s.raw == nil {
		return errors.New("these credentials are of no connection")
	}
	var failed error
	if err := s.raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	if failed == unix.ENOPROTOOPT {
		return fmt.Errorf("the kernel has no %s: %w", option, errors.ErrUnsupported)
	}
	if failed != nil {
		return os.NewSyscallError("getsockopt "+option, failed)
	}
	return nil
}

func (s credentialSource) groups() (groups []uint32, err error) {
	err = s.ask("SO_PEERGROUPS", func(fd int) (err error) {
		groups, err = growing(func(room []uint32) (int, error) { return peerGroups(fd, room) })
		return err
	})
	return groups, err
}

// peerGroups reads the groups into room, and returns how many there are. If that is more
// than there is room for, the error is ERANGE.
func peerGroups(fd int, room []uint32) (int, error) {
	size := uint32(len(room) * 4)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
		uintptr(unsafe.Pointer(unsafe.SliceData(room))), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return int(size / 4), errno
	}
	return int(size / 4), nil
}

// mostGroups is how many groups a process of Linux may have.
const mostGroups = 65536

// growing has read fill a list that has room for all.
func growing(read func(room []uint32) (int, error)) ([]uint32, error) {
	room := make([]uint32, 32)
	n, err := read(room)
	if err == unix.ERANGE && len(room) < n && n <= mostGroups {
		room = make([]uint32, n)
		n, err = read(room)
	}
	if err != nil {
		return nil, err
	}
	if n > len(room) {
		return nil, fmt.Errorf("the kernel tells of %d groups where there is room for %d", n, len(room))
	}
	return room[:n], nil
}

func (s credentialSource) label() (label string, err error) {
	err = s.ask("SO_PEERSEC", func(fd int) (err error) {
		label, err = unix.GetsockoptString(fd, unix.SOL_SOCKET, unix.SO_PEERSEC)
		return err
	})
	if err == nil && label == "" {
		err = fmt.Errorf("the security module has given none: %w", errors.ErrUnsupported)
	}
	return label, err
}

func (s credentialSource) pidfd() (*os.File, error) {
	pidfd := -1
	err := s.ask("SO_PEERPIDFD", func(fd int) (err error) {
		pidfd, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
		return pidfdError(err)
	})
	if err != nil {
		return nil, err
	}
	unix.SetNonblock(pidfd, true) // so that the runtime's poller takes it
	return os.NewFile(uintptr(pidfd), "pidfd"), nil
}

// pidfdError says what the kernel means that returns no pidfd: what it says of a process that
// has ended, and was waited for, has changed more than once.
func pidfdError(err error) error {
	switch err {
	case unix.ENODATA, unix.ESRCH:
		return fmt.Errorf("%w: %w", os.ErrProcessDone, err)
	case unix.EINVAL:
		return fmt.Errorf("the process has ended, or the kernel has no SO_PEERPIDFD: %w", err)
	}
	return err
}
