// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// A blob is a message of any size that takes no memory itself: it makes its encoding,
// and of one that it decodes it remembers the sum.
type blob struct {
	size int
	sum  uint32 // of the encoding, once there was one
}

// noise has a length that is prime, so that pieces in the wrong order are noticed.
var noise = func() []byte {
	b, x := make([]byte, 65521), uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}()

func (b *blob) Reset()         { *b = blob{} }
func (b *blob) String() string { return fmt.Sprintf("%d bytes, %#x", b.size, b.sum) }
func (b *blob) ProtoMessage()  {}
func (b *blob) Size() int      { return b.size }

func (b *blob) MarshalTo(p []byte) (int, error) {
	for n := 0; n < b.size; {
		n += copy(p[n:b.size], noise)
	}
	b.sum = sumOf(p[:b.size])
	return b.size, nil
}

func (b *blob) Unmarshal(p []byte) error {
	*b = blob{len(p), sumOf(p)}
	return nil
}

// sumOf takes little at a time: to stop the goroutines of a process, its garbage
// collector waits for what it cannot interrupt.
func sumOf(p []byte) (sum uint32) {
	for piece := range slices.Chunk(p, len(noise)) {
		sum = crc32.Update(sum, crc32.IEEETable, piece)
	}
	return sum
}

// digest tells what has arrived.
func (s *station) digest(_ context.Context, unmarshal func(any) error) (any, error) {
	b := new(blob)
	if err := unmarshal(b); err != nil {
		return nil, err
	}
	s.sent.Add(1)
	return wrapperspb.String(b.String()), nil
}

// gulp is digest for a stream whose client sends one message.
func (s *station) gulp(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	s.sent.Add(1) // before it is decoded, which takes time
	b := new(blob)
	if err := stream.RecvMsg(b); err != nil {
		return nil, err
	}
	return nil, stream.SendMsg(wrapperspb.String(b.String()))
}

// gulped tells how many blobs have arrived, or are to be sent.
func (s *station) gulped(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	return nil, stream.SendMsg(wrapperspb.String(fmt.Sprint(s.sent.Load())))
}

// blob answers with as much as it is asked for.
func (s *station) blob(_ context.Context, unmarshal func(any) error) (any, error) {
	size := new(wrapperspb.Int64Value)
	if err := unmarshal(size); err != nil {
		return nil, err
	}
	s.sent.Add(1)
	return &blob{size: int(size.Value)}, nil
}

// A tally counts and sums up the messages of a stream.
type tally struct {
	count int
	sum   uint32
}

func (y *tally) add(b *blob) {
	y.count++
	y.sum = y.sum*31 + b.sum
}

func (y *tally) String() string { return fmt.Sprintf("%d messages, %#x", y.count, y.sum) }

// Streams of blobs have one size after the other, beginning with the same.
const (
	flowMessages = 4096
	flowSize     = 16 << 10
	flowFirst    = 1 << 10 // of the first messages, until one is stuck

	// flowWindow is how many of them may be sent to who consumes nothing, while the
	// connection has room for all: a stream's window grows up to stuckWindow, of which each
	// takes 256 bytes more than its size.
	flowWindow  = stuckWindow / (flowFirst + 256)
	stuckWindow = 64 << 10
)

// flowBlob is the message number i of a stream.
func flowBlob(i int) *blob {
	if i <= flowWindow {
		return &blob{size: flowFirst}
	}
	return &blob{size: flowSize + i%1000}
}

// flow sends all messages of a stream, and calls sent after each.
func flow(send func(any) error, sent func()) (y tally, err error) {
	for i := range flowMessages {
		b := flowBlob(i)
		if err := send(b); err != nil {
			return y, fmt.Errorf("message %d: %w", i, err)
		}
		y.add(b)
		sent()
	}
	return y, nil
}

// drainFlow receives all messages of a stream.
func drainFlow(receive func(any) error) (y tally, err error) {
	for b := new(blob); ; {
		switch err := receive(b); err {
		case nil:
			y.add(b)
		case io.EOF:
			return y, nil
		default:
			return y, fmt.Errorf("after %d messages: %w", y.count, err)
		}
	}
}

// sink takes nothing before the gate is open, then all.
func (s *station) sink(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	<-s.gate
	y, err := drainFlow(stream.RecvMsg)
	return wrapperspb.String(y.String()), err
}

// source sends what sink takes, and tells when the window of a stream is used up.
func (s *station) source(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	n := 0
	y, err := flow(stream.SendMsg, func() {
		s.sent.Add(1)
		if n++; n == flowWindow {
			s.events <- "window used up"
		}
	})
	if err == nil {
		s.events <- y.String()
	}
	return nil, err
}
