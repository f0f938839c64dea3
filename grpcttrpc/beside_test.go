// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
)

// A side is what a server is made with, by grpc-go or here.
type side struct {
	register func(grpc.ServiceRegistrar)
	unary    []grpc.UnaryServerInterceptor
	stream   []grpc.StreamServerInterceptor
	stats    []stats.Handler
	maxSend  int // the largest message that it sends, about, or 0
}

// overGRPC serves by grpc-go. The function waits for the handlers, and ends it.
func (s side) overGRPC(t *testing.T) (grpc.ClientConnInterface, func()) {
	t.Helper()
	opts := []grpc.ServerOption{grpc.WaitForHandlers(true), grpc.ChainUnaryInterceptor(s.unary...), grpc.ChainStreamInterceptor(s.stream...)}
	for _, h := range s.stats {
		opts = append(opts, grpc.StatsHandler(h))
	}
	if s.maxSend > 0 {
		opts = append(opts, grpc.MaxSendMsgSize(s.maxSend))
	}
	server := grpc.NewServer(opts...)
	s.register(server)
	l := bufconn.Listen(1 << 20)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	return conn, func() {
		server.GracefulStop()
		conn.Close()
		<-done
	}
}

// overTTRPC serves here.
func (s side) overTTRPC(t *testing.T) (grpc.ClientConnInterface, func()) {
	t.Helper()
	opts := []ttrpc.ServerOpt{ttrpc.WithServerExtensions()}
	if s.maxSend > 0 {
		opts = append(opts, ttrpc.WithServerLimits(ttrpc.Limits{MessageSize: s.maxSend}))
	}
	server := newServer(t, opts...)
	regOpts := []grpcttrpc.ServerOption{
		grpcttrpc.WithChainUnaryServerInterceptor(s.unary...), grpcttrpc.WithChainStreamServerInterceptor(s.stream...),
	}
	for _, h := range s.stats {
		regOpts = append(regOpts, grpcttrpc.WithServerStatsHandler(h))
	}
	s.register(grpcttrpc.NewRegistrar(server, regOpts...))
	return grpcttrpc.NewClientConn(connect(t, server, ttrpc.WithExtensions())), func() {
		if err := server.Shutdown(withDeadline(t)); err != nil {
			t.Error(err)
		}
	}
}

// A report is what handlers of a case tell, and what its client does, each in order.
type report struct {
	mu               sync.Mutex
	handlers, client []string
}

// say adds a line of a handler's.
func (r *report) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handlers = append(r.handlers, fmt.Sprintf(format, args...))
}

// got adds a line of the client's.
func (r *report) got(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.client = append(r.client, "client: "+fmt.Sprintf(format, args...))
}

func (r *report) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := strings.Join(append(r.handlers, r.client...), "\n")
	r.handlers, r.client = nil, nil
	return all
}

// besideGRPC runs a case over grpc-go and over this, and holds that what they tell is the same.
func besideGRPC(t *testing.T, rule string, s side, r *report, script func(context.Context, grpc.ClientConnInterface)) {
	t.Helper()
	ctx := withDeadline(t)
	run := func(cc grpc.ClientConnInterface, stop func()) string {
		script(ctx, cc)
		stop()
		return r.take()
	}
	want := run(s.overGRPC(t))
	if got := run(s.overTTRPC(t)); got != want {
		t.Errorf("%s: here it is\n%s\n\nand grpc-go's is\n%s", rule, got, want)
	} else if want == "" {
		t.Error("the case tells nothing")
	}
	t.Log("both:\n" + want)
}

// ofUsers returns metadata without what HTTP/2 adds, as a line.
func ofUsers(md metadata.MD) string {
	var all []string
	for key, values := range md {
		switch key {
		case ":authority", "content-type", "user-agent", "grpc-accept-encoding":
		default:
			all = append(all, fmt.Sprintf("%s=%q", key, values))
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// codeOf returns an error's code, and whether it is a status at all.
func codeOf(err error) string {
	st, ok := status.FromError(err)
	if !ok {
		return fmt.Sprintf("no status: %v", err)
	}
	return st.Code().String()
}

// serve registers a test service.
func serve(impl testpb.TestServiceServer) func(grpc.ServiceRegistrar) {
	return func(r grpc.ServiceRegistrar) { testpb.RegisterTestServiceServer(r, impl) }
}

var pairs = metadata.Pairs
