// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package leak

import (
	"net"
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Check(m)) }

func TestGoroutineIsFound(t *testing.T) {
	before := take()
	end := make(chan struct{})
	go func() { <-end }()
	left := before.await(0)
	if len(left) != 1 || !strings.Contains(left[0], "TestGoroutineIsFound") {
		t.Errorf("a goroutine is left, found:\n%s", strings.Join(left, "\n\n"))
	}
	close(end)
	if left := before.await(patience); len(left) != 0 {
		t.Errorf("the goroutine has ended, found:\n%s", strings.Join(left, "\n\n"))
	}
}

func TestFileDescriptorIsFound(t *testing.T) {
	if files() == nil {
		t.Log("without /proc only goroutines are looked for")
		return
	}
	before := take()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	left := before.await(0)
	if len(left) != 1 || !strings.Contains(left[0], "socket:") {
		t.Errorf("a socket is left, found:\n%s", strings.Join(left, "\n\n"))
	}
	l.Close()
	if left := before.await(patience); len(left) != 0 {
		t.Errorf("the socket is closed, found:\n%s", strings.Join(left, "\n\n"))
	}
}
