// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package libchan

import (
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// accessOf tells what a file is open for.
func accessOf(f *os.File) (reads, writes bool, err error) {
	var flags int
	err = onDescriptor(f, func(fd int) (err error) {
		flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		return os.NewSyscallError("fcntl", err)
	})
	mode := flags & unix.O_ACCMODE
	return mode == unix.O_RDONLY || mode == unix.O_RDWR, mode == unix.O_WRONLY || mode == unix.O_RDWR, err
}

// isDatagramFile tells whether a file is a socket that is no stream.
func isDatagramFile(f *os.File) bool {
	kind := unix.SOCK_STREAM
	_ = onDescriptor(f, func(fd int) error {
		if n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil {
			kind = n
		}
		return nil
	})
	return kind != unix.SOCK_STREAM
}

// onDescriptor calls f with the descriptor of a file.
func onDescriptor(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// filePair returns two ends of a pipe: theirs is a file that reads what is written into ours,
// or writes what is read from it, or both.
func filePair(reads, writes bool) (ours io.Closer, theirs *os.File, err error) {
	if !reads || !writes {
		r, w, err := os.Pipe()
		if reads {
			return w, r, err
		}
		return r, w, err
	}
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		syscall.ForkLock.RUnlock()
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	_ = unix.SetNonblock(fds[1], true) // so that deadlines work
	mine := os.NewFile(uintptr(fds[0]), "libchan")
	defer mine.Close()
	theirs = os.NewFile(uintptr(fds[1]), "libchan")
	conn, err := net.FileConn(mine)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}
