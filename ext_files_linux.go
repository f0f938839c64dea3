// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"errors"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// passesFiles tells whether the channel's conn can pass files.
func passesFiles(ch *channel) bool {
	_, ok := ch.conn.(*net.UnixConn)
	return ok && ch.kind == socketConn
}

// dupFiles duplicates files, so that their owner may close them.
func dupFiles(files []*os.File) ([]*os.File, error) {
	dups := make([]*os.File, 0, len(files))
	for _, f := range files {
		raw, err := f.SyscallConn()
		if err == nil {
			var dupErr error
			err = raw.Control(func(fd uintptr) {
				var n int
				if n, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); dupErr == nil {
					dups = append(dups, os.NewFile(uintptr(n), f.Name()))
				}
			})
			err = errors.Join(err, os.NewSyscallError("fcntl", dupErr))
		}
		if err != nil {
			closeFiles(dups)
			return nil, err
		}
	}
	return dups, nil
}

// sendFiles writes what the socket takes of b, with the files, which are sent if
// anything is.
func sendFiles(fd int, b []byte, files []*os.File) (n int, err error) {
	fds := make([]int, len(files))
	for i, f := range files {
		raw, err := f.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { fds[i] = int(fd) })
		}
		if err != nil {
			return 0, err
		}
	}
	for {
		n, err = unix.SendmsgN(fd, b, unix.UnixRights(fds...), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// recvFiles reads into b, and the files that come with it, which are closed on
// exec.
func recvFiles(fd int, b, control []byte) (_ int, files []*os.File, err error) {
	n, used, flags, err := recvmsg(fd, b, control)
	if err != nil || used == 0 && flags&unix.MSG_CTRUNC == 0 {
		return n, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:used])
	for _, m := range messages {
		fds, rightsErr := unix.ParseUnixRights(&m)
		if rightsErr != nil {
			continue // other control data
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "ttrpc"))
		}
	}
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		err = errFilesTruncated
	}
	if err != nil {
		closeFiles(files)
		return 0, nil, err
	}
	return n, files, nil
}

// errFilesTruncated ends a connection on which files came and could not be taken.
var errFilesTruncated = errors.New("ttrpc: not all files that were sent have arrived: too many are open")

// recvmsg is that of x/sys without the sender's address, for which that allocates.
func recvmsg(fd int, b, control []byte) (n, used, flags int, err error) {
	iov := unix.Iovec{Base: unsafe.SliceData(b)}
	iov.SetLen(len(b))
	msg := unix.Msghdr{Iov: &iov, Control: unsafe.SliceData(control)}
	msg.SetIovlen(1)
	msg.SetControllen(len(control))
	for {
		r, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		switch errno {
		case 0:
			return int(r), int(msg.Controllen), int(msg.Flags), nil
		case unix.EINTR:
			msg.SetControllen(len(control))
		default:
			return 0, 0, 0, errno
		}
	}
}

// controlSize is how much control data may come with one read.
func controlSize() int { return unix.CmsgSpace(maxFiles*4) + unix.CmsgSpace(syscall.SizeofUcred) }
