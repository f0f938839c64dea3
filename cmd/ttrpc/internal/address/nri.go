// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package address

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
)

// defaultNRI is where NRI's socket is.
const defaultNRI = "/var/run/nri/nri.sock"

// NRI's trunk is a connection that carries others. What each writes travels in pieces with a
// header before each:
//
//	uint32  number of the connection
//	uint32  length of the piece
//
// both big-endian. The plugin serves on one connection and the runtime on the other.
const (
	trunkHeader = 8

	pluginService  = 1
	runtimeService = 2

	// trunkPiece is how long a piece is at most. The reader at the other end takes a piece
	// whole, or fails if its buffer is shorter, and bufio's has that many bytes.
	trunkPiece = 4096
)

// A trunkConn is one connection of a trunk that has no other: what comes for others is dropped.
type trunkConn struct {
	net.Conn
	number uint32

	read  sync.Mutex
	left  uint32 // of the piece that is being read
	other bool   // it is another connection's

	write sync.Mutex
}

// NRIRuntime returns the connection of the runtime's service on a trunk, which it takes over.
func NRIRuntime(trunk net.Conn) net.Conn { return newTrunkConn(trunk, runtimeService) }

// newTrunkConn takes over a trunk.
func newTrunkConn(trunk net.Conn, number uint32) *trunkConn {
	return &trunkConn{Conn: trunk, number: number}
}

func (c *trunkConn) Read(b []byte) (int, error) {
	c.read.Lock()
	defer c.read.Unlock()
	if len(b) == 0 {
		return 0, nil
	}
	for c.left == 0 || c.other {
		dropped, err := io.CopyN(io.Discard, c.Conn, int64(c.left))
		c.left -= uint32(dropped)
		if err != nil {
			return 0, err
		}
		var header [trunkHeader]byte
		if _, err := io.ReadFull(c.Conn, header[:]); err != nil {
			return 0, err
		}
		c.other = binary.BigEndian.Uint32(header[:]) != c.number
		c.left = binary.BigEndian.Uint32(header[4:])
	}
	n, err := c.Conn.Read(b[:min(len(b), int(c.left))])
	c.left -= uint32(n)
	return n, err
}

func (c *trunkConn) Write(b []byte) (int, error) {
	c.write.Lock()
	defer c.write.Unlock()
	for done := 0; done < len(b); {
		piece := b[done:min(len(b), done+trunkPiece)]
		framed := binary.BigEndian.AppendUint32(nil, c.number)
		framed = binary.BigEndian.AppendUint32(framed, uint32(len(piece)))
		if _, err := c.Conn.Write(append(framed, piece...)); err != nil {
			return done, err
		}
		done += len(piece)
	}
	return len(b), nil
}
