// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"sync"
	"testing"

	"github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/api/services/streaming/v1"
	api "github.com/containerd/containerd/api/types/transfer"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/users/stubs"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/types/known/anypb"
)

const (
	blocks    = 256
	blockSize = 32 << 10 // what containerd sends at once
)

// block is one of those that go over a stream.
func block(i int) []byte {
	data := bytes.Repeat([]byte{byte(i), byte(i >> 8), 0, 255}, blockSize/4)
	binary.BigEndian.PutUint64(data, uint64(i))
	return data
}

func pack(t *testing.T, i int) *anypb.Any {
	t.Helper()
	a, err := typeurl.MarshalAnyToProto(&api.Data{Data: block(i)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// streamer sends back what comes, and fails with what comes if told to.
type streamer struct{}

func (streamer) Stream(_ context.Context, s streaming.TTRPCStreaming_StreamServer) error {
	first, err := s.Recv()
	if err != nil {
		return err
	}
	if first.TypeUrl == "fail" {
		return errgrpc.ToGRPCf(errdefs.ErrUnavailable, "no stream %s", first.Value)
	}
	for next := first; ; {
		if err := s.Send(next); err != nil {
			return err
		}
		if next, err = s.Recv(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// TestStreaming sends much data both ways on some streams at once. The senders stay
// a window ahead of the receivers, as containerd's do: ttrpc has no flow control.
func TestStreaming(t *testing.T) {
	client := streaming.NewTTRPCStreamingClient(stubs.Serve(t, func(s *ttrpc.Server) {
		streaming.RegisterTTRPCStreamingService(s, streamer{})
	}))
	const streams, window = 4, 16
	var all sync.WaitGroup
	for range streams {
		all.Go(func() { exchangeBlocks(t, client, window) })
	}
	all.Wait()
}

func exchangeBlocks(t *testing.T, client streaming.TTRPCStreamingClient, window int) {
	stream, err := client.Stream(t.Context())
	if err != nil {
		t.Error(err)
		return
	}
	credit, received := make(chan struct{}, window), make(chan struct{})
	go func() {
		defer close(received)
		for i := range blocks {
			got, err := stream.Recv()
			if err != nil {
				t.Errorf("block %d of %d: %v", i, blocks, err)
				stream.CloseSend()
				return
			}
			data := new(api.Data)
			if err := typeurl.UnmarshalTo(got, data); err != nil || !bytes.Equal(data.Data, block(i)) {
				t.Errorf("block %d came back as %d other bytes: %v", i, len(data.Data), err)
			}
			<-credit
		}
		if _, err := stream.Recv(); err != io.EOF {
			t.Errorf("B21: the end of the stream is %v", err)
		}
	}()
	for i := range blocks {
		select {
		case credit <- struct{}{}:
		case <-received:
			return
		}
		if err := stream.Send(pack(t, i)); err != nil {
			t.Errorf("sending block %d: %v", i, err)
			break
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	<-received
}

// TestStreamingFails has a stream end with an error of containerd's.
func TestStreamingFails(t *testing.T) {
	client := streaming.NewTTRPCStreamingClient(stubs.Serve(t, func(s *ttrpc.Server) {
		streaming.RegisterTTRPCStreamingService(s, streamer{})
	}))
	stream, err := client.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&anypb.Any{TypeUrl: "fail", Value: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	if native := errgrpc.ToNative(err); !errdefs.IsUnavailable(native) || native.Error() != "no stream x: unavailable" {
		t.Errorf("B9: the stream ended with %v", native)
	}
}

// writer takes content, and answers each part with what it has.
type writer struct{ content.TTRPCContentService }

func (writer) Write(_ context.Context, s content.TTRPCContent_WriteServer) error {
	sum, offset := sha256.New(), int64(0)
	for {
		r, err := s.Recv()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if r.Offset != offset {
			return errgrpc.ToGRPCf(errdefs.ErrOutOfRange, "%d is not %d", r.Offset, offset)
		}
		sum.Write(r.Data)
		offset += int64(len(r.Data))
		if err := s.Send(&content.WriteContentResponse{Action: r.Action, Offset: offset, Digest: hex.EncodeToString(sum.Sum(nil))}); err != nil {
			return err
		}
	}
}

// TestContentWrite writes content over two hops, as an image's layer is pulled.
func TestContentWrite(t *testing.T) {
	back := stubs.Serve(t, func(s *ttrpc.Server) { content.RegisterTTRPCContentService(s, writer{}) })
	front := stubs.Serve(t, func(s *ttrpc.Server) {
		content.RegisterTTRPCContentService(s, contentProxy{content.NewTTRPCContentClient(back)})
	})
	stream, err := content.NewTTRPCContentClient(front).Write(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	for i := range blocks {
		data := bytes.Repeat(block(i), 1+i%4)
		sum.Write(data)
		offset := int64(0)
		for n := range i {
			offset += int64(blockSize * (1 + n%4))
		}
		if err := stream.Send(&content.WriteContentRequest{Action: content.WriteAction_WRITE, Offset: offset, Data: data}); err != nil {
			t.Fatal(err)
		}
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if r.Offset != offset+int64(len(data)) || r.Digest != hex.EncodeToString(sum.Sum(nil)) {
			t.Fatalf("part %d: the answer is %v", i, r)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("B21: the end of the stream is %v", err)
	}
}
