// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && linux

package libchan

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/containerd/ttrpc/internal/testkit"
)

// idlePeer is set where the test binary is the other end of BenchmarkIdle.
const idlePeer = "LIBCHAN_IDLE_PEER"

// used returns how much memory is in use.
func used() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// BenchmarkIdle tells what an open, idle channel that has carried a message costs in memory, at
// the end that sends and at the one that receives, which is another process.
func BenchmarkIdle(b *testing.B) {
	x, y := testkit.SocketPair(b)
	theirs, err := y.(*net.UnixConn).File()
	if err != nil {
		b.Fatal(err)
	}
	peer := exec.Command(os.Args[0], "-test.run=^TestIdlePeer$")
	peer.Env = append(os.Environ(), idlePeer+"=1")
	peer.ExtraFiles = []*os.File{theirs}
	if err := errors.Join(peer.Start(), theirs.Close(), y.Close()); err != nil {
		b.Fatal(err)
	}
	near, err := NewClient(x)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := errors.Join(near.Close(), peer.Wait()); err != nil {
			b.Error(err)
		}
	}()
	out, err := near.OpenChannel(ctx, "")
	if err != nil {
		b.Fatal(err)
	}
	const n = 2500
	for b.Loop() {
		at, err := Call[int, int64](ctx, out, n)
		before, far := used(), -at
		var senders []Sender
		for i := range n {
			r, s := pipe(-1)
			err = errors.Join(err, out.Send(withEnd{R: r}), s.Send(i))
			senders = append(senders, s)
		}
		at, err2 := Call[int, int64](ctx, out, 0)
		if err = errors.Join(err, err2); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(used()-before)/n, "B/sender")
		b.ReportMetric(float64(far+at)/n, "B/receiver")
		for _, s := range senders {
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// TestIdlePeer is the other end.
func TestIdlePeer(t *testing.T) {
	if os.Getenv(idlePeer) == "" {
		t.Skip("it is the other end of BenchmarkIdle")
	}
	conn, err := net.FileConn(os.NewFile(3, "peer"))
	must(t, err)
	far, err := NewServer(conn)
	must(t, err)
	_, in, err := far.Accept(ctx)
	must(t, err)
	for err == nil {
		err = beIdle(in)
	}
	if err != io.EOF && !errors.Is(err, ErrSessionEnded) { // so the benchmark is over
		t.Error(err)
	}
}

// beIdle receives as many channels as it is asked for, tells what is in use before and then,
// and waits for their ends.
func beIdle(in Receiver) error {
	var ask Request[int, int64]
	if err := in.Receive(&ask); err != nil {
		return err
	}
	err := ask.Ret.Send(ctx, used())
	receivers := make([]withEnd, ask.Data)
	for i := range receivers {
		err = errors.Join(err, in.Receive(&receivers[i]), receivers[i].R.Receive(new(int)))
	}
	var end Request[int, int64]
	err = errors.Join(err, in.Receive(&end), end.Ret.Send(ctx, used()))
	for _, r := range receivers {
		if end := r.R.Receive(new(int)); end != io.EOF {
			err = errors.Join(err, end)
		}
	}
	return err
}

// BenchmarkIsolation measures a message of 64 bytes and a call, alone and beside 10,000
// channels that nobody reads, in whose Send somebody waits, over a unix socket. There is room for streams that are read to grow: without, one has
// what it begins with, 8 KiB, and small messages take three times as long.
func BenchmarkIsolation(b *testing.B) {
	for _, n := range []int{0, manyChannels} {
		x, y := unixPair(b)
		iso := newIsolated(b, x, y, roomFor(1<<30))
		iso.leaveUnread(b, n)
		beside := "alone"
		if n > 0 {
			beside = fmt.Sprintf("beside %d unread", n)
		}
		for _, of := range []struct {
			name string
			run  func(n int) error
		}{{"channel", iso.messages}, {"call", iso.calls}} {
			b.Run(of.name+"/"+beside, func(b *testing.B) {
				if err := of.run(b.N); err != nil {
					b.Fatal(err)
				}
			})
		}
		runtime.KeepAlive(iso.kept)
	}
}
