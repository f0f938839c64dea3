// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"net"
	"sync"
	"testing"

	"github.com/containerd/ttrpc/integration/users/wire"
)

// packet is how much one Write may carry that is no frame's rest.
const packet = 4096

// A tap holds what passes through a logical connection to B43.
type tap struct {
	net.Conn
	t *testing.T

	// before, if set, is called before each Write.
	before func()

	mu      sync.Mutex
	in, out frames
	writes  []int // how many frames began in each Write
}

// frames tells where in a sequence of frames one is.
type frames struct {
	header []byte // what came of one, if not all
	rest   int    // how much data is missing of the present frame
	begun  int    // how many there were
}

// pass takes note of bytes that passed.
func (f *frames) pass(b []byte) {
	for len(b) > 0 {
		if f.rest > 0 {
			n := min(f.rest, len(b))
			f.rest -= n
			b = b[n:]
			continue
		}
		n := min(wire.HeaderLength-len(f.header), len(b))
		f.header = append(f.header, b[:n]...)
		b = b[n:]
		if len(f.header) == wire.HeaderLength {
			h, _ := wire.ParseHeader(f.header)
			f.rest = int(h.Length)
			f.header = nil
			f.begun++
		}
	}
}

func (c *tap) Write(b []byte) (int, error) {
	if c.before != nil {
		c.before()
	}
	c.mu.Lock()
	if len(b) > packet && len(b) != c.out.rest {
		c.t.Errorf("B43: a Write of %d bytes, where %d are the rest of a frame", len(b), c.out.rest)
	}
	begun := c.out.begun
	c.out.pass(b)
	c.writes = append(c.writes, c.out.begun-begun)
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *tap) Read(b []byte) (int, error) {
	c.mu.Lock()
	if len(b) < max(packet, c.in.rest) {
		c.t.Errorf("B43: a Read of %d bytes, where %d are missing of a frame", len(b), c.in.rest)
	}
	c.mu.Unlock()
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in.pass(b[:n])
	return n, err
}

// most is the largest number of frames that began in one Write.
func (c *tap) most() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := 0
	for _, n := range c.writes {
		most = max(most, n)
	}
	return most
}
