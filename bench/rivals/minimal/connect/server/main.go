// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Server is a minimal server of Connect.
package main

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/bench/measure/minimal"
)

type message = wrapperspb.BytesValue

func main() {
	const path = "/bench.Echo/Echo"
	mux := http.NewServeMux()
	mux.Handle(path, connect.NewUnaryHandler(path, func(_ context.Context, r *connect.Request[message]) (*connect.Response[message], error) {
		return connect.NewResponse(r.Msg), nil
	}))
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: mux, Protocols: p}
	minimal.Must(s.Serve(minimal.Listener()))
}
