// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Client is a minimal client of Connect.
package main

import (
	"context"
	"net"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/bench/measure/minimal"
)

type message = wrapperspb.BytesValue

func main() {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	h := &http.Client{Transport: &http.Transport{
		Protocols:   p,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return minimal.Dial(), nil },
	}}
	c := connect.NewClient[message, message](h, "http://unix/bench.Echo/Echo", connect.WithGRPC())
	_, err := c.CallUnary(context.Background(), connect.NewRequest(wrapperspb.Bytes([]byte("hello"))))
	minimal.Answered(err)
}
