// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/internal/memconn"
)

// L6: a session that does not begin says why, at either side.
func TestNoSession(t *testing.T) {
	const noFrame = "\xff\xff\xff\xff\x00\x00\x00\x01\x01\x00"
	for name, c := range map[string]struct {
		server bool
		peer   func(conn net.Conn)
		is     error
		says   string
	}{
		"server, closed":   {true, func(conn net.Conn) { conn.Close() }, io.EOF, "the connection has ended"},
		"server, nothing":  {true, func(conn net.Conn) {}, context.DeadlineExceeded, "the other end has begun none in 10s"},
		"server, no ttrpc": {true, func(conn net.Conn) { conn.Write([]byte(noFrame)) }, nil, "announces 4294967295 bytes"},
		"client, closed":   {false, func(conn net.Conn) { conn.Close() }, io.EOF, "the connection has ended"},
		"client, no ttrpc": {false, func(conn net.Conn) { conn.Write([]byte(noFrame)) }, nil, "announces 4294967295 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				a, b := memconn.Pipe(0)
				defer b.Close()
				go c.peer(b)
				begin := NewClient
				if c.server {
					begin = NewServer
				}
				_, err := begin(a)
				if err == nil || !strings.HasPrefix(err.Error(), "libchan: no session: ") || !strings.Contains(err.Error(), c.says) {
					t.Errorf("the error is %v, want one that says %q", err, c.says)
				}
				if c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("the error is %v, want one that wraps %v", err, c.is)
				}
			})
		})
	}
}

// L6: a session on nothing is an error.
func TestNilConn(t *testing.T) {
	for name, begin := range map[string]func(net.Conn, ...Option) (*Session, error){"NewClient": NewClient, "NewServer": NewServer} {
		if _, err := begin(nil); err == nil || err.Error() != "libchan: the connection is nil" {
			t.Errorf("%s of nil: %v", name, err)
		}
	}
}
