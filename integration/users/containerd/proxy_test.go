// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"

	"github.com/containerd/containerd/api/services/containers/v1"
	"github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/api/services/events/v1"
	"github.com/containerd/containerd/api/services/mounts/v1"
	"github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/ttrpc/integration/users/stubs"
)

// The proxies make servers of clients: what has no stream is the same in both.

type containersProxy struct {
	containers.TTRPCContainersClient
}

func (p containersProxy) ListStream(ctx context.Context, r *containers.ListContainersRequest, s containers.TTRPCContainers_ListStreamServer) error {
	c, err := p.TTRPCContainersClient.ListStream(ctx, r)
	if err != nil {
		return err
	}
	return stubs.Forward(c.Recv, s.Send)
}

type contentProxy struct{ content.TTRPCContentClient }

func (p contentProxy) List(ctx context.Context, r *content.ListContentRequest, s content.TTRPCContent_ListServer) error {
	c, err := p.TTRPCContentClient.List(ctx, r)
	if err != nil {
		return err
	}
	return stubs.Forward(c.Recv, s.Send)
}

func (p contentProxy) Read(ctx context.Context, r *content.ReadContentRequest, s content.TTRPCContent_ReadServer) error {
	c, err := p.TTRPCContentClient.Read(ctx, r)
	if err != nil {
		return err
	}
	return stubs.Forward(c.Recv, s.Send)
}

func (p contentProxy) Write(ctx context.Context, s content.TTRPCContent_WriteServer) error {
	c, err := p.TTRPCContentClient.Write(ctx)
	if err != nil {
		return err
	}
	return forwardBoth(s.Recv, c.Send, c.CloseSend, c.Recv, s.Send)
}

type eventsProxy struct{ events.TTRPCEventsClient }

func (p eventsProxy) Subscribe(ctx context.Context, r *events.SubscribeRequest, s events.TTRPCEvents_SubscribeServer) error {
	c, err := p.TTRPCEventsClient.Subscribe(ctx, r)
	if err != nil {
		return err
	}
	return stubs.Forward(c.Recv, s.Send)
}

type mountsProxy struct{ mounts.TTRPCMountsClient }

func (p mountsProxy) List(ctx context.Context, r *mounts.ListRequest, s mounts.TTRPCMounts_ListServer) error {
	c, err := p.TTRPCMountsClient.List(ctx, r)
	if err != nil {
		return err
	}
	return stubs.Forward(c.Recv, s.Send)
}

type snapshotsProxy struct{ snapshots.TTRPCSnapshotsClient }

func (p snapshotsProxy) List(ctx context.Context, r *snapshots.ListSnapshotsRequest, s snapshots.TTRPCSnapshots_ListServer) error {
	c, err := p.TTRPCSnapshotsClient.List(ctx, r)
	if err != nil {
		return err
	}
	return stubs.Forward(c.Recv, s.Send)
}

// forwardBoth forwards both directions of a stream, and ends with that of answers.
func forwardBoth[In, Out any](receive func() (In, error), send func(In) error, closeSend func() error, receiveBack func() (Out, error), sendBack func(Out) error) error {
	there := make(chan error, 1)
	go func() {
		err := stubs.Forward(receive, send)
		if err == nil {
			err = closeSend()
		}
		there <- err
	}()
	if err := stubs.Forward(receiveBack, sendBack); err != nil {
		return err
	}
	return <-there
}
