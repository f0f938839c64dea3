// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"net"
	"runtime/pprof"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// labelsOfHandler is a handler that returns the profiler labels of its goroutine.
func labelsOfHandler(context.Context, func(any) error) (any, error) {
	var b strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		return nil, err
	}
	for _, group := range strings.Split(b.String(), "\n\n") {
		if !strings.Contains(group, "labelsOfHandler") {
			continue
		}
		_, labels, _ := strings.Cut(group, "# labels: ")
		labels, _, _ = strings.Cut(labels, "\n")
		return wrapperspb.String(labels), nil
	}
	return wrapperspb.String("no such goroutine"), nil
}

// labelMethods set labels and tell those that there are.
var labelMethods = map[string]Method{
	"Set": func(ctx context.Context, _ func(any) error) (any, error) {
		pprof.SetGoroutineLabels(pprof.WithLabels(ctx, pprof.Labels("tenant", "first")))
		return new(wrapperspb.StringValue), nil
	},
	"Look": labelsOfHandler,
}

// TestLabels holds that a handler has the profiler labels of Serve's context, and none that
// the handler of another call has left.
func TestLabels(t *testing.T) {
	for name, opts := range map[string][]ServerOpt{"": nil, "a goroutine for each call": {WithGoroutinePerCall()}} {
		t.Run(name, func(t *testing.T) {
			s, err := NewServer(opts...)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			s.Register("test", labelMethods)
			l, err := net.Listen("unix", t.TempDir()+"/s")
			if err != nil {
				t.Fatal(err)
			}
			go pprof.Do(context.Background(), pprof.Labels("server", "this"), func(ctx context.Context) { s.Serve(ctx, l) })
			nc, err := net.Dial("unix", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			c := NewClient(nc)
			defer c.Close()
			const want = `{"server":"this"}`
			// Some of these run on goroutines that the one before has used, and some in the
			// reader's place, once the first is known to be quick.
			for i := range 100 {
				for range 10 {
					if err := c.Call(context.Background(), "test", "Set", new(wrapperspb.StringValue), new(wrapperspb.StringValue)); err != nil {
						t.Fatal(err)
					}
				}
				labels := new(wrapperspb.StringValue)
				if err := c.Call(context.Background(), "test", "Look", labels, labels); err != nil || labels.Value != want {
					t.Fatalf("B63: round %d: a handler's goroutine has the labels %s, want %s; %v", i, labels.Value, want, err)
				}
			}
		})
	}
}

// TestLabelsOfWorkers holds the same of calls that the reader does not look at.
func TestLabelsOfWorkers(t *testing.T) {
	s, err := NewServer()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Register("test", labelMethods)
	a, b := memconn.Pipe(0)
	s.accept(pprof.WithLabels(context.Background(), pprof.Labels("server", "this")), b)
	c := NewClient(a)
	defer c.Close()
	for range 10 {
		labels := new(wrapperspb.StringValue)
		for _, method := range []string{"Set", "Look"} {
			if err := c.Call(context.Background(), "test", method, labels, labels); err != nil {
				t.Fatal(err)
			}
		}
		if want := `{"server":"this"}`; labels.Value != want {
			t.Fatalf("B63: a handler's goroutine has the labels %s, want %s", labels.Value, want)
		}
	}
}
