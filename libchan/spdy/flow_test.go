// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	wire "github.com/moby/spdystream/spdy"

	"github.com/containerd/ttrpc/libchan"
)

// TestLargeMessage sends far more than a window, and then a small message.
func TestLargeMessage(t *testing.T) {
	for d, size := range map[Dialect]int{Released: 10 << 20, Main: 1 << 20} {
		client, server := pair(t, WithDialect(d))
		s, r := channel(t, server, client)
		large := strings.Repeat("0123456789abcdef", size/16)
		go func() {
			s.Send(answer{large})
			s.Send(answer{"small"})
		}()
		var got answer
		if receive(t, r, &got); got.Text != large {
			t.Fatalf("L11: received %d bytes, not those that were sent", len(got.Text))
		}
		if receive(t, r, &got); got.Text != "small" {
			t.Fatalf("L11: received %d bytes after the large message", len(got.Text))
		}
	}
}

// TestTooLong holds that a message which no frame holds is an error for its sender.
func TestTooLong(t *testing.T) {
	client, server := pair(t)
	s, r := channel(t, client, server)
	_ = s.Send(make([]byte, wire.MaxDataLength))
	within(t, func() { <-s.Done() })
	if err := s.Send(1); !errors.Is(err, errTooLong) {
		t.Errorf("L11: Send after a message that is too long: %v", err)
	}
	within(t, func() {
		var reset *ResetError
		if err := r.Receive(new(any)); !errors.As(err, &reset) || wire.RstStreamStatus(reset.Status) != wire.FrameTooLarge {
			t.Errorf("L11: Receive: %v", err)
		}
	})
}

// TestWindowUpdates holds that a peer which keeps to its window of 64 KiB, as jschan does, can
// send as much as it wants: the old libchan stopped it for good.
func TestWindowUpdates(t *testing.T) {
	tr, p := newPeer(t, false)
	go p.send(top(1))
	r, err := tr.WaitReceiveChannel()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		var s string
		if err := r.Receive(&s); err != nil {
			s = err.Error()
		}
		got <- s
	}()
	message, sent := text(1<<20), 0
	for sent < len(message) {
		room := firstWindow
		await(p, "more room", func(f *wire.WindowUpdateFrame) bool {
			if room += int(f.DeltaWindowSize); room > sent && room > firstWindow {
				return true
			}
			return false
		})
		n := min(room-sent, len(message)-sent)
		p.send(data(1, message[sent:sent+n]...))
		sent += n
	}
	within(t, func() {
		if s := <-got; len(s) != 1<<20 {
			t.Errorf("L11: received %.50q of %d bytes", s, len(s))
		}
	})
}

// TestPeersWindow holds that windows of the peer's count from its first update on.
func TestPeersWindow(t *testing.T) {
	tr, p := newPeer(t, true)
	s, err := tr.NewSendChannel()
	if err != nil {
		t.Fatal(err)
	}
	sent := func(n int) func(f *wire.DataFrame) bool {
		return func(f *wire.DataFrame) bool { return len(f.Data) == n }
	}
	send(t, s, make([]byte, 100<<10)) // more than its window, as it has not spoken of that
	await(p, "message, whole", sent(100<<10+5))
	p.send(&wire.WindowUpdateFrame{StreamId: 1, DeltaWindowSize: 100<<10 + 5 - firstWindow + 10<<10})
	send(t, s, "small")
	await(p, "small message", sent(6))
	send(t, s, make([]byte, 20<<10)) // the room is 10 KiB less 6 bytes
	p.send(&wire.PingFrame{Id: 2})
	await(p, "answer", func(*wire.PingFrame) bool { return true })
	p.mu.Lock()
	n := 0
	for _, frame := range p.got {
		if f, ok := frame.(*wire.DataFrame); ok {
			n += len(f.Data)
		}
	}
	p.mu.Unlock()
	if n != 100<<10+5+6 {
		t.Errorf("L11: %d bytes were sent, and there was room for %d", n, 110<<10+5)
	}
	p.send(&wire.WindowUpdateFrame{StreamId: 1, DeltaWindowSize: 1 << 20})
	await(p, "message, whole", sent(20<<10+3))
}

// TestUnreadChannel holds that between sessions of this package a channel which nobody reads
// stops its own sender and no other channel.
func TestUnreadChannel(t *testing.T) {
	client, server := pair(t)
	unread, r := channel(t, client, server)
	other, theirs := channel(t, client, server)
	stopped := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(stopped)
		for unread.SendContext(ctx, make([]byte, 10<<10)) == nil {
		}
	}()
	for i := range 1000 {
		go other.Send(i)
		var got any
		receive(t, theirs, &got)
	}
	cancel()
	within(t, func() { <-stopped })
	r.Cancel(errors.New("enough"))
	within(t, func() { <-unread.Done() })
	if err := unread.Send(1); !errors.Is(err, libchan.ErrClosed) {
		t.Errorf("L11: Send after the receiver's Cancel: %v", err)
	}
}

// TestEnds holds that the end of a session ends all that waits, with the cause, at both sides.
func TestEnds(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	client, server := sides(t, a, b)
	s, r := channel(t, client, server)
	mine, theirs := channel(t, server, client)
	errs := make(chan error, 10)
	go func() { errs <- r.Receive(new(any)) }()
	go func() { errs <- theirs.Receive(new(any)) }()
	go func() { _, err := server.WaitReceiveChannel(); errs <- err }()
	go func() { _, err := client.WaitReceiveChannel(); errs <- err }()
	client.Close()
	within(t, func() {
		for range 4 {
			if err := <-errs; !errors.Is(err, libchan.ErrSessionEnded) || errors.Is(err, io.EOF) {
				t.Errorf("L6: at the end of the session: %v", err)
			}
		}
		<-server.Done()
		<-s.Done()
		<-mine.Done()
	})
	if err := client.Cause(); err != libchan.ErrClosed {
		t.Errorf("L11: the side that has closed says %v", err)
	}
	if err := server.Cause(); err != io.EOF {
		t.Errorf("L11: the other side says %v", err)
	}
	for _, s := range []libchan.Sender{s, mine} {
		if err := s.Send(1); !errors.Is(err, libchan.ErrSessionEnded) {
			t.Errorf("L11: Send after the end: %v", err)
		}
	}
	for _, tr := range []*Transport{client, server} {
		if _, err := tr.NewSendChannel(); !errors.Is(err, libchan.ErrSessionEnded) {
			t.Errorf("L11: NewSendChannel after the end: %v", err)
		}
	}
}

// TestShutdown holds that channels go on until their ends, that there are no more, and that
// what was sent has arrived.
func TestShutdown(t *testing.T) {
	client, server := pair(t)
	s, r := channel(t, client, server)
	late, cancel := context.WithCancel(context.Background())
	cancel()
	if err := client.Shutdown(late); !errors.Is(err, context.Canceled) {
		t.Errorf("L11: Shutdown with a channel open: %v", err)
	}
	if _, err := client.NewSendChannel(); !errors.Is(err, libchan.ErrDraining) {
		t.Errorf("L11: NewSendChannel after Shutdown: %v", err)
	}
	down := make(chan error, 1)
	go func() { down <- client.Shutdown(context.Background()) }()
	refused, err := server.NewSendChannel()
	if err != nil {
		t.Fatal(err)
	}
	within(t, func() { <-refused.(libchan.ContextSender).Done() })
	for i := range 100 {
		go s.Send(i)
		receive(t, r, new(any))
	}
	s.Close()
	within(t, func() {
		if err := r.Receive(new(any)); err != io.EOF {
			t.Errorf("L11: Receive: %v", err)
		}
	})
	within(t, func() {
		if err := <-down; err != nil {
			t.Errorf("L11: Shutdown: %v", err)
		}
		<-server.Done()
	})
}

// TestRefusal holds that an answer which refuses a channel is the error of its sender.
func TestRefusal(t *testing.T) {
	tr, p := newPeer(t, true)
	s, err := tr.NewSendChannel()
	if err != nil {
		t.Fatal(err)
	}
	p.send(Released.reply(1, false))
	within(t, func() { <-s.(libchan.ContextSender).Done() })
	if err := s.Send(1); err == nil || !strings.Contains(err.Error(), "status 400") {
		t.Errorf("L11: Send: %v", err)
	}
	p.send(&wire.GoAwayFrame{})
	within(t, func() {
		for err = nil; err == nil; {
			_, err = tr.NewSendChannel()
		}
	})
	if !errors.Is(err, libchan.ErrDraining) {
		t.Errorf("L11: NewSendChannel after the peer's goodbye: %v", err)
	}
}

// TestErrorsOfEnds holds what either end learns of the other's error: old peers know but one.
func TestErrorsOfEnds(t *testing.T) {
	client, server := pair(t)
	s, r := channel(t, client, server)
	send(t, s, "first")
	s.CloseWithError(errors.New("broken"))
	var got string
	receive(t, r, &got)
	within(t, func() {
		var reset *ResetError
		if err := r.Receive(&got); !errors.As(err, &reset) || wire.RstStreamStatus(reset.Status) != wire.InternalError {
			t.Errorf("L11: Receive after CloseWithError: %v", err)
		}
	})
	if got != "first" {
		t.Errorf("L11: received %q", got)
	}
}

// TestWrongType holds that a message of the wrong type is an error once, and what it carries
// is released.
func TestWrongType(t *testing.T) {
	client, server := pair(t)
	s, r := channel(t, client, server)
	in, out := libchan.Pipe()
	go s.Send(map[string]any{"Text": 7, "In": in})
	within(t, func() {
		if err := r.Receive(&request{}); err == nil || !strings.Contains(err.Error(), "Text") {
			t.Errorf("L11: Receive of a number as a string: %v", err)
		}
	})
	within(t, func() { <-out.(libchan.ContextSender).Done() })
	go s.Send(answer{"next"})
	var got answer
	if receive(t, r, &got); got.Text != "next" {
		t.Errorf("L11: received %+v", got)
	}
}
