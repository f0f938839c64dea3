// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build released

package main

import (
	"context"
	"errors"
	"log"
	"net"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/conformance/service"
)

// What a release has instead of what extended.go has.

func serve(listener net.Listener) error {
	s, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	register(s, func() {})
	return s.Serve(context.Background(), listener)
}

func newClient(conn net.Conn, _, _ bool) *ttrpc.Client { return ttrpc.NewClient(conn) }

func shutdown(client *ttrpc.Client) { client.Close() }

func codeOfEnd(ctx context.Context) int32 {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return 4
	}
	return 1
}

func setMetadata(context.Context, *service.Request) {}

var errClassic = status.Error(codes.Unimplemented, "releases do not know the extended mode")

func callBack(context.Context, *service.Request) (*service.Answer, error) { return nil, errClassic }

func files(context.Context, *service.Request) (*service.Answer, error) { return nil, errClassic }

func withExtras(ctx context.Context, _ *command) (context.Context, func(*result), error) {
	return ctx, func(*result) {}, nil
}
