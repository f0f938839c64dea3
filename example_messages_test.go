// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

// A RawMessage is a message in its encoding: what one knows nothing of can be passed on.
func ExampleRawMessage() {
	address, stop := serve()
	defer stop()
	client := connect(address)
	defer client.Close()

	encoded, err := proto.Marshal(&streaming.EchoPayload{Seq: 1, Msg: "hello"})
	check(err)
	var answer ttrpc.RawMessage
	check(client.Call(context.Background(), "ttrpc.integration.streaming.Streaming", "Echo", &ttrpc.RawMessage{Payload: encoded}, &answer))
	fmt.Printf("%q\n", answer.Payload)
	// Output: "\b\x02\x12\x05hello"
}

// Messages that vtprotobuf has generated methods for can be encoded and decoded by
// these. Each side chooses for itself; the peer sees no difference.
func ExampleWithVTProto() {
	address, stop := serve(ttrpc.WithServerVTProto())
	defer stop()
	client := connect(address, ttrpc.WithVTProto())
	defer client.Close()
	answer, err := streaming.NewStreamingClient(client).Echo(context.Background(), &streaming.EchoPayload{Msg: "fast"})
	check(err)
	fmt.Println(answer.Msg)
	// Output: fast
}
