// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcprom_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/ttrpcotel/ttrpcprom"
)

// A server and a client whose calls are counted.
func Example() {
	registry := prometheus.NewRegistry() // or the default one, which promhttp.Handler serves
	served, made := ttrpcprom.NewServerMetrics(), ttrpcprom.NewClientMetrics()
	registry.MustRegister(served, made)

	server, err := ttrpc.NewServer(served.Option())
	if err != nil {
		log.Fatal(err)
	}
	server.Register("example.Greeter", map[string]ttrpc.Method{
		"Greet": func(_ context.Context, unmarshal func(any) error) (any, error) {
			name := new(wrapperspb.StringValue)
			if err := unmarshal(name); err != nil {
				return nil, err
			}
			return wrapperspb.String("hello " + name.Value), nil
		},
	})
	served.Initialize(server)
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "greeter.sock"))
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(context.Background(), l)

	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	client := ttrpc.NewClient(conn, made.Option())
	if err := client.Call(context.Background(), "example.Greeter", "Greet", wrapperspb.String("Ada"), new(wrapperspb.StringValue)); err != nil {
		log.Fatal(err)
	}
	client.Close()
	server.Shutdown(context.Background())

	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if m.Counter.GetValue() > 0 {
				fmt.Println(f.GetName(), m.Counter.GetValue())
			}
		}
	}
	// Output:
	// grpc_client_handled_total 1
	// grpc_client_msg_received_total 1
	// grpc_client_msg_sent_total 1
	// grpc_client_started_total 1
	// grpc_server_handled_total 1
	// grpc_server_msg_received_total 1
	// grpc_server_msg_sent_total 1
	// grpc_server_started_total 1
}

// In a program that has gRPC's metrics, too.
func ExampleWithPrefix() {
	m := ttrpcprom.NewServerMetrics(
		ttrpcprom.WithPrefix("ttrpc"),
		ttrpcprom.WithConstLabels(prometheus.Labels{"daemon": "example"}),
		ttrpcprom.WithBuckets(.0001, .001, .01, .1, 1),
	)
	fmt.Println(prometheus.NewRegistry().Register(m))
	// Output: <nil>
}
