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
	return forwardAnswers(ctx, r, p.TTRPCContainersClient.ListStream, s.Send)
}

type contentProxy struct{ content.TTRPCContentClient }

func (p contentProxy) List(ctx context.Context, r *content.ListContentRequest, s content.TTRPCContent_ListServer) error {
	return forwardAnswers(ctx, r, p.TTRPCContentClient.List, s.Send)
}

func (p contentProxy) Read(ctx context.Context, r *content.ReadContentRequest, s content.TTRPCContent_ReadServer) error {
	return forwardAnswers(ctx, r, p.TTRPCContentClient.Read, s.Send)
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
	return forwardAnswers(ctx, r, p.TTRPCEventsClient.Subscribe, s.Send)
}

type mountsProxy struct{ mounts.TTRPCMountsClient }

func (p mountsProxy) List(ctx context.Context, r *mounts.ListRequest, s mounts.TTRPCMounts_ListServer) error {
	return forwardAnswers(ctx, r, p.TTRPCMountsClient.List, s.Send)
}

type snapshotsProxy struct{ snapshots.TTRPCSnapshotsClient }

func (p snapshotsProxy) List(ctx context.Context, r *snapshots.ListSnapshotsRequest, s snapshots.TTRPCSnapshots_ListServer) error {
	return forwardAnswers(ctx, r, p.TTRPCSnapshotsClient.List, s.Send)
}

// forwardAnswers opens a stream of answers and forwards them.
func forwardAnswers[Request, Answer any, Stream interface{ Recv() (Answer, error) }](ctx context.Context, r Request, open func(context.Context, Request) (Stream, error), send func(Answer) error) error {
	c, err := open(ctx, r)
	if err != nil {
		return err
	}
	return stubs.Forward(c.Recv, send)
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
