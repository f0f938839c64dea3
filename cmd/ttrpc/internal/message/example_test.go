// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package message_test

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/typepb"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
)

func ExampleFormat_Marshal() {
	format := &message.Format{Types: protoregistry.GlobalTypes, Compact: true}
	for _, value := range []*anypb.Any{
		{TypeUrl: "google.protobuf.Duration", Value: []byte{8, 1}},
		{TypeUrl: "opencontainers/runtime-spec/1/Process", Value: []byte(`{"args": ["sh"]}`)},
		{TypeUrl: "x.y/Unknown", Value: []byte{8, 1}},
	} {
		text, err := format.Marshal(&typepb.Option{Value: value})
		fmt.Println(string(text), err)
	}
	// Output:
	// {"value":{"@type":"google.protobuf.Duration","value":"1s"}} <nil>
	// {"value":{"@type":"opencontainers/runtime-spec/1/Process","value":{"args":["sh"]}}} <nil>
	// {"value":{"@type":"x.y/Unknown","value":"CAE="}} <nil>
}

func ExampleReader() {
	format := &message.Format{Types: protoregistry.GlobalTypes}
	r := format.NewReader(strings.NewReader(`"1s" "2s"`))
	for {
		d := new(durationpb.Duration)
		if err := r.Next(d); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(d.AsDuration())
	}
	// Output:
	// 1s
	// 2s
}

func ExampleTree() {
	fmt.Print(message.Tree([]byte("\x0a\x03Ada\x12\x02\x08\x01")))
	// Output:
	// 1: "Ada"
	// 2 {
	//   1: 1
	// }
}
