// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	wire "github.com/moby/spdystream/spdy"

	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/libchan"
)

// TestBreaches holds that what no peer may send ends the session, which says why and tells the
// peer.
func TestBreaches(t *testing.T) {
	for name, c := range map[string]struct {
		send func(p *peer)
		want string
	}{
		"version":       {func(p *peer) { p.raw(0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1) }, "version 2"},
		"long control":  {func(p *peer) { p.raw(0x80, 3, 0, 4, 0, 0xff, 0xff, 0xff) }, "control frame of 16777215 bytes"},
		"short opening": {func(p *peer) { p.raw(0x80, 3, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1) }, "type 1 with 4 bytes"},
		"long ping":     {func(p *peer) { p.raw(0x80, 3, 0, 6, 0, 0, 0, 5, 0, 0, 0, 1, 0) }, "type 6 with 5 bytes"},
		"no headers":    {func(p *peer) { p.raw(0x80, 3, 0, 1, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) }, "type 1"},
		"bad headers": {func(p *peer) {
			p.raw(0x80, 3, 0, 1, 0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4)
		}, "type 1"},
		"our id":         {func(p *peer) { p.send(top(2)) }, "an id of this side's, 2"},
		"falling ids":    {func(p *peer) { p.send(top(5), top(3)) }, "the id 3 after 5"},
		"data of none":   {func(p *peer) { p.send(data(7, 1)) }, "7, that was never opened"},
		"data of zero":   {func(p *peer) { p.raw(0, 0, 0, 0, 0, 0, 0, 0) }, "0, that was never opened"},
		"large window":   {func(p *peer) { p.raw(0x80, 3, 0, 4, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 7, 0xff, 0, 0, 0) }, "first window of 4278190080"},
		"lying settings": {func(p *peer) { p.raw(0x80, 3, 0, 4, 0, 0, 0, 12, 0xff, 0, 0, 1, 0, 0, 0, 7, 0xff, 0, 0, 0) }, "type 4"},
	} {
		t.Run(name, func(t *testing.T) {
			tr, p := newPeer(t, false)
			go c.send(p)
			frames := p.awaitEnd()
			last, ok := frames[len(frames)-1].(*wire.GoAwayFrame)
			if !ok || last.Status != wire.GoAwayProtocolError {
				t.Errorf("L11: the last frame is %v, no goodbye for a breach of the protocol", frames[len(frames)-1])
			}
			<-tr.Done()
			if err := tr.Cause(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("L11: the session ended with %v, want %q", err, c.want)
			}
		})
	}
}

// TestBadMessages holds that a message which is none ends its channel, which says why, and no
// other.
func TestBadMessages(t *testing.T) {
	long := append([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, make([]byte, 8)...)
	for name, c := range map[string]struct {
		message []byte
		end     bool
		want    string
		status  wire.RstStreamStatus
	}{
		"no value":      {[]byte{0xc1}, false, "byte c1", wire.ProtocolError},
		"reference":     {[]byte{0xd4, 76, 0}, false, "extension of type 76", wire.ProtocolError},
		"direction":     {[]byte{0xc7, 5, 1, 3, 0, 0, 0, 1}, false, "no direction", wire.ProtocolError},
		"no direction":  {[]byte{0xc7, 0, 1}, false, "no direction", wire.ProtocolError},
		"short id":      {[]byte{0xd4, 2, 1}, false, "the id of a channel has 1 bytes", wire.ProtocolError},
		"long list":     {long, false, "longer than 16,777,215", wire.FrameTooLarge},
		"long string":   {[]byte{0xdb, 0x01, 0, 0, 0}, false, "longer than 16,777,215", wire.FrameTooLarge},
		"in the middle": {[]byte{0xa5, 'h'}, true, "in the middle of a message", wire.InternalError},
	} {
		t.Run(name, func(t *testing.T) {
			tr, p := newPeer(t, false)
			go func() {
				p.send(top(1), top(3), data(1, c.message...))
				if c.end {
					p.send(fin(1))
				}
				p.send(data(3, 0xa2, 'o', 'k'))
			}()
			bad, err := tr.WaitReceiveChannel()
			if err != nil {
				t.Fatal(err)
			}
			good, err := tr.WaitReceiveChannel()
			if err != nil {
				t.Fatal(err)
			}
			var s string
			within(t, func() { err = bad.Receive(&s) })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("L11: Receive: %v, want %q", err, c.want)
			}
			await(p, "reset", resets(1, c.status))
			receive(t, good, &s)
			if s != "ok" {
				t.Errorf("L11: the other channel has received %q", s)
			}
		})
	}
}

// TestBadNames holds that a channel which a message may not name is an error for who uses it,
// and that the next message is received.
func TestBadNames(t *testing.T) {
	tr, p := newPeer(t, false)
	receiver := func(id byte) []byte { return []byte{0xc7, 5, 1, 1, 0, 0, 0, id} }
	go p.send(top(1), nested(3, 1), data(1, receiver(1)...), // the channel itself
		data(1, receiver(3)...), data(1, receiver(3)...), // twice
		data(1, 0xa5, 'a', 'f', 't', 'e', 'r'))
	r, err := tr.WaitReceiveChannel()
	if err != nil {
		t.Fatal(err)
	}
	var ends [3]libchan.Receiver
	for i := range ends {
		receive(t, r, &ends[i])
	}
	var s string
	receive(t, r, &s)
	if s != "after" {
		t.Fatalf("L11: received %q", s)
	}
	for _, i := range []int{0, 2} {
		within(t, func() {
			if err := ends[i].Receive(&s); err == nil || !strings.Contains(err.Error(), "named before") {
				t.Errorf("L11: Receive from the end %d: %v", i, err)
			}
		})
	}
	go p.send(data(3, 0xa2, 'o', 'k'))
	receive(t, ends[1], &s)
}

// TestNeverOpened holds that a channel which a message names and the peer never opens ends with
// an error, and that its Sender waits for it no longer either.
func TestNeverOpened(t *testing.T) {
	tr, p := newPeer(t, false, func(o *options) { o.opens = time.Millisecond })
	go p.send(top(1), data(1, 0x93, 0xc7, 5, 1, 1, 0, 0, 0, 9, 0xc7, 5, 1, 2, 0, 0, 0, 11, 0xc7, 5, 1, 1, 0, 0, 0, 9))
	r, err := tr.WaitReceiveChannel()
	if err != nil {
		t.Fatal(err)
	}
	var ends struct {
		R libchan.Receiver
		S libchan.ContextSender
	}
	var list []any
	receive(t, r, &list)
	ends.R, ends.S = list[0].(libchan.Receiver), list[1].(libchan.ContextSender)
	var s string
	if err := ends.R.Receive(&s); err == nil || !strings.Contains(err.Error(), errNeverOpened.Error()) {
		t.Errorf("L11: Receive: %v", err)
	}
	if err := list[2].(libchan.Receiver).Receive(&s); err == nil || !strings.Contains(err.Error(), "named before") {
		t.Errorf("L11: Receive from a channel that was named twice: %v", err)
	}
	_ = ends.S.Send("one")
	if err := ends.S.Send("two"); err == nil || !strings.Contains(err.Error(), errNeverOpened.Error()) {
		t.Errorf("L11: Send: %v", err)
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.awaited) != 0 {
		t.Errorf("L11: %d channels are still waited for", len(tr.awaited))
	}
}

// TestLateOpening holds that the message may come before the stream that it names.
func TestLateOpening(t *testing.T) {
	tr, p := newPeer(t, false)
	go p.send(top(1), data(1, 0x92, 0xc7, 5, 1, 1, 0, 0, 0, 3, 0xc7, 5, 1, 2, 0, 0, 0, 5))
	r, err := tr.WaitReceiveChannel()
	if err != nil {
		t.Fatal(err)
	}
	var list []any
	receive(t, r, &list)
	send(t, list[1].(libchan.Sender), "early")
	go p.send(nested(3, 1), nested(5, 1), data(3, 0xa2, 'o', 'k'), fin(3))
	var s string
	receive(t, list[0].(libchan.Receiver), &s)
	if s != "ok" {
		t.Fatalf("L11: received %q", s)
	}
	await(p, "message", func(f *wire.DataFrame) bool { return f.StreamId == 5 && string(f.Data) == "\xa5early" })
	await(p, "end", func(f *wire.DataFrame) bool { return f.StreamId == 3 && f.Flags == wire.DataFlagFin })
}

// TestCaps holds that a peer cannot have more open, or unclaimed, than the limits say, and that
// what was refused leaves nothing behind.
func TestCaps(t *testing.T) {
	tr, p := newPeer(t, false, WithLimits(Limits{Unclaimed: 3, Streams: 4}))
	go p.send(top(1), nested(3, 1), nested(5, 1), nested(7, 1))
	await(p, "refusal", resets(7, wire.RefusedStream))
	r, err := tr.WaitReceiveChannel() // one is claimed
	if err != nil {
		t.Fatal(err)
	}
	go p.send(nested(9, 1), data(1, 0xc7, 5, 1, 1, 0, 0, 0, 3))
	var end libchan.Receiver
	receive(t, r, &end) // and another
	await(p, "answer", func(f *wire.SynReplyFrame) bool { return f.StreamId == 9 })
	go p.send(nested(11, 1)) // which would be the fifth that is open
	await(p, "refusal", resets(11, wire.RefusedStream))
	go p.send(fin(1)) // nobody can name 5 and 9 any more
	within(t, func() {
		if err := r.Receive(&end); err != io.EOF {
			t.Errorf("L11: Receive after the end: %v", err)
		}
	})
	await(p, "release", resets(5, wire.Cancel))
	await(p, "release", resets(9, wire.Cancel))
	go p.send(nested(13, 3))
	await(p, "answer", func(f *wire.SynReplyFrame) bool { return f.StreamId == 13 })
}

// TestFloods holds that a peer which asks and does not read is cut off.
func TestFloods(t *testing.T) {
	a, b := memconn.Pipe(1 << 16)
	tr, err := NewServer(a)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	defer b.Close()
	f, err := newFrames(b, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	within(t, func() {
		for err == nil {
			err = f.write([]wire.Frame{&wire.PingFrame{Id: 1}})
		}
	})
	within(t, func() { <-tr.Done() })
	if err := tr.Cause(); !errors.Is(err, errNotRead) {
		t.Errorf("L11: the session ended with %v", err)
	}
}

// TestFloodOfData holds that not more than the buffer's bytes are read that nobody receives,
// and that all goes on once somebody does.
func TestFloodOfData(t *testing.T) {
	const buffer = 100 << 10
	tr, p := newPeer(t, false, WithLimits(Limits{Buffer: buffer}))
	message := text(10 << 10)
	sent := make(chan int, 100)
	go func() {
		p.send(top(1))
		for i := range 100 {
			p.send(data(1, message[:100]...), data(1, message[100:]...))
			sent <- i
		}
		p.send(fin(1))
	}()
	r, err := tr.WaitReceiveChannel()
	if err != nil {
		t.Fatal(err)
	}
	tr.mu.Lock()
	for tr.buffered <= buffer {
		_ = tr.waitLocked(nil, &tr.streams[1].changed)
	}
	most := tr.buffered
	tr.mu.Unlock()
	if most > buffer+len(message) {
		t.Errorf("L11: %d bytes have arrived that nobody has received", most)
	}
	if n := len(sent); n > buffer/len(message)+3 {
		t.Errorf("L11: the peer could send %d messages", n)
	}
	for range 100 {
		var s string
		receive(t, r, &s)
	}
	var s string
	within(t, func() {
		if err := r.Receive(&s); err != io.EOF {
			t.Errorf("L11: after the last message: %v", err)
		}
	})
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.buffered != 0 || tr.partial != 0 {
		t.Errorf("L11: %d and %d bytes count as not received in the end", tr.buffered, tr.partial)
	}
}
