// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package reflection_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/health"
	"github.com/containerd/ttrpc/integration/kit"
	pb "github.com/containerd/ttrpc/internal/healthpb"
	"github.com/containerd/ttrpc/reflection"
)

// TestClientGone has a client vanish that has a stream of reflection and a watch: neither's
// interceptors are told that the server shuts down.
func TestClientGone(t *testing.T) {
	for _, extended := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ends := make(chan error, 2)
			opts := []ttrpc.ServerOpt{ttrpc.WithChainStreamServerInterceptor(func(ctx context.Context, s ttrpc.StreamServer, _ *ttrpc.StreamServerInfo, handler ttrpc.StreamHandler) (any, error) {
				answer, err := handler(ctx, s)
				ends <- err
				return answer, err
			})}
			var of []ttrpc.ClientOpts
			if extended {
				opts, of = append(opts, ttrpc.WithServerExtensions()), append(of, ttrpc.WithExtensions())
			}
			server, client, end := kit.Connect(t, opts, of)
			defer end()
			reflection.Register(server)
			health.New().Register(server)
			talkTo(t, client, "grpc.reflection.v1.ServerReflection").wantFiles(file("google/protobuf/any.proto"), "google/protobuf/any.proto")
			w, err := client.NewStream(t.Context(), &ttrpc.StreamDesc{StreamingServer: true}, "grpc.health.v1.Health", "Watch", new(pb.HealthCheckRequest))
			if err != nil {
				t.Fatal(err)
			}
			if err := w.RecvMsg(new(pb.HealthCheckResponse)); err != nil {
				t.Fatal(err)
			}
			client.Close()
			for range 2 {
				if err := <-ends; !errors.Is(err, context.Canceled) {
					t.Errorf("B152: of a client that has gone, extended %t, the handler says %v", extended, err)
				}
			}
		})
	}
}
