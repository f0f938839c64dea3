// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !windows

package address

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"
)

func TestNoPipes(t *testing.T) {
	a, err := Parse("npipe:a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Dial(context.Background()); err != errNoPipes {
		t.Errorf("B170: a pipe: %v", err)
	}
	if _, err := a.Listen(context.Background()); err != errNoPipes {
		t.Errorf("B170: a pipe: %v", err)
	}
}

// TestDescriptor hands over a socket by its number.
func TestDescriptor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	echo(t, l)
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	f, err := conn.(*net.TCPConn).File()
	conn.Close()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(f.Fd()))
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	wantEcho(t, "fd:"+strconv.Itoa(fd))
	a, err := Parse("fd:" + strconv.Itoa(fd))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Dial(context.Background()); !errors.Is(err, syscall.EBADF) {
		t.Errorf("B170: a descriptor that was used: %v", err)
	}
	if _, err := a.Listen(context.Background()); !errors.Is(err, syscall.EBADF) {
		t.Errorf("B170: a descriptor that was used: %v", err)
	}
}
