// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package exchange

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	// limit is how much data a frame may carry.
	limit = 4 << 20

	// A logical connection of the multiplexer ends when 256 packets wait to be
	// read, and a frame makes one or two. So what is under way at once must be
	// less: 32 calls, and 4 streams with 8 messages each.
	callers, callsEach     = 32, 30
	streams, window, turns = 4, 8, 12

	// streamed is how many messages are sent in a row, and each of them is no
	// more than one packet, for the same reason.
	streamed = 64
)

// sizes are lengths of messages. Those around 4096 are so many that a request, an
// answer and a message of a stream, which all have more around them than the
// message, each come to every length from a few bytes under a packet to a few over
// it.
func sizes() []int {
	all := []int{0, 1, 100, 64 << 10, 1 << 20}
	for n := 4010; n <= 4110; n++ {
		all = append(all, n)
	}
	return all
}

// StreamSize is how long the message is that stands at some place in a stream
// whose sender does not wait.
func StreamSize(place int) int { return place * 997 % 4000 }

// Drive calls the other end in all ways, and checks all that comes back.
func Drive(ctx context.Context, c *ttrpc.Client) error {
	for _, step := range []struct {
		name string
		run  func(context.Context, *ttrpc.Client) error
	}{
		{"calls of all sizes", callSizes},
		{"a stream of all sizes", streamSizes},
		{"a message at the limit", callLimit},
		{"a client's stream", clientStream},
		{"a server's stream", serverStream},
		{"all at once", atOnce},
	} {
		if err := step.run(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// same compares data with the pattern that it should be.
func same(seed, n int, data []byte) error {
	want := Pattern(seed, n)
	if bytes.Equal(want, data) {
		return nil
	}
	at := 0
	for at < min(n, len(data)) && want[at] == data[at] {
		at++
	}
	return fmt.Errorf("%d bytes came, and should be %d; they differ from byte %d on", len(data), n, at)
}

// Echo has a pattern sent back.
func Echo(ctx context.Context, c *ttrpc.Client, seed, n int) error {
	answer := new(wrapperspb.BytesValue)
	if err := c.Call(ctx, Service, "Echo", wrapperspb.Bytes(Pattern(seed, n)), answer); err != nil {
		return fmt.Errorf("echo of %d bytes: %w", n, err)
	}
	if err := same(seed, n, answer.Value); err != nil {
		return fmt.Errorf("echo of %d bytes: %w", n, err)
	}
	return nil
}

func callSizes(ctx context.Context, c *ttrpc.Client) error {
	for i, n := range sizes() {
		if err := Echo(ctx, c, i, n); err != nil {
			return err
		}
	}
	return nil
}

func streamSizes(ctx context.Context, c *ttrpc.Client) error {
	all := append(sizes(), limit-len(prefix(limit)))
	return echoes(ctx, c, 1, len(all), func(i int) int { return all[i] })
}

// prefix is what stands before n bytes in a BytesValue.
func prefix(n int) []byte {
	whole, _ := proto.Marshal(wrapperspb.Bytes(make([]byte, n)))
	return whole[:len(whole)-n]
}

// callLimit makes a request of just the limit, one of a byte more, and has an answer
// of just the limit.
func callLimit(ctx context.Context, c *ttrpc.Client) error {
	// A deadline would be a part of the request, and of no certain length.
	ctx = context.WithoutCancel(ctx)
	// What is around the message depends on its length, which grows by none
	// of these few bytes.
	around := func(m proto.Message, n int) int { return proto.Size(m) - n }
	const near = limit - 100
	payload, err := proto.Marshal(wrapperspb.Bytes(make([]byte, near)))
	if err != nil {
		return err
	}
	fits := limit - around(&ttrpc.Request{Service: Service, Method: "Echo", Payload: payload}, near)
	if err := Echo(ctx, c, 7, fits); err != nil {
		return err
	}
	if err := Echo(ctx, c, 7, fits+1); status.Code(err) != codes.ResourceExhausted {
		return fmt.Errorf("B6: a byte over the limit: %v", err)
	}
	n := limit - around(&ttrpc.Response{Payload: payload}, near)
	answer := new(wrapperspb.BytesValue)
	if err := c.Call(ctx, Service, "Bytes", wrapperspb.Int64(int64(n)), answer); err != nil {
		return fmt.Errorf("an answer of %d bytes: %w", n, err)
	}
	return same(n, n, answer.Value)
}

func clientStream(ctx context.Context, c *ttrpc.Client) error {
	desc := &ttrpc.StreamDesc{StreamingClient: true}
	stream, err := c.NewStream(ctx, desc, Service, "Sum", nil)
	if err != nil {
		return err
	}
	for i := range streamed {
		if err := stream.SendMsg(wrapperspb.Bytes(Pattern(i, StreamSize(i)))); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	answer := new(wrapperspb.Int64Value)
	if err := stream.RecvMsg(answer); err != nil {
		return err
	}
	if answer.Value != streamed {
		return fmt.Errorf("%d messages arrived of %d", answer.Value, streamed)
	}
	return nil
}

func serverStream(ctx context.Context, c *ttrpc.Client) error {
	desc := &ttrpc.StreamDesc{StreamingServer: true}
	stream, err := c.NewStream(ctx, desc, Service, "Count", wrapperspb.Int64(streamed))
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		in := new(wrapperspb.BytesValue)
		if err := stream.RecvMsg(in); err == io.EOF && i == streamed {
			return nil
		} else if err != nil {
			return fmt.Errorf("message %d of %d: %w", i, streamed, err)
		}
		if err := same(i, StreamSize(i), in.Value); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
}

// echoes sends messages on a stream that come back, window of them at a time.
func echoes(ctx context.Context, c *ttrpc.Client, window, count int, size func(int) int) error {
	desc := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
	stream, err := c.NewStream(ctx, desc, Service, "EchoStream", nil)
	if err != nil {
		return err
	}
	for i := range count + window {
		if i < count {
			if err := stream.SendMsg(wrapperspb.Bytes(Pattern(i, size(i)))); err != nil {
				return fmt.Errorf("sending %d bytes: %w", size(i), err)
			}
		}
		if i == count {
			if err := stream.CloseSend(); err != nil {
				return err
			}
		}
		back := i - window
		if back < 0 {
			continue
		}
		in := new(wrapperspb.BytesValue)
		if err := stream.RecvMsg(in); err != nil {
			return fmt.Errorf("receiving %d bytes: %w", size(back), err)
		}
		if err := same(back, size(back), in.Value); err != nil {
			return fmt.Errorf("message %d: %w", back, err)
		}
	}
	if err := stream.RecvMsg(new(wrapperspb.BytesValue)); err != io.EOF {
		return fmt.Errorf("the end of a stream: %v", err)
	}
	return nil
}

// atOnce makes many calls and uses many streams at the same time.
func atOnce(ctx context.Context, c *ttrpc.Client) error {
	all := sizes()
	ends := make(chan error, callers+streams)
	for caller := range callers {
		go func() {
			var err error
			for i := 0; i < callsEach && err == nil; i++ {
				err = Echo(ctx, c, caller*callsEach+i, all[(caller*31+i*17)%len(all)])
			}
			ends <- err
		}()
	}
	for s := range streams {
		go func() {
			ends <- echoes(ctx, c, window, turns*window, func(i int) int { return all[(s*31+i*17)%len(all)] })
		}()
	}
	var errs []error
	for range callers + streams {
		errs = append(errs, <-ends)
	}
	return errors.Join(errs...)
}
