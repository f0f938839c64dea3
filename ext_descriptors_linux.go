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

// canPassFiles tells whether the channel's conn can pass files, and whoever made the
// socket has not said that it takes none.
func canPassFiles(ch *channel) bool {
	if _, ok := ch.conn.(*net.UnixConn); !ok || ch.kind != socketConn {
		return false
	}
	passes := true
	err := ch.socket.raw.Control(func(fd uintptr) {
		if on, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, soPassRights); err == nil { // else it is unknown
			passes = on != 0
		}
	})
	return err == nil && passes
}

// dupFiles duplicates files, so that their owner may close them.
func dupFiles(files []*os.File) ([]int, error) {
	dups := make([]int, 0, len(files))
	for _, f := range files {
		raw, err := f.SyscallConn()
		if err == nil {
			var dupErr error
			err = raw.Control(func(fd uintptr) {
				var n int
				if n, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); dupErr == nil {
					dups = append(dups, n)
				}
			})
			err = errors.Join(err, os.NewSyscallError("fcntl", dupErr))
		}
		if err != nil {
			closing.dropOwn(dups)
			return nil, err
		}
	}
	return dups, nil
}

// closeDescriptor closes a descriptor. If final is set, a socket whose peer was parted from
// for what it sent does not linger.
func closeDescriptor(fd int, final bool) {
	if final {
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, new(unix.Linger))
	}
	unix.Close(fd)
}

// sendFiles writes what the socket takes of b, with the descriptors, which are sent if
// anything is.
func sendFiles(fd int, b []byte, d *descriptors) (n int, err error) {
	for {
		n, err = unix.SendmsgN(fd, b, unix.UnixRights(d.set.fds...), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// isRefusal tells whether an error of sendFiles is about what was to be sent, and not
// about the socket.
func isRefusal(err error) bool {
	switch no, ok := err.(syscall.Errno); {
	case !ok, no == unix.EAGAIN, no == unix.EPIPE, no == unix.ECONNRESET, no == unix.ENOTCONN, no == unix.ECONNREFUSED:
		return false
	}
	return true
}

// scmPidfd is the kernel's SCM_PIDFD. Releases of x/sys that some users keep do not have it.
const scmPidfd = 4

// recvFiles reads into b, and the descriptors that come with it, which are closed on
// exec. With errFilesTruncated some have come, and not all.
func recvFiles(fd int, b, control []byte) (n int, fds []int, err error) {
	n, used, flags, err := recvmsg(fd, b, control)
	if err != nil || used == 0 && flags&unix.MSG_CTRUNC == 0 {
		return n, nil, err
	}
	fds, err = filesIn(control[:used], flags)
	return n, fds, err
}

// filesIn returns the descriptors that have come in control messages. It is no part of
// recvFiles, whose callers wait on small stacks.
func filesIn(control []byte, flags int) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(control)
	for _, m := range messages {
		rights, rightsErr := unix.ParseUnixRights(&m)
		switch {
		case rightsErr == nil:
			fds = append(fds, rights...)
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == scmPidfd && len(m.Data) >= 4:
			// Whoever has set that option of the socket: nobody here wants it.
			if pidfd := *(*int32)(unsafe.Pointer(unsafe.SliceData(m.Data))); pidfd >= 0 {
				unix.Close(int(pidfd))
			}
		}
	}
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		err = errFilesTruncated
	}
	return fds, err
}

// emptySocket takes what a socket that is about to be closed has received, and has the
// descriptors among it closed.
func emptySocket(s *socket, files *fileAccount) {
	s.raw.Control(func(fd uintptr) {
		unix.Shutdown(int(fd), unix.SHUT_RD) // so that there is an end
		b, control := make([]byte, readBufferSize), make([]byte, controlSize())
		for n, err := 1, error(nil); n > 0 && (err == nil || err == errFilesTruncated); {
			var fds []int
			n, fds, err = recvFiles(int(fd), b, control)
			files.drop(fds)
		}
	})
}

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

// controlSize is how much control data may come with one read: what we ask for, and what
// whoever made the socket may have asked for.
func controlSize() int {
	return unix.CmsgSpace(maxFiles*4) + unix.CmsgSpace(syscall.SizeofUcred) + unix.CmsgSpace(4) + unix.CmsgSpace(256)
}
