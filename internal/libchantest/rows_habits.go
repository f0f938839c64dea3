// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchantest

import (
	"context"
	"fmt"
	"io"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/libchan"
)

// habitRows are of L8.
var habitRows = []row{
	{"L8: range over All", true, testAll},
	{"L8: channels of Go's", true, testChan},
	{"L8: Select takes one", false, testSelect},
	{"L8: Call and Serve", true, testCall},
}

func testAll(k *kit) {
	k.channels(10, func(s libchan.ContextSender, r libchan.ContextReceiver) {
		typed := libchan.Of[int](s)
		for i := range 5 {
			k.must(typed.Send(ctx, i))
		}
		k.must(typed.Close())
		var got []int
		for v, err := range libchan.From[int](r).All(ctx) {
			k.must(err)
			got = append(got, v)
		}
		if !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
			k.Errorf("ranged over %v", got)
		}
	})
}

func testChan(k *kit) {
	k.channels(-1, func(s libchan.ContextSender, r libchan.ContextReceiver) {
		in, out := libchan.From[int](r).Chan(ctx), libchan.Of[int](s).Chan(ctx)
		go func() {
			for i := range 100 {
				out <- i
			}
			close(out)
		}()
		next := 0
		for v := range in {
			if v != next {
				k.Fatalf("received %d, want %d", v, next)
			}
			next++
		}
		if next != 100 || r.Cause() != io.EOF {
			k.Errorf("%d values came, and the end is %v", next, r.Cause())
		}
	})
}

func testSelect(k *kit) {
	const each = 30
	var senders []libchan.ContextSender
	var receivers []libchan.ContextReceiver
	k.channels(0, func(s libchan.ContextSender, r libchan.ContextReceiver) {
		senders, receivers = append(senders, s), append(receivers, r)
	})
	s, r := k.top()
	senders, receivers = append(senders, s), append(receivers, r)
	for _, s := range senders {
		go func() {
			for i := range each {
				if err := s.Send(k.value(i)); err != nil {
					k.Errorf("Send: %v", err)
				}
			}
			_ = s.Close()
		}()
	}
	next := make([]int64, len(receivers))
	for ended := 0; ended < len(receivers); {
		cases := make([]*libchan.Case, len(receivers))
		gets := make([]func() note, len(receivers))
		for i, r := range receivers {
			if r != nil {
				var into any
				into, gets[i] = k.target()
				cases[i] = libchan.OnReceive(r, into)
			}
		}
		switch i, err := libchan.Select(ctx, cases...); {
		case err == io.EOF:
			receivers[i] = nil
			ended++
		case err != nil:
			k.Fatal(err)
		case gets[i]().N != next[i]:
			k.Fatalf("case %d received %d, want %d", i, gets[i]().N, next[i])
		default:
			next[i]++
		}
	}
	for i, n := range next {
		if n != each {
			k.Errorf("case %d received %d messages, want %d", i, n, each)
		}
	}
}

func testCall(k *kit) {
	out, in := k.top()
	served := make(chan error, 1)
	go func() {
		served <- libchan.Serve(ctx, in, func(_ context.Context, n int) (string, error) {
			if n < 0 {
				return "", status.Error(codes.InvalidArgument, "negative")
			}
			return fmt.Sprint(n), nil
		})
	}()
	for i := range 20 {
		if s, err := libchan.Call[int, string](ctx, out, i); s != fmt.Sprint(i) || err != nil {
			k.Fatalf("Call: %q, %v", s, err)
		}
	}
	if _, err := libchan.Call[int, string](ctx, out, -1); status.Code(err) != codes.InvalidArgument {
		k.Errorf("Call: %v, want the handler's InvalidArgument", err)
	}
	k.must(out.Close())
	k.must(<-served)
}
