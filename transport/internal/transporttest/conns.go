// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package transporttest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/testkit"
)

// Conns holds what a conn of any transport must do, at either end.
func Conns(t *testing.T, tr Transport) {
	type conformance struct {
		name string
		test func(t *testing.T, a, b net.Conn)
	}
	tests := []conformance{
		{"addresses", func(t *testing.T, a, b net.Conn) { testAddresses(t, a, b, tr.OtherAddresses) }},
		{"ping-pong", testPingPong},
		{"close delivers", testCloseDelivers},
		{"close ends what waits", testCloseEndsWaiting},
		{"peer's close ends writes", testPeerCloses},
		{"read deadline", testReadDeadline},
		{"write deadline", testWriteDeadline},
		{"writes are whole", testWholeWrites},
	}
	if tr.HalfClose {
		tests = append(tests, conformance{"half-close", testHalfClose})
	}
	for _, tt := range tests {
		t.Run(tt.name+"/client", func(t *testing.T) {
			client, server := tr.Pair(t)
			testkit.Within(t, "B96", func() { tt.test(t, client, server) })
		})
		t.Run(tt.name+"/server", func(t *testing.T) {
			client, server := tr.Pair(t)
			testkit.Within(t, "B96", func() { tt.test(t, server, client) })
		})
	}
	if !tr.HalfClose {
		t.Run("no half-close", func(t *testing.T) {
			client, server := tr.Pair(t)
			for _, c := range []net.Conn{client, server} {
				if _, ok := c.(interface{ CloseWrite() error }); ok {
					t.Errorf("B97: a %T has CloseWrite", c)
				}
			}
		})
	}
}

func testAddresses(t *testing.T, a, b net.Conn, others bool) {
	if stream, ok := a.(ttrpc.ByteStreamConn); !ok || !stream.IsByteStream() {
		t.Errorf("B57: a %T is no byte stream", a)
	}
	for _, pair := range [][2]net.Addr{{a.LocalAddr(), b.RemoteAddr()}, {a.RemoteAddr(), b.LocalAddr()}} {
		if pair[0] == nil || pair[1] == nil || (pair[0].String() == pair[1].String()) == others || pair[0].Network() != pair[1].Network() {
			t.Errorf("B96: the ends have the addresses %v and %v for one", pair[0], pair[1])
		}
	}
}

func testPingPong(t *testing.T, a, b net.Conn) {
	for i := range 200 {
		for _, ends := range [][2]net.Conn{{a, b}, {b, a}} {
			want := bytes.Repeat([]byte{byte(i)}, 1+i*7)
			if n, err := ends[0].Write(want); n != len(want) || err != nil {
				t.Fatalf("B96: Write: %d, %v", n, err)
			}
			got := make([]byte, len(want))
			if _, err := io.ReadFull(ends[1], got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("B96: round %d: %v", i, err)
			}
		}
	}
}

// testCloseDelivers has one end close right after writing more than fits anywhere.
func testCloseDelivers(t *testing.T, a, b net.Conn) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	wrote := testkit.WaitFor(func() {
		if n, err := a.Write(want); n != len(want) || err != nil {
			t.Errorf("B96: Write: %d, %v", n, err)
		}
		a.Close()
	})
	got, err := io.ReadAll(b)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("B97: %d of %d bytes arrived, %v", len(got), len(want), err)
	}
	<-wrote
	if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("B97: Read again: %d, %v, want EOF", n, err)
	}
}

func testCloseEndsWaiting(t *testing.T, a, b net.Conn) {
	errs := make(chan error, 2)
	go func() {
		_, err := a.Read(make([]byte, 1))
		errs <- err
	}()
	go func() {
		_, err := a.Write(make([]byte, 16<<20)) // nobody reads it
		errs <- err
	}()
	// Neither tells that it waits; however it comes, both end.
	time.Sleep(10 * time.Millisecond)
	for range 2 {
		if err := a.Close(); err != nil {
			t.Errorf("B97: Close: %v", err)
		}
	}
	for range 2 {
		if err := <-errs; !errors.Is(err, net.ErrClosed) {
			t.Errorf("B97: %v, want %v", err, net.ErrClosed)
		}
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("B97: Write after Close: %v, want %v", err, net.ErrClosed)
	}
}

func testPeerCloses(t *testing.T, a, b net.Conn) {
	a.Close()
	var err error
	for err == nil {
		_, err = b.Write(make([]byte, 1000))
	}
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "write" {
		t.Errorf("B97: Write to who has gone: %v, want a *net.OpError", err)
	}
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("B97: Read from who has closed: %v, want EOF", err)
	}
}

func testReadDeadline(t *testing.T, a, b net.Conn) {
	for range 3 {
		a.SetReadDeadline(time.Now().Add(time.Millisecond))
		if n, err := a.Read(make([]byte, 9)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("B96: Read after its deadline: %d, %v", n, err)
		}
	}
	b.Write([]byte("late"))
	a.SetReadDeadline(time.Unix(1, 0))
	if n, err := a.Read(make([]byte, 9)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("B96: Read after its deadline: %d, %v", n, err)
	}
	waits := make(chan error, 1)
	a.SetReadDeadline(time.Time{})
	got := make([]byte, 4)
	if _, err := io.ReadFull(a, got); err != nil || string(got) != "late" {
		t.Errorf("B96: after that: %q, %v", got, err)
	}
	go func() {
		_, err := a.Read(got)
		waits <- err
	}()
	a.SetReadDeadline(time.Now()) // set while it waits, or just before
	if err := <-waits; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("B96: Read whose deadline was set meanwhile: %v", err)
	}
}

func testWriteDeadline(t *testing.T, a, b net.Conn) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	a.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	pieces, n := 0, 0
	var err error
	for ; err == nil && pieces < 64; pieces++ { // proxies may hold much
		n, err = a.Write(want)
	}
	if n == len(want) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("B96: Write that nobody reads: %d, %v", n, err)
	}
	a.SetWriteDeadline(time.Time{})
	rest := testkit.WaitFor(func() {
		if k, err := a.Write(want[n:]); k != len(want)-n || err != nil {
			t.Errorf("B96: Write of the rest: %d, %v", k, err)
		}
	})
	got := make([]byte, len(want))
	for range pieces {
		if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("B96: what was written around a deadline is not what arrived: %v", err)
		}
	}
	<-rest
}

func testWholeWrites(t *testing.T, a, b net.Conn) {
	const writers, size = 4, 300_000
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			if _, err := a.Write(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
				t.Errorf("B96: %v", err)
			}
		})
	}
	got := make([]byte, size)
	for range writers {
		if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, bytes.Repeat(got[:1], size)) {
			t.Errorf("B96: one Write is torn apart: %v", err)
		}
	}
	all.Wait()
}

func testHalfClose(t *testing.T, a, b net.Conn) {
	a.Write([]byte("question"))
	if err := a.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("B97: Write after CloseWrite: %v", err)
	}
	if got, err := io.ReadAll(b); string(got) != "question" || err != nil {
		t.Errorf("B97: the other end reads %q, %v", got, err)
	}
	b.Write([]byte("answer"))
	b.Close()
	if got, err := io.ReadAll(a); string(got) != "answer" || err != nil {
		t.Errorf("B97: the end that has closed reads %q, %v", got, err)
	}
}
