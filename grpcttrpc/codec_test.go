// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/encoding"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/mem"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
)

// A replacement is what a program registers in place of gRPC's own codec. It counts.
type replacement struct {
	encoding.CodecV2
	encoded, decoded *atomic.Int32
}

func (r replacement) Marshal(m any) (mem.BufferSlice, error) {
	r.encoded.Add(1)
	return r.CodecV2.Marshal(m)
}

func (r replacement) Unmarshal(b mem.BufferSlice, m any) error {
	r.decoded.Add(1)
	return r.CodecV2.Unmarshal(b, m)
}

// An olderReplacement is the same of gRPC's older kind.
type olderReplacement struct{ replacement }

func (r olderReplacement) Marshal(m any) ([]byte, error) {
	b, err := r.replacement.Marshal(m)
	return b.Materialize(), err
}

func (r olderReplacement) Unmarshal(b []byte, m any) error {
	return r.replacement.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m)
}

// TestReplacedCodec holds that what a program registers in place of gRPC's codec encodes and decodes
// all messages, at both ends.
func TestReplacedCodec(t *testing.T) {
	own := encoding.GetCodecV2("proto")
	defer encoding.RegisterCodecV2(own)
	var encoded, decoded atomic.Int32
	codec := replacement{own, &encoded, &decoded}
	for _, register := range []func(){
		func() { encoding.RegisterCodecV2(codec) },
		func() { encoding.RegisterCodec(olderReplacement{codec}) },
	} {
		register()
		server := newServer(t, ttrpc.WithServerExtensions())
		testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), echoes())
		stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(t, server, ttrpc.WithExtensions())))
		for _, call := range []func() error{
			func() error {
				_, err := stub.UnaryCall(withDeadline(t), smallRequest)
				return err
			},
			func() error {
				s, err := stub.FullDuplexCall(withDeadline(t))
				if err == nil {
					err = s.Send(askFor(7))
				}
				if err == nil {
					_, err = s.Recv()
				}
				return err
			},
			func() error {
				s, err := stub.StreamingInputCall(withDeadline(t))
				if err == nil {
					err = s.Send(inputOf(7))
				}
				if err == nil {
					_, err = s.CloseAndRecv()
				}
				return err
			},
		} {
			encoded.Store(0)
			decoded.Store(0)
			if err := call(); err != nil || encoded.Load() != 2 || decoded.Load() != 2 {
				t.Errorf("B129: request and answer are %d times encoded and %d times decoded, %v", encoded.Load(), decoded.Load(), err)
			}
		}
	}
}
