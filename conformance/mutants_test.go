// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/containerd/ttrpc/conformance/internal/runner"
	"github.com/containerd/ttrpc/conformance/internal/subject"
	"github.com/containerd/ttrpc/conformance/internal/vector"
	"github.com/containerd/ttrpc/internal/wire"
)

// A wrong peer is this library with a mutant in front, which changes frames on their way: from
// the peer, or to it.
type mutant struct {
	does   string
	levels []string // that are played; all, if there are none
	// change returns what goes on in place of a frame.
	change func(f seen) [][]byte
	// holds keeps the connection open when the peer closes it.
	holds bool
	// fails are cases that must fail because of it; of one that holds all that expect a close.
	fails []string
}

// seen is a frame that a mutant sees.
type seen struct {
	wire.Header
	data     []byte
	fromPeer bool
}

// as returns the frame with other data.
func (f seen) as(data []byte) [][]byte {
	return [][]byte{wire.AppendFrame(nil, f.StreamID, f.Type, f.Flags, data)}
}

func (f seen) same() [][]byte { return f.as(f.data) }

// drops returns a change that drops frames of a type, from the peer or both ways.
func drops(t wire.Type, bothWays bool) func(seen) [][]byte {
	return func(f seen) [][]byte {
		if f.Type == t && (f.fromPeer || bothWays) {
			return nil
		}
		return f.same()
	}
}

func isHello(f seen) bool {
	return f.StreamID == 1 && f.Type <= wire.TypeResponse && bytes.Contains(f.data, []byte{0x08, 0x01})
}

var mutants = []mutant{
	{
		does: "answers something else",
		change: func(f seen) [][]byte {
			if isHello(f) || f.Type != wire.TypeResponse && f.Type != wire.TypeData || f.Flags&wire.FlagNoData != 0 {
				return f.same()
			}
			if n := len(f.data); n > 0 {
				data := bytes.Clone(f.data)
				data[n-1] ^= 1
				return f.as(data)
			}
			return f.as([]byte{0x0a, 0x02, 0x08, 0x05}) // a status with code 5; as a message it is a text
		},
		fails: []string{"classic-unary/server/echo", "classic-unary/client/echo", "classic-streams/server/bidi", "classic-streams/client/bidi", "credit/client/asks"},
	},
	{
		does: "says everything twice",
		change: func(f seen) [][]byte {
			if isHello(f) || !f.fromPeer || f.Type == wire.TypeCredit || f.Type == wire.TypePing {
				return f.same()
			}
			return append(f.same(), f.same()...)
		},
		fails: []string{"classic-unary/server/unknown-method", "classic-streams/server/server-stream", "robustness/server/id-zero", "cancel/server/twice", "cancel/client/given-up", "goodbye/client/server-leaves"},
	},
	{
		does:  "closes no connection",
		holds: true, change: seen.same, // fails all cases that expect it to
	},
	{
		does: "sends what is on no stream of the case",
		change: func(f seen) [][]byte {
			if !f.fromPeer || f.Type > wire.TypeData && f.Type != wire.TypePing || isHello(f) {
				return f.same()
			}
			return append(f.same(), wire.AppendFrame(nil, 77777, wire.TypeResponse, 0, nil))
		},
		fails: []string{"classic-unary/client/request-over-the-limit", "robustness/client/idle-ids"},
	},
	{
		does: "refuses nothing", levels: []string{"robustness", "agreement"},
		change: func(f seen) [][]byte {
			if f.fromPeer && f.Type == wire.TypeResponse && wire.ResponseCode(f.data) == 3 {
				return nil
			}
			return f.same()
		},
		fails: []string{"robustness/server/ten-zero-bytes", "robustness/server/id-active", "robustness/server/data-idle", "agreement/server/id-falls"},
	},
	{
		does: "fails for what it does not know", levels: []string{"robustness", "agreement"},
		change: func(f seen) [][]byte {
			if !f.fromPeer && (f.Type == 0 || f.Type > wire.TypeData && (f.Type < wire.TypePart || f.Type > wire.TypeReturn)) {
				failure := []byte{0x0a, 0x02, 0x08, 0x05}
				return [][]byte{wire.AppendFrame(nil, f.StreamID, wire.TypeRequest, 0, nil),
					wire.AppendFrame(nil, 1, wire.TypeResponse, 0, failure), wire.AppendFrame(nil, 3, wire.TypeResponse, 0, failure)}
			}
			return f.same()
		},
		fails: []string{"robustness/server/unknown-types", "robustness/client/unknown-type-idle", "agreement/server/high-types"},
	},
	{
		does: "knows no Hello", levels: []string{"agreement"},
		change: func(f seen) [][]byte {
			if !f.fromPeer && f.StreamID == 1 && f.Type == wire.TypeRequest {
				f.Flags |= wire.FlagRemoteOpen
			}
			if !f.fromPeer && f.StreamID == 1 && f.Type == wire.TypeResponse {
				return f.as([]byte{0x12, 0x01, 0x08})
			}
			return f.same()
		},
		fails: []string{"agreement/server/hello", "agreement/client/hello", "agreement/client/declined-12"},
	},
	{
		does: "does not cancel", levels: []string{"cancel"}, change: drops(wire.TypeCancel, true),
		fails: []string{"cancel/server/cancelled", "cancel/server/stream", "cancel/client/given-up", "cancel/client/deadline"},
	},
	{
		does: "gives no credit", levels: []string{"credit"}, change: drops(wire.TypeCredit, true),
		fails: []string{"credit/server/messages", "credit/server/large-message", "credit/client/messages", "credit/client/requests-wait"},
	},
	{
		does: "sends without credit", levels: []string{"credit"},
		change: func(f seen) [][]byte {
			if f.fromPeer || !isHello(f) {
				return f.same()
			}
			// The raw peer's windows of 1,024 and 2,048 are wide ones to the peer.
			for _, narrow := range [][]byte{{0x20, 0x80, 0x10}, {0x28, 0x80, 0x10}, {0x28, 0x80, 0x08}, {0x20, 0x80, 0x08}} {
				f.data = bytes.Replace(f.data, narrow, []byte{narrow[0], 0xff, 0x7f}, 1)
			}
			return f.same()
		},
		fails: []string{"credit/server/keeps-to-the-window", "credit/server/asks", "credit/server/asks-for-answers", "credit/client/keeps-to-the-window"},
	},
	{
		does: "loses parts", levels: []string{"parts"}, change: drops(wire.TypePart, true),
		fails: []string{"parts/server/request", "parts/server/message", "parts/server/large-answer", "parts/client/request", "parts/client/answer"},
	},
	{
		does: "has ids of the wrong parity", levels: []string{"both-ways", "classic-unary"},
		change: func(f seen) [][]byte {
			if f.fromPeer && f.Type == wire.TypeRequest && !isHello(f) {
				f.StreamID++
			}
			return f.same()
		},
		fails: []string{"both-ways/server/call-back", "classic-unary/client/ids"},
	},
	{
		does: "loses descriptors", levels: []string{"files"}, change: seen.same, // a plain conn passes none
		fails: []string{"files/server/with-request", "files/server/with-answer", "files/client/with-request", "files/client/with-answer"},
	},
	{
		does: "has no metadata", levels: []string{"metadata"}, change: drops(wire.TypeMetadata, true),
		fails: []string{"metadata/server/answer", "metadata/server/stream", "metadata/client/answer", "metadata/client/failure"},
	},
	{
		does: "answers pings with other bytes", levels: []string{"ping"},
		change: func(f seen) [][]byte {
			if f.fromPeer && f.Type == wire.TypePing {
				return f.as([]byte("wrong!!!"))
			}
			return f.same()
		},
		fails: []string{"ping/server/answered", "ping/client/answered"},
	},
	{
		does: "neither says nor hears a goodbye", levels: []string{"goodbye"}, change: drops(wire.TypeGoodbye, true),
		fails: []string{"goodbye/server/leaves", "goodbye/client/server-leaves", "goodbye/client/opens-no-more", "goodbye/client/leaves", "goodbye/server/raised"},
	},
}

// TestMutants plays the cases with wrong peers: what is wrong is found, and each case finds
// something (B188). A mutant plays the cases that it has to fail, and those that no other one
// before it has failed.
func TestMutants(t *testing.T) {
	command, client := peers[0].need(t)
	server := &subject.Server{Command: command}
	defer server.Close()
	conn, err := server.Dial(10 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	address := conn.RemoteAddr().String()
	cases := load(t)
	found := make(map[string]bool)
	for _, m := range mutants {
		if m.holds { // whatever else is wrong with those that expect it, that must be found
			m.fails = nil
			for _, c := range cases {
				if slices.ContainsFunc(c.Steps, func(s vector.Step) bool { return s.Closed }) {
					m.fails = append(m.fails, c.Name)
				}
			}
		}
		some := slices.DeleteFunc(slices.Clone(cases), func(c vector.Case) bool {
			other := m.levels != nil && !slices.Contains(m.levels, c.Level)
			return !slices.Contains(m.fails, c.Name) && (other || found[c.Name])
		})
		begin := time.Now()
		failed := m.play("unix:"+address, client, some)
		t.Logf("%s: %d of %d cases fail, in %v", m.does, len(failed), len(some), time.Since(begin))
		for _, name := range m.fails {
			if !failed[name] {
				t.Errorf("B188: a peer that %s passes %s", m.does, name)
			}
		}
		for name := range failed {
			found[name] = true
		}
	}
	for _, c := range cases {
		if !found[c.Name] {
			t.Errorf("B188: no wrong peer fails %s", c.Name)
		}
	}
}

// play returns the names of the cases that fail.
func (m mutant) play(server, client string, cases []vector.Case) map[string]bool {
	failed := make(map[string]bool)
	var mu sync.Mutex
	var roles sync.WaitGroup
	for _, with := range []runner.Runner{{Address: server, Jobs: 16}, {Client: client, Jobs: 4}} {
		with.Timeout, with.Keep = 300*time.Millisecond, true
		with.Wrap = func(conn net.Conn) net.Conn { return &mutated{Conn: conn, m: m} }
		roles.Go(func() {
			verdicts := with.Run(cases)
			mu.Lock()
			defer mu.Unlock()
			for _, v := range verdicts {
				if v.Err != nil {
					failed[v.Case.Name] = true
				}
			}
		})
	}
	roles.Wait()
	return failed
}

// A mutated conn is that of a wrong peer, as the runner has it. Frames that come or go in pieces
// go through as they are, and so does all after them.
type mutated struct {
	net.Conn
	m        mutant
	in       []byte // not seen yet
	out      []byte // seen, and not read
	raw      bool
	deadline time.Time
}

func (c *mutated) SetReadDeadline(t time.Time) error {
	c.deadline = t
	return c.Conn.SetReadDeadline(t)
}

func (c *mutated) Read(b []byte) (int, error) {
	for len(c.out) == 0 {
		room := make([]byte, 64<<10)
		n, err := c.Conn.Read(room)
		c.in = append(c.in, room[:n]...)
		c.out, c.in = c.changed(c.out, c.in, true)
		if err == nil || len(c.out) > 0 {
			continue
		}
		if c.m.holds && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
			time.Sleep(time.Until(c.deadline))
			return 0, os.ErrDeadlineExceeded
		}
		return 0, err
	}
	n := copy(b, c.out)
	c.out = c.out[n:]
	return n, nil
}

func (c *mutated) Write(b []byte) (int, error) {
	if c.raw {
		return c.Conn.Write(b)
	}
	out, rest := c.changed(nil, b, false)
	c.raw = len(rest) > 0
	if _, err := c.Conn.Write(append(out, rest...)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// changed takes whole frames from b, and appends what becomes of them to out.
func (c *mutated) changed(out, b []byte, fromPeer bool) (_, rest []byte) {
	for {
		h, data, next, err := wire.CutFrame(b)
		if err != nil {
			break
		}
		for _, frame := range c.m.change(seen{h, data, fromPeer}) {
			out = append(out, frame...)
		}
		b = next
	}
	return out, b
}

// WriteMsgUnix loses the descriptors.
func (c *mutated) WriteMsgUnix(b, oob []byte, _ *net.UnixAddr) (n, oobn int, err error) {
	n, err = c.Write(b)
	return n, len(oob), err
}

func (c *mutated) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

var _ io.ReadWriteCloser = (*mutated)(nil)
