// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package ttrpc

import (
	"io"
	"net"
	"os"
	"syscall"
)

// A socket is the kernel's stream socket under a net.Conn. It can be tried
// without blocking, and waited on without holding a buffer.
type socket struct {
	raw syscall.RawConn

	// Owned by the goroutine that reads.
	reader *channel
	wait   bool
	rerr   error
	first  *frame                // is to be written before the next wait, which is not preceded by a read
	told   func(int)             // is told how many bytes of first were written
	read   func(fd uintptr) bool // s.readOnce, made once

	// Owned by the goroutine that writes.
	out   *frame
	wrote int
	werr  error
	write func(fd uintptr) bool // s.writeOnce, made once
}

// kernelKind is what a stream socket of the kernel is.
const kernelKind = socketConn

// newSocket returns what is under a conn of that kind, or nil if it was never opened.
func newSocket(conn net.Conn) *socket {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{raw: raw}
	s.read, s.write = s.readOnce, s.writeOnce
	return s
}

// fill reads once into ch. If nothing is there it waits, holding no buffer,
// or returns errNoFrame.
func (s *socket) fill(ch *channel, wait bool) error {
	s.reader, s.wait, s.rerr = ch, wait, nil
	if err := s.raw.Read(s.read); err != nil {
		s.first = nil
		return err
	}
	return s.rerr
}

// writeFirst has the next fill write f, without blocking, and wait before it reads.
// What was readable earlier does not end that wait. If fill fails before it could
// try, told is not called.
func (s *socket) writeFirst(f *frame, told func(n int)) { s.first, s.told = f, told }

func (s *socket) readOnce(fd uintptr) bool {
	if f := s.first; f != nil {
		s.first = nil
		n, _ := ignoringEINTR(syscall.Write, fd, f.data) // writing the rest tells the error
		s.told(max(n, 0))
		return false
	}
	n, err := s.readInto(int(fd), s.reader.space())
	switch {
	case n > 0:
		s.reader.advance(n)
	case err == syscall.EAGAIN:
		s.reader.idle()
		if s.wait {
			return false
		}
		s.rerr = errNoFrame
	case err != nil:
		s.reader.idle()
		s.rerr = err
		if _, ok := err.(syscall.Errno); ok {
			s.rerr = os.NewSyscallError("read", err)
		}
	default:
		s.reader.idle()
		s.rerr = io.EOF
	}
	return true
}

// readInto reads what is there.
func (s *socket) readInto(fd int, b []byte) (int, error) {
	if more := s.reader.more; more != nil {
		return more.read(fd, b)
	}
	return readSocket(fd, b)
}

// readSocket reads once, without blocking.
func readSocket(fd int, b []byte) (int, error) { return ignoringEINTR(syscall.Read, uintptr(fd), b) }

// tryWrite writes what the socket takes of a frame without blocking, and says how
// much.
func (s *socket) tryWrite(f *frame) (int, error) {
	s.out, s.wrote, s.werr = f, 0, nil
	err := s.raw.Write(s.write)
	s.out = nil
	if err == nil {
		err = s.werr
	}
	return s.wrote, err
}

// writeExtras writes the first bytes of a frame, with its extras, and waits until the
// socket takes them. It says how many there were.
func (s *socket) writeExtras(f *frame) (n int, err error) {
	rawErr := s.raw.Write(func(fd uintptr) bool {
		n, err = f.extras.write(int(fd), f.data)
		return err != syscall.EAGAIN
	})
	if rawErr != nil {
		return 0, rawErr
	}
	if err != nil {
		return 0, os.NewSyscallError("sendmsg", err)
	}
	return n, nil
}

func (s *socket) writeOnce(fd uintptr) bool {
	for f := s.out; s.wrote < len(f.data); {
		var n int
		var err error
		if f.writes() {
			n, err = f.extras.write(int(fd), f.data)
		} else {
			n, err = ignoringEINTR(syscall.Write, fd, f.data[s.wrote:])
		}
		if err == syscall.EAGAIN {
			break
		}
		if err != nil {
			s.werr = os.NewSyscallError("write", err)
			break
		}
		s.wrote += n
	}
	return true
}

func ignoringEINTR(f func(int, []byte) (int, error), fd uintptr, b []byte) (int, error) {
	for {
		if n, err := f(int(fd), b); err != syscall.EINTR {
			return n, err
		}
	}
}
