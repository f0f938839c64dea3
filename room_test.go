// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/testkit"
)

// connOf returns the connection of a client made by NewClient, or of a server's peer.
func connOf(c *Client) *conn { return c.via.(*link).conn }

// extOf returns the extended mode of a connection, or nil.
func extOf(c *conn) *extended {
	x, _ := c.mode.(*extended)
	return x
}

// dialOf returns what a client made by Dial makes its connections with.
func dialOf(c *Client) *redialer { return c.via.(*redialer) }

// await waits for what nothing signals.
func await(t *testing.T, rule string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(testkit.Hang); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("%s: it never happens\n%s", rule, testkit.Stacks())
			return
		}
	}
}

func isClosed(c *conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// flood sends messages until one fails.
func flood(send func(any) error) error {
	for {
		if err := send(wrapperspb.Bytes(make([]byte, 8000))); err != nil {
			return err
		}
	}
}

// RunLowOnIDs has the current connection of a client made by Dial be almost short of ids, for
// tests of other packages.
func RunLowOnIDs(c *Client) {
	conn, err := dialOf(c).connection()
	if err != nil {
		panic(err)
	}
	conn.mu.Lock()
	defer conn.mu.Unlock()
	conn.lastID = fewIDs - 3
}
