// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Server is a server without any protocol: it imports what ttrpc must, net and
// protobuf, and if built with the tag status, grpc's status.
package main

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/bench/measure/minimal"
)

// statusOf is set by the tag status.
var statusOf func(error) proto.Message

func main() {
	l := minimal.Listener()
	for {
		conn, err := l.Accept()
		minimal.Must(err)
		go func() {
			b := make([]byte, 512)
			for {
				n, err := conn.Read(b)
				if err != nil {
					return
				}
				var answer proto.Message = new(wrapperspb.BytesValue)
				if err := proto.Unmarshal(b[:n], answer); err != nil && statusOf != nil {
					answer = statusOf(err)
				}
				out, err := proto.Marshal(answer)
				minimal.Must(err)
				_, err = conn.Write(out)
				minimal.Must(err)
			}
		}()
	}
}
