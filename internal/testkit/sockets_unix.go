// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package testkit

import (
	"net"
	"os"
	"syscall"
	"testing"
)

// SocketPair returns two connected unix sockets, which buffer as little as the kernel
// allows.
func SocketPair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		defer f.Close()
		if conns[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		conns[i].(*net.UnixConn).SetWriteBuffer(1) // the kernel makes it its least
	}
	return conns[0], conns[1]
}

// TCPPair returns two connected TCP sockets.
func TCPPair(t testing.TB) (*net.TCPConn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

// AwaitBytes waits until more than n bytes have arrived, leaves them there, and returns
// how many they are.
func AwaitBytes(t testing.TB, nc net.Conn, n int) (arrived int) {
	t.Helper()
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Read(func(fd uintptr) bool {
		arrived, _, err = syscall.Recvfrom(int(fd), make([]byte, 1<<10), syscall.MSG_PEEK)
		return arrived > n || err != nil && err != syscall.EAGAIN
	})
	if err != nil {
		t.Fatal(err)
	}
	return arrived
}
