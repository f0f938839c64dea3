// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Few machines lead a vsock back to themselves, so the tests put sockets of another family
// in the place of vsock's; all but their addresses is the same.

// listenFile listens on a port of TCP's, by a fileListener.
func listenFile(t *testing.T, backlog int) (*fileListener, unix.Sockaddr) {
	t.Helper()
	l, err := listenSocket(unix.AF_INET, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}, backlog)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var at unix.Sockaddr
	raw, err := l.file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { at, err = unix.Getsockname(int(fd)) }); err != nil {
		t.Fatal(err)
	}
	return l, at
}

// filePair returns the two ends of a connection.
func filePair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, at := listenFile(t, 1)
	f, err := dialSocket(context.Background(), unix.AF_INET, at)
	if err != nil {
		t.Fatal(err)
	}
	near = newFileConn(f)
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func TestFileConn(t *testing.T) {
	near, far := filePair(t)
	go near.Write([]byte("hello"))
	b := make([]byte, 5)
	if _, err := io.ReadFull(far, b); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
	if err := far.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
	_, err := far.Read(b)
	if timeout, ok := err.(net.Error); !ok || !timeout.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read after its deadline: %v", err)
	}
	if err := far.SetDeadline(time.Time{}); err != nil {
		t.Error(err)
	}
	near.Close()
	if _, err := far.Read(b); err != io.EOF {
		t.Errorf("a read after the peer's end: %v", err)
	}
	if _, err := near.Read(b); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read after Close: %v", err)
	}
	for err = nil; err == nil; { // the kernel notices with the second
		_, err = far.Write(b)
	}
	if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a write after the peer's end: %v", err)
	}

	near, far = filePair(t)
	done := make(chan error)
	go func() { _, err := far.Read(b); done <- err }()
	far.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Close while Read waits: %v", err)
	}
	if err := near.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
	if _, err := near.Write(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write after its deadline: %v", err)
	}
}

// TestFileConnCalls has both ends of ttrpc on such conns.
func TestFileConnCalls(t *testing.T) {
	l, at := listenFile(t, 1)
	srv, served := benchServer(t, WithServerExtensions()), make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), l) }()
	for _, opts := range [][]ClientOpts{nil, {WithExtensions()}} {
		f, err := dialSocket(context.Background(), unix.AF_INET, at)
		if err != nil {
			t.Fatal(err)
		}
		conn := newFileConn(f)
		if kind := kindOf(conn); kind != socketConn {
			t.Errorf("B57: a vsock's conn is of kind %d, want %d", kind, socketConn)
		}
		client := NewClient(conn, opts...)
		for _, size := range []int{1, 1 << 20} {
			if err := echo(context.Background(), client, "test", wrapperspb.String(text(size))); err != nil {
				t.Errorf("B43: %d bytes: %v", size, err)
			}
		}
		client.Close()
	}
	srv.Close()
	if err := <-served; err != ErrServerClosed {
		t.Errorf("B24: Serve returns %v", err)
	}
}

func TestDialSocketFails(t *testing.T) {
	l, at := listenFile(t, 0)
	if f, err := dialSocket(context.Background(), unix.AF_INET, at); err != nil {
		t.Fatal(err)
	} else {
		defer f.Close()
	}
	// One more than the backlog allows waits in the queue; the next is not answered.
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if f, err := dialSocket(ctx, unix.AF_INET, at); err != context.DeadlineExceeded {
		t.Errorf("nobody answers until the context ends: %v, %v", f, err)
	}
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if _, err := dialSocket(context.Background(), unix.AF_INET, at); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := dialSocket(context.Background(), 1<<20, at); !errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Errorf("an unknown family: %v", err)
	}
}

// TestVsock listens on a real vsock if there is any, and otherwise requires the error to
// say what is missing.
func TestVsock(t *testing.T) {
	l, err := ListenAddress(context.Background(), "vsock::0")
	if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EPERM) {
		t.Logf("no vsock here: %v", err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	addr, ok := l.Addr().(VsockAddr)
	if !ok || addr.Port == 0 || addr.Port == anyPort || addr.Network() != "vsock" {
		t.Errorf("the address is %v", l.Addr())
	}
	done := make(chan error)
	go func() { _, err := l.Accept(); done <- err }()
	l.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Close while Accept waits: %v", err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	nc, err := DialAddress(ctx, fmt.Sprintf("vsock:1:%d", addr.Port))
	var op *net.OpError
	if nc != nil || !errors.As(err, &op) || op.Op != "dial" || op.Net != "vsock" {
		t.Errorf("dialling nobody: %v, %v", nc, err)
	}
}
