// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The net package knows no vsock. Here an os.File waits for its socket, with the runtime's
// poller, so deadlines work and Close ends what waits.

func dialVsock(ctx context.Context, to VsockAddr) (net.Conn, error) {
	f, err := dialSocket(ctx, unix.AF_VSOCK, &unix.SockaddrVM{CID: to.CID, Port: to.Port})
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: schemeVsock, Addr: to, Err: err}
	}
	return newFileConn(f), nil
}

func listenVsock(at VsockAddr) (net.Listener, error) {
	if at.Port == 0 {
		at.Port = anyPort
	}
	l, err := listenSocket(unix.AF_VSOCK, &unix.SockaddrVM{CID: at.CID, Port: at.Port}, unix.SOMAXCONN)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: schemeVsock, Addr: at, Err: err}
	}
	return l, nil
}

// newSocketFile returns a stream socket that does not block.
func newSocketFile(family int) (fd int, f *os.File, err error) {
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, os.NewSyscallError("socket", err)
	}
	return fd, os.NewFile(uintptr(fd), "socket"), nil
}

// dialSocket connects a socket of any family.
func dialSocket(ctx context.Context, family int, to unix.Sockaddr) (*os.File, error) {
	fd, f, err := newSocketFile(family)
	if err != nil {
		return nil, err
	}
	switch err = unix.Connect(fd, to); err {
	case nil:
		return f, nil
	case unix.EINPROGRESS, unix.EINTR:
		err = awaitConnected(ctx, f)
	default:
		err = os.NewSyscallError("connect", err)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// awaitConnected waits until a socket is connected, or ctx ends.
func awaitConnected(ctx context.Context, f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { f.SetWriteDeadline(time.Unix(1, 0)) })
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		if err != nil {
			failed = os.NewSyscallError("connect", err)
			return true
		}
		_, err = unix.Getpeername(int(fd)) // an early wake-up is no success
		return err == nil
	})
	if !stop() {
		return ctx.Err()
	}
	if failed != nil {
		err = failed
	}
	return err
}

// A fileConn is the connection of a socket of which the net package knows nothing.
type fileConn struct {
	file          *os.File
	local, remote net.Addr
}

// newFileConn returns the connection of a socket, which it then owns.
func newFileConn(f *os.File) *fileConn {
	c := &fileConn{file: f}
	if raw, err := f.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { c.local, c.remote = vsockAddrs(int(fd)) })
	}
	return c
}

// isKernelConn implements kernelConn.
func (*fileConn) isKernelConn() {}

func vsockAddrs(fd int) (local, remote net.Addr) {
	near, _ := unix.Getsockname(fd)
	far, _ := unix.Getpeername(fd)
	return vsockAddr(near), vsockAddr(far)
}

// vsockAddr returns the zero address if sa is none of vsock's.
func vsockAddr(sa unix.Sockaddr) net.Addr {
	vm, ok := sa.(*unix.SockaddrVM)
	if !ok {
		return VsockAddr{}
	}
	return VsockAddr{vm.CID, vm.Port}
}

// opError has errors look like those of the net package.
func (c *fileConn) opError(op string, err error) error {
	var path *os.PathError
	if !errors.As(err, &path) { // nil, or io.EOF
		return err
	}
	err = path.Err
	if errors.Is(err, os.ErrClosed) {
		err = net.ErrClosed
	}
	return &net.OpError{Op: op, Net: schemeVsock, Source: c.local, Addr: c.remote, Err: err}
}

func (c *fileConn) Read(b []byte) (int, error) {
	n, err := c.file.Read(b)
	return n, c.opError("read", err)
}

func (c *fileConn) Write(b []byte) (int, error) {
	n, err := c.file.Write(b)
	return n, c.opError("write", err)
}

func (c *fileConn) Close() error                  { return c.opError("close", c.file.Close()) }
func (c *fileConn) LocalAddr() net.Addr           { return c.local }
func (c *fileConn) RemoteAddr() net.Addr          { return c.remote }
func (c *fileConn) SetDeadline(t time.Time) error { return c.opError("set", c.file.SetDeadline(t)) }
func (c *fileConn) SetReadDeadline(t time.Time) error {
	return c.opError("set", c.file.SetReadDeadline(t))
}
func (c *fileConn) SetWriteDeadline(t time.Time) error {
	return c.opError("set", c.file.SetWriteDeadline(t))
}

// SyscallConn leads to the socket.
func (c *fileConn) SyscallConn() (syscall.RawConn, error) { return c.file.SyscallConn() }

// A fileListener is a listener on such a socket.
type fileListener struct {
	file   *os.File
	addr   net.Addr
	closed atomic.Bool
}

// listenSocket listens on a socket of any family.
func listenSocket(family int, at unix.Sockaddr, backlog int) (*fileListener, error) {
	fd, f, err := newSocketFile(family)
	if err != nil {
		return nil, err
	}
	if err = os.NewSyscallError("bind", unix.Bind(fd, at)); err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, backlog))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	local, _ := vsockAddrs(fd)
	return &fileListener{file: f, addr: local}, nil
}

// Accept implements [net.Listener].
func (l *fileListener) Accept() (net.Conn, error) {
	raw, err := l.file.SyscallConn()
	if err != nil {
		return nil, l.opError(err)
	}
	accepted, failed := 0, error(nil)
	err = raw.Read(func(fd uintptr) bool {
		for {
			accepted, _, failed = unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if failed != unix.EINTR && failed != unix.ECONNABORTED {
				return failed != unix.EAGAIN
			}
		}
	})
	if err != nil {
		return nil, l.opError(err)
	}
	if failed != nil {
		return nil, l.opError(os.NewSyscallError("accept", failed))
	}
	return newFileConn(os.NewFile(uintptr(accepted), "socket")), nil
}

func (l *fileListener) opError(err error) error {
	if l.closed.Load() {
		err = net.ErrClosed
	}
	return &net.OpError{Op: "accept", Net: schemeVsock, Addr: l.addr, Err: err}
}

// Close implements [net.Listener].
func (l *fileListener) Close() error {
	l.closed.Store(true)
	return l.file.Close()
}

// Addr implements [net.Listener].
func (l *fileListener) Addr() net.Addr { return l.addr }
