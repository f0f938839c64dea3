// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/containerd/ttrpc/grpcttrpc/bridge"
	"github.com/containerd/ttrpc/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// bounded returns a context that ends before the test hangs.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestKinds makes a call of each kind, with messages of all sizes.
func TestKinds(t *testing.T) {
	eachWay(t, bridge.Limits{}, func(t *testing.T, w way) {
		ctx, client := bounded(t), testpb.NewTestServiceClient(w.conn)
		if _, err := client.EmptyCall(ctx, new(testpb.Empty)); err != nil {
			t.Errorf("an empty call: %v", err)
		}
		for _, size := range []int32{0, 10, 5000, 100_000, 3 << 20} {
			text := fmt.Sprint("size ", size)
			answer, err := client.UnaryCall(ctx, &testpb.SimpleRequest{ResponseSize: size, Payload: &testpb.Payload{Body: []byte(text)}})
			if err != nil || len(answer.GetPayload().GetBody()) != int(size) || answer.GetUsername() != text {
				t.Errorf("a call for %d bytes: %d bytes, %q, %v", size, len(answer.GetPayload().GetBody()), answer.GetUsername(), err)
			}
		}
		input, err := client.StreamingInputCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int32{27182, 8, 0, 1828, 45904} {
			if err := input.Send(&testpb.StreamingInputCallRequest{Payload: body(size)}); err != nil {
				t.Fatal(err)
			}
		}
		if sum, err := input.CloseAndRecv(); err != nil || sum.GetAggregatedPayloadSize() != 74922 {
			t.Errorf("a stream of requests: %v, %v", sum, err)
		}
		output, err := client.StreamingOutputCall(ctx, asking(31415, 9, 0, 2653, 58979))
		if err != nil {
			t.Fatal(err)
		}
		wantBodies(t, output, 31415, 9, 0, 2653, 58979)
		both, err := client.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range int32(10) { // each waits for its answers: nothing is held back
			if err := both.Send(asking(i*1000, 0)); err != nil {
				t.Fatal(err)
			}
			for _, want := range []int32{i * 1000, 0} {
				if m, err := both.Recv(); err != nil || len(m.GetPayload().GetBody()) != int(want) {
					t.Fatalf("streams both ways: %v, %v", m, err)
				}
			}
		}
		if err := both.CloseSend(); err != nil {
			t.Fatal(err)
		}
		wantBodies(t, both)
	})
}

func asking(sizes ...int32) *testpb.StreamingOutputCallRequest {
	request := new(testpb.StreamingOutputCallRequest)
	for _, size := range sizes {
		request.ResponseParameters = append(request.ResponseParameters, &testpb.ResponseParameters{Size: size})
	}
	return request
}

// wantBodies wants messages of these sizes, and then the end.
func wantBodies(t *testing.T, s grpc.ServerStreamingClient[testpb.StreamingOutputCallResponse], sizes ...int32) {
	t.Helper()
	for _, want := range sizes {
		if m, err := s.Recv(); err != nil || len(m.GetPayload().GetBody()) != int(want) {
			t.Fatalf("an answer of %d bytes: %d, %v", want, len(m.GetPayload().GetBody()), err)
		}
	}
	if m, err := s.Recv(); err != io.EOF {
		t.Errorf("the end: %v, %v", m, err)
	}
}

// TestMetadata sends metadata, bytes among it, and wants it back in the header and the trailer.
func TestMetadata(t *testing.T) {
	eachWay(t, bridge.Limits{}, func(t *testing.T, w way) {
		text, bytes := []string{"first value", "second"}, []string{"\x00\xab\xff", "", "abcd"}
		md := metadata.MD{echoHeader: text, echoTrailer: bytes}
		ctx, client := metadata.NewOutgoingContext(bounded(t), md), testpb.NewTestServiceClient(w.conn)
		check := func(what string, header, trailer metadata.MD) {
			t.Helper()
			if w.classic {
				text, bytes = nil, nil
			}
			if got := header[echoHeader]; fmt.Sprintf("%q", got) != fmt.Sprintf("%q", text) {
				t.Errorf("%s: the header is %q, want %q", what, got, text)
			}
			if got := trailer[echoTrailer]; fmt.Sprintf("%q", got) != fmt.Sprintf("%q", bytes) {
				t.Errorf("%s: the trailer is %q, want %q", what, got, bytes)
			}
		}
		failing := &testpb.EchoStatus{Code: int32(codes.Aborted), Message: "not now"}
		for _, asked := range []*testpb.EchoStatus{nil, failing} {
			var header, trailer metadata.MD
			_, err := client.UnaryCall(ctx, &testpb.SimpleRequest{ResponseStatus: asked}, grpc.Header(&header), grpc.Trailer(&trailer))
			wantStatus(t, "a call", err, asked)
			check("a call", header, trailer)
		}
		both, err := client.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		header := metadata.MD{}
		if !w.classic { // the header comes before any message
			if header, err = both.Header(); err != nil {
				t.Fatal(err)
			}
		}
		if err := both.Send(&testpb.StreamingOutputCallRequest{ResponseStatus: failing}); err != nil {
			t.Fatal(err)
		}
		_, err = both.Recv()
		wantStatus(t, "a stream", err, failing)
		check("a stream", header, both.Trailer())
	})
}

// wantStatus wants a status with its detail, or success.
func wantStatus(t *testing.T, what string, err error, want *testpb.EchoStatus) {
	t.Helper()
	s := status.Convert(err)
	if s.Code() != codes.Code(want.GetCode()) || s.Message() != want.GetMessage() {
		t.Errorf("%s: %v, want %v", what, err, want)
		return
	}
	if want == nil {
		return
	}
	if details := s.Details(); len(details) != 1 || !proto.Equal(details[0].(proto.Message), durationpb.New(time.Minute)) {
		t.Errorf("%s: details %v", what, s.Details())
	}
}

// TestAcceptEncoding wants what a hop says of compression to end there: the server behind must
// not compress with what the client knows and the bridge does not.
func TestAcceptEncoding(t *testing.T) {
	const name = "grpc-accept-encoding"
	eachWay(t, bridge.Limits{}, func(t *testing.T, w way) {
		if w.name == "grpc-go alone" {
			return // one hop
		}
		ctx := metadata.AppendToOutgoingContext(bounded(t), name, "zstd", behaviour, "tell", "tell", name)
		var header metadata.MD
		if _, err := testpb.NewTestServiceClient(w.conn).EmptyCall(ctx, new(testpb.Empty), grpc.Header(&header)); err != nil {
			t.Fatal(err)
		}
		if told := header["told"]; slices.Contains(told, "zstd") {
			t.Errorf("the server behind is told that its peer takes %q", told)
		}
	})
}
