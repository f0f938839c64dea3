// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Client is a client without any protocol: it imports what ttrpc must, net and
// protobuf, and if built with the tag status, grpc's status.
package main

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/bench/measure/minimal"
)

// errorOf is set by the tag status.
var errorOf func([]byte) error

func main() {
	conn := minimal.Dial()
	out, err := proto.Marshal(wrapperspb.Bytes([]byte("hello")))
	minimal.Must(err)
	_, err = conn.Write(out)
	minimal.Must(err)
	b := make([]byte, 512)
	n, err := conn.Read(b)
	minimal.Must(err)
	if err = proto.Unmarshal(b[:n], new(wrapperspb.BytesValue)); err != nil && errorOf != nil {
		err = errorOf(b[:n])
	}
	minimal.Answered(err)
}
