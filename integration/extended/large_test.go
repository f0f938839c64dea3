// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/wire"
)

// TestLargeRequest queues a large request, and behind it small ones, for a process that
// stands still. When it goes on, the small ones must be answered while the large one is
// still leaving.
func TestLargeRequest(t *testing.T) {
	const smalls = 100
	for _, size := range slices.Compact([]int{64 << 20, largest}) {
		t.Run(fmt.Sprintf("%d MiB", size>>20), func(t *testing.T) {
			inBothRoles(t, "large", "large", func(t *testing.T, p *peer) {
				p.stop(t)
				large, got := &blob{size: size}, new(wrapperspb.StringValue)
				s := p.mustStream(t, context.Background(), serverStream, "Gulp", large)
				var behind [smalls]ttrpc.ClientStream
				for i := range behind {
					behind[i] = p.mustStream(t, context.Background(), serverStream, "Gulped", nil)
				}
				p.resume(t)
				for _, small := range behind {
					if err := small.RecvMsg(got); err != nil || got.Value != "0" {
						t.Fatalf("B49: a small call behind a large one runs when %q large ones have arrived, %v", got.Value, err)
					}
				}
				if p.Snapshot().QueuedBytes == 0 {
					t.Error("B49: the small calls have waited until a large one had left")
				}
				if err := s.RecvMsg(got); err != nil || got.Value != large.String() {
					t.Errorf("B49: %s have arrived, and were sent: %s; %v", got.Value, large, err)
				}
			})
		})
	}
}

// TestLargeAnswer makes small calls while a large answer is under way.
func TestLargeAnswer(t *testing.T) {
	for _, size := range slices.Compact([]int{64 << 20, largest}) {
		t.Run(fmt.Sprintf("%d MiB", size>>20), func(t *testing.T) {
			inBothRoles(t, "large", "large", func(t *testing.T, p *peer) {
				done := make(chan error, 1)
				got := new(blob)
				go func() {
					done <- p.Call(context.Background(), serviceName, "Blob", wrapperspb.Int64(int64(size)), got)
				}()
				small := 0
				for len(done) == 0 {
					if p.mustAsk(t, "B49", "Sent", "") != "0" {
						small++
					}
				}
				if err := <-done; err != nil || *got != *encoded(size) {
					t.Errorf("B49: %s have arrived, and were sent: %s; %v", got, encoded(size), err)
				}
				if t.Logf("%d small calls", small); small == 0 {
					t.Error("B49: no small call was answered while a large answer was under way")
				}
			})
		})
	}
}

// encoded returns a blob whose sum is known.
func encoded(size int) *blob {
	b := &blob{size: size}
	b.MarshalTo(make([]byte, size))
	return b
}

// A rawPeer speaks to a process without the library.
type rawPeer struct{ net.Conn }

// promise is the header of a frame, whose data comes later, or not.
func promise(length, id uint32, t wire.Type) []byte {
	return wire.AppendHeader(nil, wire.Header{Length: length, StreamID: id, Type: t})
}

func (r rawPeer) write(t *testing.T, b []byte) {
	t.Helper()
	if _, err := r.Write(b); err != nil {
		t.Fatal(err)
	}
}

// read returns the next frame.
func (r rawPeer) read(t *testing.T) (h wire.Header, data []byte) {
	t.Helper()
	b := make([]byte, wire.HeaderLength)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	h, err := wire.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	data = make([]byte, h.Length)
	if _, err := io.ReadFull(r, data); err != nil {
		t.Fatal(err)
	}
	return h, data
}

// dialRaw agrees on the extended mode, with a limit of 1 GiB.
func dialRaw(t *testing.T, address string) rawPeer {
	t.Helper()
	r := rawPeer{dial(t, address)}
	t.Cleanup(func() { r.Close() })
	hello := wire.Hello{Version: 1, MaxMessage: 1 << 30, Window: 256 << 10, ConnectionWindow: 32 << 20}
	r.write(t, wire.AppendFrame(nil, 1, wire.TypeRequest, 0, wire.HelloRequest(hello.Append(nil))))
	h, data := r.read(t)
	answer, err := wire.ParseResponse(data)
	if _, bad := wire.ParseHello(answer.Payload); h.Type != wire.TypeResponse || err != nil || bad != nil {
		t.Fatalf("B46: the answer to Hello is %+v %q", h, data)
	}
	return r
}

// awaitRead waits until the other process has read all that it was sent.
func (r rawPeer) awaitRead(t *testing.T) {
	t.Helper()
	raw, err := r.Conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the other process to read", func() bool {
		n := -1
		err := raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		return err == nil && n == 0
	})
}

// TestPromisesCostLittle sends headers that promise 3 GB, and a little of it.
func TestPromisesCostLittle(t *testing.T) {
	const conns, promised = 200, 16<<20 - 1
	p, address := startServer(t, "large")
	peers := make([]rawPeer, conns)
	for i := range peers {
		peers[i] = dialRaw(t, address)
	}
	held, size := watchMemory(t, p.pid()), memory(t, p.pid(), "VmSize")
	for i, r := range peers {
		kind := []wire.Type{wire.TypeRequest, wire.TypePart}[i%2]
		r.write(t, append(promise(promised, 3, kind), "some of it"...))
	}
	for _, r := range peers {
		r.awaitRead(t)
	}
	held.mustStayBelow(t, "B49", 64<<20)
	if grown := memory(t, p.pid(), "VmSize") - size; grown > 512<<20 { // memory that was never touched
		t.Errorf("B49: the other process has reserved %d MiB more", grown>>20)
	}
}

// TestPartsCostWhatTheyAre begins 30,000 messages on one connection and ends none.
func TestPartsCostWhatTheyAre(t *testing.T) {
	const messages, size = 30_000, 16 // of which each takes 256 bytes more, of 8 MiB
	p, address := startServer(t, "large")
	r := dialRaw(t, address)
	memory := watchMemory(t, p.pid())
	var all []byte
	for i := range messages {
		all = append(append(all, promise(size, uint32(2*i+3), wire.TypePart)...), noise[:size]...)
	}
	r.write(t, wire.AppendFrame(all, 0, wire.TypePing, 0, noise[:wire.PingLength]))
	if h, data := r.read(t); h.Type != wire.TypePing || h.Flags != wire.FlagAnswer || string(data) != string(noise[:wire.PingLength]) {
		t.Fatalf("B56: %+v %q comes back, and not the ping", h, data)
	}
	memory.mustStayBelow(t, "B49", 128<<20)
}
