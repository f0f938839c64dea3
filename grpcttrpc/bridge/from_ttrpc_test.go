// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/bridge"
)

// fromTTRPC runs f with a ttrpc client of a bridge to a gRPC server, in both modes.
func fromTTRPC(t *testing.T, config bridge.Config, f func(t *testing.T, client *ttrpc.Client, h *handlers, extended bool)) {
	for _, extended := range []bool{false, true} {
		t.Run(fmt.Sprint("extended ", extended), func(t *testing.T) {
			h := newHandlers()
			server := grpc.NewServer()
			h.registerGRPC(server)
			var mode []ttrpc.ClientOpts
			if extended {
				mode = append(mode, ttrpc.WithExtensions())
			}
			f(t, dialTTRPC(t, toGRPC(t, serveGRPC(t, server), config, ttrpc.WithServerExtensions()), mode...), h, extended)
		})
	}
}

// open opens a stream of a kind.
func open(t *testing.T, ctx context.Context, client *ttrpc.Client, kind bridge.Kind, method string, request any) ttrpc.ClientStream {
	t.Helper()
	s, err := client.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: kind.ClientStreams(), StreamingServer: kind.ServerStreams()}, service, method, request)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFromTTRPC makes a call of each kind from ttrpc to gRPC.
func TestFromTTRPC(t *testing.T) {
	fromTTRPC(t, bridge.Config{Methods: []bridge.Methods{described(t)}}, func(t *testing.T, client *ttrpc.Client, _ *handlers, extended bool) {
		ctx := bounded(t)
		for _, size := range []int32{0, 100, 5000, 3 << 20} {
			answer := new(testpb.SimpleResponse)
			err := client.Call(ctx, service, "UnaryCall", &testpb.SimpleRequest{ResponseSize: size}, answer)
			if err != nil || len(answer.GetPayload().GetBody()) != int(size) {
				t.Errorf("a call for %d bytes: %d, %v", size, len(answer.GetPayload().GetBody()), err)
			}
		}
		input := open(t, ctx, client, bridge.ClientStream, "StreamingInputCall", nil)
		for _, size := range []int32{0, 3, 4} {
			if err := input.SendMsg(&testpb.StreamingInputCallRequest{Payload: body(size)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := input.CloseSend(); err != nil {
			t.Fatal(err)
		}
		sum := new(testpb.StreamingInputCallResponse)
		if err := input.RecvMsg(sum); err != nil || sum.AggregatedPayloadSize != 7 {
			t.Errorf("a stream of requests: %v, %v", sum, err)
		}
		output := open(t, ctx, client, bridge.ServerStream, "StreamingOutputCall", asking(1, 0, 2))
		for _, want := range []int{1, 0, 2} {
			m := new(testpb.StreamingOutputCallResponse)
			if err := output.RecvMsg(m); err != nil || len(m.GetPayload().GetBody()) != want {
				t.Errorf("a stream of answers: %v, %v", m, err)
			}
		}
		if err := output.RecvMsg(new(testpb.StreamingOutputCallResponse)); err != io.EOF {
			t.Errorf("the end of a stream of answers: %v", err)
		}
		described, answer := ttrpc.WithResponseMetadata(ttrpc.WithMetadata(ctx, ttrpc.MD{echoHeader: {"text"}, echoTrailer: {"AKv/"}}))
		both := open(t, described, client, bridge.BidiStream, "FullDuplexCall", nil)
		if header, err := answer.Header(ctx); extended && (err != nil || fmt.Sprint(header[echoHeader]) != "[text]") {
			t.Errorf("the header before any message: %v, %v", header, err)
		}
		failing := &testpb.EchoStatus{Code: int32(codes.Aborted), Message: "not now"}
		if err := both.SendMsg(&testpb.StreamingOutputCallRequest{ResponseStatus: failing}); err != nil {
			t.Fatal(err)
		}
		wantStatus(t, "streams both ways", both.RecvMsg(new(testpb.StreamingOutputCallResponse)), failing)
		if trailer := answer.Trailer(); extended && fmt.Sprint(trailer[echoTrailer]) != "[AKv/]" {
			t.Errorf("the trailer: %v", trailer)
		}
	})
}

// TestFromTTRPCMetadata sends metadata that gRPC does not carry, or that is too much.
func TestFromTTRPCMetadata(t *testing.T) {
	config := bridge.Config{Methods: []bridge.Methods{described(t)}, Limits: bridge.Limits{Metadata: 1000}}
	fromTTRPC(t, config, func(t *testing.T, client *ttrpc.Client, _ *handlers, _ bool) {
		for name, test := range map[string]struct {
			md   ttrpc.MD
			code codes.Code
			text string
		}{
			"reserved names":       {ttrpc.MD{"grpc-timeout": {"1n"}, "te": {"x"}, ":path": {"/"}, "content-type": {"text"}, "user-agent": {"x"}}, codes.OK, ""},
			"upper case":           {ttrpc.MD{"Key": {"v"}}, codes.OK, ""},
			"a broken binary":      {ttrpc.MD{"key-bin": {"*"}}, codes.Internal, "malformed"},
			"a name with a space":  {ttrpc.MD{"a key": {"v"}}, codes.Internal, "illegal"},
			"a value with a break": {ttrpc.MD{"key": {"a\nb"}}, codes.Internal, "non-printable"},
			"too much":             {ttrpc.MD{"key": {strings.Repeat("v", 1000)}}, codes.ResourceExhausted, "1000 are the most"},
		} {
			err := client.Call(ttrpc.WithMetadata(bounded(t), test.md), service, "EmptyCall", new(testpb.Empty), new(testpb.Empty))
			if s := status.Convert(err); s.Code() != test.code || !strings.Contains(s.Message(), test.text) {
				t.Errorf("%s: %v, want %v %q", name, err, test.code, test.text)
			}
		}
	})
}

// TestFromTTRPCShape calls methods otherwise than their kinds ask for, and one of no known kind.
func TestFromTTRPCShape(t *testing.T) {
	fromTTRPC(t, bridge.Config{Methods: []bridge.Methods{described(t)}}, func(t *testing.T, client *ttrpc.Client, _ *handlers, _ bool) {
		ctx := bounded(t)
		wrong := func(what string, err error, code codes.Code, text string) {
			t.Helper()
			if s := status.Convert(err); s.Code() != code || !strings.Contains(s.Message(), text) {
				t.Errorf("%s: %v, want %v %q", what, err, code, text)
			}
		}
		err := client.Call(ctx, service, "FullDuplexCall", new(testpb.Empty), new(testpb.Empty))
		wrong("a stream as a call", err, codes.Internal, "of kind bidi-stream, and was called as a unary one")
		s := open(t, ctx, client, bridge.BidiStream, "EmptyCall", nil)
		wrong("a call as a stream", s.RecvMsg(new(testpb.Empty)), codes.Internal, "of kind unary, and was called with a stream of requests")
		s = open(t, ctx, client, bridge.ServerStream, "FullDuplexCall", new(testpb.Empty))
		wrong("a stream that its client closes", s.RecvMsg(new(testpb.Empty)), codes.Internal, "called with one request and a stream of answers")
		err = client.Call(ctx, service, "None", new(testpb.Empty), new(testpb.Empty))
		wrong("an unknown method", err, codes.Unimplemented, "the kind of method grpc.testing.TestService/None is not known")
	})
}

// TestFromTTRPCEnds holds what deadlines and cancellation do to a gRPC server's handlers.
func TestFromTTRPCEnds(t *testing.T) {
	fromTTRPC(t, bridge.Config{Methods: []bridge.Methods{described(t)}}, func(t *testing.T, client *ttrpc.Client, h *handlers, extended bool) {
		ctx, cancel := context.WithCancel(ttrpc.WithMetadata(bounded(t), ttrpc.MD{behaviour: {"wait"}}))
		failed := make(chan error, 1)
		go func() { failed <- client.Call(ctx, service, "EmptyCall", new(testpb.Empty), new(testpb.Empty)) }()
		<-h.running
		cancel()
		if err := <-failed; status.Code(err) != codes.Canceled {
			t.Errorf("a call that was cancelled: %v", err)
		}
		if extended { // a classic client cannot tell
			if err := <-h.ended; err != context.Canceled {
				t.Errorf("its handler's context: %v", err)
			}
		}
	})
}
