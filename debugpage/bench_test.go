// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package debugpage

import (
	"context"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/memconn"
)

// BenchmarkCall tells what a page costs: the trace is the server's alone.
func BenchmarkCall(b *testing.B) {
	for name, opts := range map[string][]ttrpc.ServerOpt{
		"without":        nil,
		"page":           {ttrpc.WithServerTrace(New().Trace())},
		"without frames": {ttrpc.WithServerTrace(New(WithoutFrames()).Trace())},
	} {
		b.Run(name, func(b *testing.B) {
			server, err := ttrpc.NewServer(opts...)
			if err != nil {
				b.Fatal(err)
			}
			defer server.Close()
			answer := wrapperspb.String("hello")
			server.Register("test.Service", map[string]ttrpc.Method{
				"Greet": func(context.Context, func(any) error) (any, error) { return answer, nil },
			})
			near, far := memconn.StreamPipe(0)
			go server.ServeConn(context.Background(), far)
			client := ttrpc.NewClient(near)
			defer client.Close()
			b.ReportAllocs()
			for b.Loop() {
				if err := client.Call(context.Background(), "test.Service", "Greet", answer, new(wrapperspb.StringValue)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTrace tells what the page's own part of a call is: a beginning, an end, two frames.
func BenchmarkTrace(b *testing.B) {
	trace := New().Trace()
	call := ttrpc.CallInfo{FullMethod: "/test.Service/Greet", Served: true, Known: true, Unary: true}
	frame := ttrpc.FrameInfo{Data: make([]byte, 100), Length: 100, Type: 1}
	b.ReportAllocs()
	for b.Loop() {
		end := trace.Call(call)
		trace.Frame(frame)
		trace.Frame(frame)
		end(nil)
	}
}
