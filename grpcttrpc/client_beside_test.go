// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
)

// A clientCase is what a user of gRPC's stubs does, and gets to see. It is run over grpc-go and
// over this, and what it notes is to be the same.
type clientCase struct {
	service *testService // nil is echoes

	unary    []grpc.UnaryClientInterceptor
	stream   []grpc.StreamClientInterceptor
	stats    func(*clientRun) stats.Handler
	defaults []grpc.CallOption

	run func(r *clientRun)
}

// A clientRun is a clientCase on one of the two.
type clientRun struct {
	*testing.T
	ctx       context.Context
	conn      grpc.ClientConnInterface
	stub      testpb.TestServiceClient
	close     func() // of the client
	endServer func() // at once

	mu    sync.Mutex
	notes []string
}

// note notes what is to be the same.
func (r *clientRun) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// noteErr notes an error with its text.
func (r *clientRun) noteErr(what string, err error) {
	r.note("%s: %s", what, told(err))
}

// noteCode notes an error without its text.
func (r *clientRun) noteCode(what string, err error) {
	code := told(err)
	if st, ok := status.FromError(err); ok {
		code = st.Code().String()
	}
	r.note("%s: %s", what, code)
}

// told tells of an error as a user sees it.
func told(err error) string {
	switch st, ok := err.(interface{ GRPCStatus() *status.Status }); {
	case err == nil || err == io.EOF:
		return fmt.Sprint(err)
	case ok:
		return fmt.Sprintf("%v %q %v", st.GRPCStatus().Code(), st.GRPCStatus().Message(), st.GRPCStatus().Details())
	}
	return fmt.Sprintf("%T, which is no status", err)
}

func (c *clientCase) impl() *testService {
	if c.service != nil {
		return c.service
	}
	return echoes()
}

func (c *clientCase) runOverGRPC(t *testing.T) string {
	server := grpc.NewServer()
	testpb.RegisterTestServiceServer(server, c.impl())
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	r := &clientRun{T: t, ctx: withDeadline(t), endServer: server.Stop}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(c.defaults...),
		grpc.WithChainUnaryInterceptor(c.unary...), grpc.WithChainStreamInterceptor(c.stream...),
	}
	if c.stats != nil {
		opts = append(opts, grpc.WithStatsHandler(c.stats(r)))
	}
	conn, err := grpc.NewClient("unix:"+l.Addr().String(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		<-done
	})
	r.conn, r.stub, r.close = conn, testpb.NewTestServiceClient(conn), func() { conn.Close() }
	c.run(r)
	return strings.Join(r.notes, "\n")
}

func (c *clientCase) runOverTTRPC(t *testing.T, serverOpts []ttrpc.ServerOpt, clientOpts []ttrpc.ClientOpts) string {
	server := newServer(t, serverOpts...)
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), c.impl())
	client := connect(t, server, clientOpts...)
	r := &clientRun{T: t, ctx: withDeadline(t), endServer: func() { server.Close() }, close: func() { client.Close() }}
	opts := []grpcttrpc.ClientOption{
		grpcttrpc.WithDefaultCallOptions(c.defaults...),
		grpcttrpc.WithChainUnaryClientInterceptor(c.unary...), grpcttrpc.WithChainStreamClientInterceptor(c.stream...),
	}
	if c.stats != nil {
		opts = append(opts, grpcttrpc.WithClientStatsHandler(c.stats(r)))
	}
	r.conn = grpcttrpc.NewClientConn(client, opts...)
	r.stub = testpb.NewTestServiceClient(r.conn)
	c.run(r)
	return strings.Join(r.notes, "\n")
}

// beside runs a case over grpc-go and in extended mode.
func (c *clientCase) beside(t *testing.T) {
	t.Helper()
	want := c.runOverGRPC(t)
	got := c.runOverTTRPC(t, []ttrpc.ServerOpt{ttrpc.WithServerExtensions()}, []ttrpc.ClientOpts{ttrpc.WithExtensions()})
	c.compare(t, want, got)
}

// besideClassic runs a case on a classic connection, too.
func (c *clientCase) besideClassic(t *testing.T) {
	t.Helper()
	c.beside(t)
	c.compare(t, c.runOverGRPC(t), c.runOverTTRPC(t, nil, nil))
}

func (c *clientCase) compare(t *testing.T, want, got string) {
	t.Helper()
	if want == "" {
		t.Error("the case notes nothing")
	}
	if got != want {
		t.Errorf("B129: grpc-go gives\n%s\nand this\n%s", want, got)
	} else {
		t.Log(want)
	}
}
