// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	wire "github.com/moby/spdystream/spdy"
)

// A peer speaks frames by hand to a Transport.
type peer struct {
	t    *testing.T
	conn net.Conn
	f    *frames
	turn sync.Mutex // to write

	mu    sync.Mutex
	got   []wire.Frame // all that the Transport has sent
	over  bool
	again chan struct{} // closed when got grows
}

// newPeer returns a Transport and its peer, which is the client if that is none.
func newPeer(t *testing.T, client bool, opts ...Option) (*Transport, *peer) {
	t.Helper()
	a, b := net.Pipe()
	begin := NewServer
	if client {
		begin = NewClient
	}
	tr, err := begin(a, opts...)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, conn: b, again: make(chan struct{})}
	if p.f, err = newFrames(b, 1<<20); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); p.read() }()
	t.Cleanup(func() { tr.Close(); b.Close(); <-done })
	return tr, p
}

func (p *peer) read() {
	for {
		frame, err := p.f.read()
		p.mu.Lock()
		if err == nil {
			p.got = append(p.got, frame)
		} else {
			p.over = true
		}
		close(p.again)
		p.again = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// send writes frames. The Transport may end while it does.
func (p *peer) send(list ...wire.Frame) {
	p.turn.Lock()
	defer p.turn.Unlock()
	_ = p.f.write(list)
}

// raw writes bytes.
func (p *peer) raw(b ...byte) { _, _ = p.conn.Write(b) }

// await waits until something that was received is what is looked for.
func await[F wire.Frame](p *peer, what string, is func(F) bool) F {
	p.t.Helper()
	limit := time.After(time.Minute)
	for {
		p.mu.Lock()
		got, again, over := p.got, p.again, p.over
		p.mu.Unlock()
		for _, frame := range got {
			if f, ok := frame.(F); ok && is(f) {
				return f
			}
		}
		if over {
			p.t.Fatalf("L11: the session has ended without %s; there came %v", what, got)
		}
		select {
		case <-again:
		case <-limit:
			p.t.Fatalf("L11: no %s; there came %v", what, got)
		}
	}
}

// until waits until something holds, and returns false if it does not in time.
func (p *peer) until(holds func() bool) bool {
	limit := time.After(5 * time.Second)
	for {
		p.mu.Lock()
		again, over := p.again, p.over
		p.mu.Unlock()
		if holds() {
			return true
		}
		if over {
			return false
		}
		select {
		case <-again:
		case <-limit:
			return false
		}
	}
}

// awaitEnd waits until the Transport has closed the connection.
func (p *peer) awaitEnd() []wire.Frame {
	p.t.Helper()
	limit := time.After(time.Minute)
	for {
		p.mu.Lock()
		got, again, over := p.got, p.again, p.over
		p.mu.Unlock()
		if over {
			return got
		}
		select {
		case <-again:
		case <-limit:
			p.t.Fatal("L11: the connection stays open")
		}
	}
}

// open returns a frame that opens a stream.
func open(id int, headers ...string) *wire.SynStreamFrame {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h[headers[i]] = append(h[headers[i]], headers[i+1])
	}
	return &wire.SynStreamFrame{StreamId: wire.StreamId(id), Headers: h}
}

// top opens a channel of v0.1.0's.
func top(id int) *wire.SynStreamFrame { return open(id, headerRef, itoa(id), headerParent, "0") }

// nested opens one for a message.
func nested(id, parent int) *wire.SynStreamFrame {
	return open(id, headerRef, itoa(id), headerParent, itoa(parent))
}

func itoa(n int) string { return string(appendInt(nil, n)) }

func appendInt(b []byte, n int) []byte {
	if n >= 10 {
		b = appendInt(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

func data(id int, b ...byte) *wire.DataFrame {
	return &wire.DataFrame{StreamId: wire.StreamId(id), Data: b}
}

func fin(id int) *wire.DataFrame {
	return &wire.DataFrame{StreamId: wire.StreamId(id), Flags: wire.DataFlagFin}
}

// text is a message that is a string, of any length.
func text(n int) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0xdb}, uint32(n))
	return append(b, bytes.Repeat([]byte{'x'}, n)...)
}

// resets tells whether a frame resets a stream with a status.
func resets(id int, status wire.RstStreamStatus) func(*wire.RstStreamFrame) bool {
	return func(f *wire.RstStreamFrame) bool { return f.StreamId == wire.StreamId(id) && f.Status == status }
}

// readOnly is a conn of which only Read works.
type readOnly struct {
	net.Conn
	r io.Reader
}

func (c readOnly) Read(p []byte) (int, error) { return c.r.Read(p) }
