// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"io"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

func TestEcho(t *testing.T) {
	c := start(t, service{}).connect(t)
	for i := uint32(0); i < 100; i++ {
		got, err := c.Echo(context.Background(), &streaming.EchoPayload{Seq: i, Msg: "echo"})
		if err != nil || got.Seq != i+1 || got.Msg != "echo" {
			t.Fatalf("Echo %d: %v, %v", i, got, err)
		}
	}
}

func TestEchoStream(t *testing.T) {
	c := start(t, service{}).connect(t)
	stream, err := c.EchoStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for i := uint32(0); i < 100; i += 2 {
		if err := stream.Send(&streaming.EchoPayload{Seq: i, Msg: "in turn"}); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if err != nil || got.Seq != i+1 || got.Msg != "in turn" {
			t.Fatalf("message %d: %v, %v", i, got, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := stream.Recv(); err != io.EOF {
			t.Errorf("B21: after the end: %v, want EOF each time", err)
		}
	}
	if err := stream.CloseSend(); err != ttrpc.ErrStreamClosed {
		t.Errorf("B20: a second CloseSend: %v, want %v", err, ttrpc.ErrStreamClosed)
	}
	if err := stream.Send(new(streaming.EchoPayload)); err != ttrpc.ErrStreamClosed {
		t.Errorf("B20: Send after CloseSend: %v, want %v", err, ttrpc.ErrStreamClosed)
	}
}

// TestEchoStreamsAtOnce has every stream's two sides on goroutines of their
// own.
func TestEchoStreamsAtOnce(t *testing.T) {
	c := start(t, service{}).connect(t)
	var all sync.WaitGroup
	defer all.Wait()
	for range 10 {
		stream, err := c.EchoStream(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		const messages = 50
		all.Add(2)
		go func() {
			defer all.Done()
			for i := uint32(0); i < messages; i++ {
				if err := stream.Send(&streaming.EchoPayload{Seq: i}); err != nil {
					t.Errorf("B20: Send: %v", err)
				}
			}
			if err := stream.CloseSend(); err != nil {
				t.Errorf("B20: CloseSend: %v", err)
			}
		}()
		go func() {
			defer all.Done()
			for i := uint32(0); i < messages; i++ {
				if got, err := stream.Recv(); err != nil || got.Seq != i+1 {
					t.Errorf("B20: message %d: %v, %v", i, got, err)
				}
			}
			if _, err := stream.Recv(); err != io.EOF {
				t.Errorf("B21: after the last: %v, want EOF", err)
			}
		}()
	}
}

func TestSumStream(t *testing.T) {
	c := start(t, service{}).connect(t)
	for _, parts := range [][]int32{nil, {7}, {1, -2, 3, -4, 0}} {
		stream, err := c.SumStream(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var want int32
		for _, p := range parts {
			want += p
			if err := stream.Send(&streaming.Part{Add: p}); err != nil {
				t.Fatal(err)
			}
		}
		sum, err := stream.CloseAndRecv()
		if err != nil || sum.Sum != want || int(sum.Num) != len(parts) {
			t.Errorf("SumStream of %v: %v, %v", parts, sum, err)
		}
	}
}

func TestDivideStream(t *testing.T) {
	c := start(t, service{}).connect(t)
	for _, want := range []*streaming.Sum{{}, {Sum: 10, Num: 1}, {Sum: 100, Num: 7}} {
		stream, err := c.DivideStream(context.Background(), want)
		if err != nil {
			t.Fatal(err)
		}
		var got streaming.Sum
		for {
			part, err := stream.Recv()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got.Sum += part.Add
			got.Num++
		}
		if got.Sum != want.Sum || got.Num != want.Num {
			t.Errorf("DivideStream of %v: %v", want, &got)
		}
	}
}

func TestEchoNull(t *testing.T) {
	c := start(t, service{}).connect(t)
	for _, messages := range []uint32{0, 1, 20} {
		stream, err := c.EchoNull(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for i := uint32(0); i < messages; i++ {
			if err := stream.Send(&streaming.EchoPayload{Seq: i, Msg: "nothing"}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := stream.CloseAndRecv(); err != nil {
			t.Errorf("EchoNull of %d: %v", messages, err)
		}
	}

	stream, err := c.EchoNull(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&streaming.EchoPayload{Seq: 3}); err != nil {
		t.Fatal(err)
	}
	_, err = stream.CloseAndRecv()
	wantCode(t, "B40", err, codes.InvalidArgument, "seq 3 where 0 is next")
}

func TestEchoNullStream(t *testing.T) {
	c := start(t, service{}).connect(t)
	stream, err := c.EchoNullStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for i := uint32(0); i < 20; i++ {
		if err := stream.Send(&streaming.EchoPayload{Seq: i}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatalf("B39: an empty message: %v", err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("B39: after the last empty message: %v, want EOF", err)
	}
}

func TestEmptyPayloadStream(t *testing.T) {
	c := start(t, service{}).connect(t)
	stream, err := c.EmptyPayloadStream(context.Background(), new(emptypb.Empty))
	if err != nil {
		t.Fatal(err)
	}
	for i := uint32(0); i < 3; i++ {
		if got, err := stream.Recv(); err != nil || got.Seq != i {
			t.Fatalf("B39: message %d: %v, %v", i, got, err)
		}
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("B21: after the last: %v, want EOF", err)
	}
	if err := stream.SendMsg(new(streaming.EchoPayload)); err == nil {
		t.Error("B20: SendMsg on a stream whose client does not stream succeeds")
	}
}

func TestUnknown(t *testing.T) {
	c := start(t, service{}).connect(t)
	const known = "ttrpc.integration.streaming.Streaming"
	for _, tc := range []struct{ service, method, want string }{
		{"no.such.Service", "Echo", "service no.such.Service"},
		{known, "NoSuchMethod", "method NoSuchMethod"},
	} {
		err := c.raw.Call(context.Background(), tc.service, tc.method, new(emptypb.Empty), new(emptypb.Empty))
		wantCode(t, "B10", err, codes.Unimplemented, tc.want)

		stream, err := c.raw.NewStream(context.Background(), &ttrpc.StreamDesc{StreamingServer: true}, tc.service, tc.method, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, "B10", stream.RecvMsg(new(emptypb.Empty)), codes.Unimplemented, tc.want)
	}
	c.mustEcho(t, "B10")
}
