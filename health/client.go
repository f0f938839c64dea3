// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"io"
	"iter"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	pb "github.com/containerd/ttrpc/internal/healthpb"
)

// Check asks a server for the state of a service, or of the server as a whole (""). Errors are
// those of [ttrpc.Client.Call]: the status NotFound if the server does not know the service,
// Unimplemented if it does not serve health.
func Check(ctx context.Context, client *ttrpc.Client, service string) (Status, error) {
	answer := new(pb.HealthCheckResponse)
	err := client.Call(ctx, serviceName, "Check", &pb.HealthCheckRequest{Service: service}, answer)
	return Status(answer.Status), err
}

// List asks a server for the states of all services that it knows, by their names; "" is the
// server as a whole. Errors are those of [ttrpc.Client.Call]: ResourceExhausted if there are too
// many for a message.
func List(ctx context.Context, client *ttrpc.Client) (map[string]Status, error) {
	answer := new(pb.HealthListResponse)
	if err := client.Call(ctx, serviceName, "List", new(pb.HealthListRequest), answer); err != nil {
		return nil, err
	}
	all := make(map[string]Status, len(answer.Statuses))
	for service, state := range answer.Statuses {
		all[service] = Status(state.GetStatus())
	}
	return all, nil
}

// Watch asks a server for the state of a service, and yields it now and each time that it has
// changed: ServiceUnknown as long as the server does not know the service. The last that it
// yields is an error, unless the loop ends before: ctx.Err(); Unavailable when the server
// shuts down or has ended the stream; Unimplemented if it does not serve health. With a client
// made by [ttrpc.Dial] it can be called again then.
func Watch(ctx context.Context, client *ttrpc.Client, service string) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		desc := &ttrpc.StreamDesc{StreamingServer: true}
		stream, err := client.NewStream(ctx, desc, serviceName, "Watch", &pb.HealthCheckRequest{Service: service})
		for err == nil {
			answer := new(pb.HealthCheckResponse)
			if err = stream.RecvMsg(answer); err == nil && !yield(Status(answer.Status), nil) {
				return
			}
		}
		if err == io.EOF {
			err = status.Error(codes.Unavailable, "the server has ended the watch")
		}
		yield(Unknown, err)
	}
}
