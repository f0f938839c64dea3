// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Client is a minimal client of DRPC.
package main

import (
	"context"

	"google.golang.org/protobuf/types/known/wrapperspb"
	"storj.io/drpc/drpcconn"

	"github.com/containerd/ttrpc/bench/measure/minimal"
	"github.com/containerd/ttrpc/bench/rivals/encoding"
)

func main() {
	c := drpcconn.New(minimal.Dial())
	minimal.Answered(c.Invoke(context.Background(), "/bench.Echo/Echo", encoding.Protobuf{}, wrapperspb.Bytes([]byte("hello")), new(wrapperspb.BytesValue)))
}
