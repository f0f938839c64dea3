// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package duplex

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/ttrpc/internal/leak"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// pair returns two conns, each the other's transport.
func pair() (a, b *Conn) {
	end := End{Network: "test", Local: Addr{"test", "x"}, Remote: Addr{"test", "x"}}
	a, b = New(end, func() {}), New(end, func() {})
	pump := func(from, to *Conn) {
		out := from.Outgoing()
		to.Feed(out)
		out.Close() // which is what a transport does when the far end has gone
		to.Finish()
	}
	go pump(a, b)
	go pump(b, a)
	return a, b
}

// memory is a transport without anything below it.
var memory = transporttest.Transport{Listen: func(testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
	l := listener{new(Queue)}
	return l, func(context.Context) (net.Conn, error) {
		a, b := pair()
		return a, l.Put(b, 100)
	}
}}

type listener struct{ *Queue }

func (listener) Addr() net.Addr { return nil }

func TestConns(t *testing.T) { transporttest.Conns(t, memory) }

func TestCalls(t *testing.T) { transporttest.Calls(t, memory) }

// TestDeadlines holds deadlines to the moment.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(End{}, func() {})
		start := time.Now()
		c.SetDeadline(start.Add(time.Minute))
		later := time.AfterFunc(30*time.Second, func() { c.SetReadDeadline(start.Add(2 * time.Minute)) })
		defer later.Stop()
		if _, err := c.Write(make([]byte, 4*chunkSize)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("B96: Write ends after %v: %v", time.Since(start), err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 2*time.Minute {
			t.Errorf("B96: Read ends after %v: %v", time.Since(start), err)
		}
		c.Close()
	})
}

// TestEmptyPipesHoldNothing looks at what an idle conn keeps.
func TestEmptyPipesHoldNothing(t *testing.T) {
	p := newPipe()
	p.write([]byte("hello"))
	p.read(make([]byte, 5))
	if p.front != nil || p.back != nil {
		t.Error("B96: an empty pipe holds a chunk")
	}
	p.write(make([]byte, 3))
	p.refuse(io.ErrClosedPipe)
	if p.front != nil || p.back != nil {
		t.Error("B97: a pipe that nobody reads holds a chunk")
	}
}

// TestQueue goes through what may happen to conns that wait.
func TestQueue(t *testing.T) {
	q := new(Queue)
	conns := []*Conn{New(End{}, func() {}), New(End{}, func() {}), New(End{}, func() {})}
	for i, want := range []error{nil, nil, ErrFull} {
		if err := q.Put(conns[i], 2); err != want {
			t.Errorf("B98: Put number %d: %v, want %v", i, err, want)
		}
	}
	q.Drop(conns[0])
	if err := q.Put(conns[2], 2); err != nil {
		t.Errorf("B98: Put where another has gone: %v", err)
	}
	if c, err := q.Accept(); c != conns[1] || err != nil {
		t.Errorf("B98: accepted %v, %v", c, err)
	}
	q.Close()
	if _, err := conns[2].Read(nil); err != net.ErrClosed {
		t.Errorf("B98: a conn that waited is not closed: %v", err)
	}
	if _, err := conns[1].Read(nil); err == net.ErrClosed {
		t.Error("B98: a conn that was accepted is closed")
	}
	if _, err := q.Accept(); err != net.ErrClosed || q.Put(conns[0], 2) != net.ErrClosed || !q.Closed() || len(q.waiting) != 0 {
		t.Errorf("B98: after Close: %v", err)
	}
	for _, c := range conns {
		c.Close()
	}
}

// FuzzPipe has bytes, deadlines and ends in any order, beside a plain buffer.
func FuzzPipe(f *testing.F) {
	f.Add([]byte("w9r5w2r9"))
	f.Add([]byte("wzwzwzrzrzrzdedx"))
	f.Add([]byte("w5tew1r9"))
	f.Fuzz(func(t *testing.T, program []byte) {
		p := newPipe()
		var model bytes.Buffer
		past := time.Unix(1, 0)
		p.setDeadline(&p.reads, past)
		p.setDeadline(&p.writes, past)
		data := bytes.Repeat([]byte("0123456789"), 1000)
		ended := false
		for i := 0; i+1 < len(program); i += 2 {
			size := min(int(program[i+1])*37, len(data))
			// Deadlines have passed but for the moment in which the operation cannot wait.
			switch program[i] % 4 {
			case 0, 1:
				if model.Len() > chunkSize-size {
					continue
				}
				p.setDeadline(&p.writes, time.Time{})
				n, err := p.write(data[:size])
				p.setDeadline(&p.writes, past)
				if (err == nil) == ended || (err == nil && n != size) {
					t.Fatalf("B96: write of %d: %d, %v", size, n, err)
				}
				model.Write(data[:n])
			case 2:
				if n, err := p.read(make([]byte, size)); n != 0 || err != os.ErrDeadlineExceeded {
					t.Fatalf("B96: read after its deadline: %d, %v", n, err)
				}
				if model.Len() == 0 && !ended {
					continue
				}
				p.setDeadline(&p.reads, time.Time{})
				got := make([]byte, size+1)
				n, err := p.read(got)
				p.setDeadline(&p.reads, past)
				want := model.Next(n)
				if !bytes.Equal(got[:n], want) || (n == 0) != (err != nil) {
					t.Fatalf("B96: read %q, %v, want %q", got[:n], err, want)
				}
			case 3:
				if program[i+1]%8 == 0 {
					p.end(io.EOF)
					ended = true
				}
			}
		}
	})
}
