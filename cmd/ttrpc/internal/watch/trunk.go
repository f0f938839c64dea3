// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"encoding/binary"
	"time"
)

// What NRI's multiplexer puts around the bytes of several connections. Each write of one is a
// packet:
//
//	0             4        8
//	| connection  | length | length bytes of that connection …
//
// Both numbers are big-endian. Connection 1 is the plugin's service, which the runtime calls;
// 2 is the runtime's, which the plugin calls. The plugin dials.
const (
	trunkHeaderLength = 8
	maxTrunkPacket    = 4<<20 + 10 // a message of 4 MiB with its header

	PluginService  = 1 // PluginService is the number of the connection by which plugins are called.
	RuntimeService = 2 // RuntimeService is that by which the runtime is called.

	// maxTrunkConns bounds the connections of a trunk that are watched.
	maxTrunkConns = 64
)

// A trunk is one direction of such a multiplexer.
type trunk struct {
	header []byte
	conn   uint32
	left   int // of the packet
	lost   bool
}

// take cuts bytes into packets, and gives what is in them to the connections.
func (t *trunk) take(c *Conn, fromServer bool, at time.Time, data []byte) {
	for len(data) > 0 && !t.lost && c.alien == "" {
		if t.left == 0 {
			n := min(trunkHeaderLength-len(t.header), len(data))
			t.header = append(t.header, data[:n]...)
			if data = data[n:]; len(t.header) == trunkHeaderLength {
				t.begin(c, fromServer, at)
			}
			continue
		}
		n := min(t.left, len(data))
		t.left -= n
		if s := c.onTrunk(t.conn, fromServer, at); s != nil {
			c.take(s, fromServer, at, data[:n])
		}
		data = data[n:]
	}
}

// begin looks at a header that is complete.
func (t *trunk) begin(c *Conn, fromServer bool, at time.Time) {
	t.conn = binary.BigEndian.Uint32(t.header)
	length := binary.BigEndian.Uint32(t.header[4:])
	if length <= maxTrunkPacket {
		t.left = int(length)
		t.header = t.header[:0]
		return
	}
	t.lose(c, fromServer, at, "this is not NRI's multiplexer, or its place was lost: a packet of more than 4 MiB")
}

// lose gives a direction up.
func (t *trunk) lose(c *Conn, fromServer bool, at time.Time, why string) {
	if t.lost {
		return
	}
	t.lost = true
	c.config.Tell(Event{Kind: Note, At: at, FromServer: fromServer, Trunk: t.conn, Text: why + "; the rest of this direction is not looked at"})
}

// onTrunk returns one of the connections, or nil if there are too many.
func (c *Conn) onTrunk(number uint32, fromServer bool, at time.Time) *session {
	s := c.open[number]
	if s == nil && len(c.open) < maxTrunkConns {
		s = newSession(&c.config, number)
		c.open[number] = s
		if len(c.open) == maxTrunkConns {
			s.at = at
			s.note(fromServer, "further connections of the trunk are not looked at")
		}
	}
	return s
}
