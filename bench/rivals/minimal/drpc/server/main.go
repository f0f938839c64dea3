// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Server is a minimal server of DRPC.
package main

import (
	"context"

	"google.golang.org/protobuf/types/known/wrapperspb"
	"storj.io/drpc"
	"storj.io/drpc/drpcmux"
	"storj.io/drpc/drpcserver"

	"github.com/containerd/ttrpc/bench/measure/minimal"
	"github.com/containerd/ttrpc/bench/rivals/encoding"
)

type message = wrapperspb.BytesValue

type echo struct{}

func (echo) NumMethods() int { return 1 }

func (echo) Method(n int) (string, drpc.Encoding, drpc.Receiver, any, bool) {
	receive := func(_ any, _ context.Context, request, _ any) (drpc.Message, error) { return request.(*message), nil }
	kind := func(echo, context.Context, *message) (*message, error) { return nil, nil }
	return "/bench.Echo/Echo", encoding.Protobuf{}, receive, kind, n == 0
}

func main() {
	mux := drpcmux.New()
	minimal.Must(mux.Register(echo{}, echo{}))
	minimal.Must(drpcserver.New(mux).Serve(context.Background(), minimal.Listener()))
}
