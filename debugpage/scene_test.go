// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package debugpage

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// scene returns the page of a daemon that looks like one: calls that hang, that fail, clients
// that come and go.
func scene(t *testing.T) *Page {
	page := New()
	server, err := ttrpc.NewServer(ttrpc.WithServerTrace(page.Trace()), ttrpc.WithServerExtensions(),
		ttrpc.WithServerHandshaker(ttrpc.RequireSameUser()), ttrpc.WithServerLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	hangs := func(ctx context.Context, _ func(any) error) (any, error) { <-ctx.Done(); return nil, ctx.Err() }
	answers := func(context.Context, func(any) error) (any, error) { return wrapperspb.String("running"), nil }
	server.RegisterService("containerd.task.v3.Task", &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"State": answers, "Pids": answers, "Wait": hangs, "Exec": hangs,
			"Kill": func(context.Context, func(any) error) (any, error) {
				return nil, status.Error(codes.NotFound, "process 4711 has finished already")
			},
		},
		Streams: map[string]ttrpc.Stream{"Events": {StreamingServer: true, Handler: func(ctx context.Context, s ttrpc.StreamServer) (any, error) {
			for range 12 {
				if err := s.SendMsg(wrapperspb.String("/tasks/start")); err != nil {
					return nil, err
				}
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}}},
	})
	page.AddServer("shim", server)
	t.Chdir(t.TempDir())
	os.Args[0] = "containerd-shim-demo"
	l, err := net.Listen("unix", "shim.sock")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	ctx, cancel := context.WithCancel(context.Background())
	var clients []*ttrpc.Client
	t.Cleanup(func() {
		cancel()
		for _, c := range clients {
			c.Close()
		}
		server.Close()
		<-served
	})
	client := func(opts ...ttrpc.ClientOpts) *ttrpc.Client {
		nc, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := ttrpc.NewClient(nc, opts...)
		clients = append(clients, c)
		return c
	}
	call := func(ctx context.Context, c *ttrpc.Client, method string) {
		c.Call(ctx, "containerd.task.v3.Task", method, wrapperspb.String("id"), new(wrapperspb.StringValue))
	}
	daemon, ctr, gone := client(ttrpc.WithExtensions()), client(), client()
	go call(ctx, daemon, "Wait")
	time.Sleep(1300 * time.Millisecond)
	limited, stop := context.WithTimeout(ctx, 90*time.Second)
	defer time.AfterFunc(time.Minute, stop)
	go call(limited, daemon, "Exec")
	if _, err := daemon.NewStream(ctx, &ttrpc.StreamDesc{StreamingServer: true}, "containerd.task.v3.Task", "Events", wrapperspb.String("")); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		call(ctx, daemon, "State")
	}
	for range 7 {
		call(ctx, ctr, "Pids")
	}
	call(ctx, ctr, "Kill")
	call(ctx, gone, "Checkpoint")
	gone.Close()
	page.recorder.record(10*time.Second, 0)
	call(ctx, ctr, "State")
	call(ctx, ctr, "Kill")
	time.Sleep(400 * time.Millisecond)
	return page
}
