// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// named answers with a name and the request.
func named(name string) *service {
	return &service{unary: func(_ context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		return &testgrpc.SimpleResponse{Payload: &testgrpc.Payload{Body: []byte(name + string(r.Payload.GetBody()))}}, nil
	}}
}

func TestCallsBothWays(t *testing.T) {
	var server *testServer
	server, path := start(t, testConfig{}, callsBack(&server))
	conn := dialUnix(t, path)
	serveBack(t, conn, named("it is "))
	r, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctxOf(t), text("me"))
	if err != nil || body(r) != "it is me" {
		t.Fatalf("B130: the answer is %q, %v", body(r), err)
	}
}

func TestServesNothing(t *testing.T) {
	var server *testServer
	server, path := start(t, testConfig{}, callsBack(&server))
	conn := dialUnix(t, path)
	_, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctxOf(t), text("me"))
	wantCode(t, "B130", err, codes.Unimplemented)
}
