// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// A faultWorkload makes some calls and returns their errors.
type faultWorkload struct {
	name  string
	calls []func(ctx context.Context, c *ttrpc.Client) error // run concurrently
	ends  bool                                               // the server is shut down meanwhile
	takes time.Duration                                      // without a fault

	extended  bool // the connection is in extended mode
	positions int  // at so many places far from the beginning a fault is tried, 3 at least
}

var faultWorkloads = []faultWorkload{
	{name: "unary", calls: []func(context.Context, *ttrpc.Client) error{faultUnary(100)}},
	{name: "large unary", calls: []func(context.Context, *ttrpc.Client) error{faultUnary(20000)}},
	{name: "bidi", calls: []func(context.Context, *ttrpc.Client) error{faultBidi}},
	{name: "client stream", calls: []func(context.Context, *ttrpc.Client) error{faultSum}},
	{name: "server stream", calls: []func(context.Context, *ttrpc.Client) error{faultCount}},
	{name: "concurrent", calls: []func(context.Context, *ttrpc.Client) error{faultUnary(10), faultUnary(5000), faultBidi, faultSum, faultCount}},
	{name: "shutdown", calls: []func(context.Context, *ttrpc.Client) error{faultSlow}, ends: true, takes: 200 * time.Millisecond},
}

func (work faultWorkload) run(w *faultWorld) []error {
	ctx, cancel := context.WithTimeout(context.Background(), faultDeadline)
	defer cancel()
	errs := make([]error, len(work.calls))
	var group sync.WaitGroup
	for i, call := range work.calls {
		group.Go(func() { errs[i] = call(ctx, w.client) })
	}
	if work.ends {
		time.Sleep(50 * time.Millisecond)
		group.Go(func() {
			if err := w.srv.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				w.Errorf("B25: Shutdown: %v", err)
			}
		})
	}
	group.Wait()
	return errs
}

func faultUnary(size int) func(context.Context, *ttrpc.Client) error {
	return func(ctx context.Context, c *ttrpc.Client) error { return faultEcho(ctx, c, size) }
}

func faultEcho(ctx context.Context, c *ttrpc.Client, size int) error {
	want := strings.Repeat("echo", size/4)
	var got wrapperspb.StringValue
	err := c.Call(ctx, "test", "Echo", wrapperspb.String(want), &got)
	if err == nil && got.Value != want {
		return fmt.Errorf("an echo of %d bytes has %d", len(want), len(got.Value))
	}
	return err
}

func faultSlow(ctx context.Context, c *ttrpc.Client) error {
	return c.Call(ctx, "fault", "Slow", wrapperspb.String(""), new(wrapperspb.StringValue))
}

// faultSent is what SendMsg has returned, but for io.EOF in extended mode, which tells that
// the peer has ended the stream, and RecvMsg how (B71).
func faultSent(c *ttrpc.Client, sent error) error {
	if extended, _ := c.Extended(context.Background()); extended && errors.Is(sent, io.EOF) {
		return nil
	}
	return sent
}

// faultEnd is the error of a stream that has been received to its end. SendMsg
// and CloseSend may only have failed with the same.
func faultEnd(end, sent error) error {
	lost := errors.Is(sent, ttrpc.ErrClosed) && errors.Is(end, ttrpc.ErrClosed) // reading may have told more by then
	if sent != nil && !errors.Is(sent, end) && !lost {
		return fmt.Errorf("the stream ended with %v, its sending with %v", end, sent)
	}
	if end == io.EOF {
		return nil
	}
	return end
}

func faultBidi(ctx context.Context, c *ttrpc.Client) error {
	s, err := c.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, "test", "Bidi", nil)
	if err != nil {
		return err
	}
	var sent error
	var got wrapperspb.StringValue
	for i := range 3 {
		want := fmt.Sprint("message ", i)
		sent = errors.Join(sent, s.SendMsg(wrapperspb.String(want)))
		if err := s.RecvMsg(&got); err != nil {
			return faultEnd(err, faultSent(c, sent))
		} else if got.Value != want {
			return fmt.Errorf("%q instead of %q", got.Value, want)
		}
	}
	sent = errors.Join(sent, s.CloseSend())
	return faultEnd(s.RecvMsg(&got), faultSent(c, sent))
}

func faultSum(ctx context.Context, c *ttrpc.Client) error {
	s, err := c.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true}, "test", "Sum", nil)
	if err != nil {
		return err
	}
	var sent error
	for range 3 {
		sent = errors.Join(sent, s.SendMsg(wrapperspb.Int64(7)))
	}
	sent = errors.Join(sent, s.CloseSend())
	var sum wrapperspb.Int64Value
	if err := s.RecvMsg(&sum); err != nil {
		return faultEnd(err, faultSent(c, sent))
	}
	if sum.Value != 21 {
		return fmt.Errorf("the sum is %d", sum.Value)
	}
	return faultEnd(s.RecvMsg(&sum), faultSent(c, sent))
}

func faultCount(ctx context.Context, c *ttrpc.Client) error {
	s, err := c.NewStream(ctx, &ttrpc.StreamDesc{StreamingServer: true}, "test", "Count", wrapperspb.Int64(3))
	if err != nil {
		return err
	}
	var got wrapperspb.Int64Value
	for i := range int64(3) {
		if err := s.RecvMsg(&got); err != nil {
			return faultEnd(err, nil)
		} else if got.Value != i {
			return fmt.Errorf("%d instead of %d", got.Value, i)
		}
	}
	return faultEnd(s.RecvMsg(&got), nil)
}
