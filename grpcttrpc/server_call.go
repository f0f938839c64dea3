// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"context"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/internal/meta"
)

// A servedCall is a call as gRPC's handlers see it. It is their context, and the
// grpc.ServerTransportStream in it. What of gRPC a context has is made when it is asked
// for, so a handler that asks for nothing pays one allocation.
type servedCall struct {
	context.Context // the handler's at ttrpc
	method          *servedMethod
	incoming        metadata.MD  // if it had to be decoded before the handler runs, else nil
	begun           atomic.Bool  // the answer has, though ttrpc does not know yet
	stats           *servedStats // nil if nobody asks
}

// newServedCall returns the call whose ttrpc handler has the context. The error is the
// answer to a call with malformed metadata.
func newServedCall(ctx context.Context, method *servedMethod) (*servedCall, error) {
	c := &servedCall{Context: ctx, method: method}
	md, _ := ttrpc.GetMetadata(ctx)
	for key := range md {
		if len(key) > 4 && strings.EqualFold(key[len(key)-4:], "-bin") {
			var err error
			if c.incoming, err = meta.Incoming(md); err != nil {
				return nil, err
			}
			break
		}
	}
	return c, nil
}

// What gRPC keeps in contexts.
var (
	serverStreamKey = contextKey(func(ctx context.Context) { grpc.ServerTransportStreamFromContext(ctx) })
	peerKey         = contextKey(func(ctx context.Context) { peer.FromContext(ctx) })
	incomingKey     = contextKey(func(ctx context.Context) { metadata.FromIncomingContext(ctx) })
	outgoingKey     = contextKey(func(ctx context.Context) { metadata.FromOutgoingContext(ctx) })
)

// contextKey returns the key of what a function asks a context for. These keys are gRPC's
// own, so they are learnt from who uses them.
func contextKey(asks func(context.Context)) any {
	ctx := &askedContext{Context: context.Background()}
	asks(ctx)
	return ctx.key
}

// An askedContext remembers what it was asked for.
type askedContext struct {
	context.Context
	key any
}

// Value implements context.Context.
func (c *askedContext) Value(key any) any {
	c.key = key
	return nil
}

// Value implements context.Context. Values are put into a context by gRPC's own functions
// and taken out again, so only gRPC has to know what they are. A handler has no outgoing
// metadata, even if the context of Serve has.
func (c *servedCall) Value(key any) any {
	background := context.Background()
	switch key {
	case serverStreamKey:
		return grpc.NewContextWithServerTransportStream(background, c).Value(key)
	case incomingKey:
		return metadata.NewIncomingContext(background, c.metadata()).Value(key)
	case peerKey:
		if p, ok := ttrpc.PeerFromContext(c.Context); ok {
			return peer.NewContext(background, grpcPeer(p)).Value(key)
		}
		return nil
	case outgoingKey:
		return nil
	}
	return c.Context.Value(key)
}

// String keeps fmt from reading what others may be writing.
func (c *servedCall) String() string { return "gRPC call over ttrpc" }

// metadata returns what came with the request.
func (c *servedCall) metadata() metadata.MD {
	if c.incoming != nil {
		return c.incoming
	}
	sent, _ := ttrpc.GetMetadata(c.Context)
	md, _ := meta.Incoming(sent) // no value is binary
	return md
}

// Method implements grpc.ServerTransportStream.
func (c *servedCall) Method() string { return c.method.fullName }

// SetHeader implements grpc.ServerTransportStream.
func (c *servedCall) SetHeader(md metadata.MD) error {
	if md.Len() == 0 {
		return nil
	}
	if c.begun.Load() {
		return errHeaderSent
	}
	return c.describe(ttrpc.SetHeader, md, c.stats.setHeader)
}

// SendHeader implements grpc.ServerTransportStream.
func (c *servedCall) SendHeader(md metadata.MD) error {
	if c.begun.Load() {
		return errHeaderSent
	}
	return c.describe(ttrpc.SendHeader, md, c.stats.sendHeader)
}

// SetTrailer implements grpc.ServerTransportStream.
func (c *servedCall) SetTrailer(md metadata.MD) error {
	if md.Len() == 0 {
		return nil
	}
	return c.describe(ttrpc.SetTrailer, md, c.stats.setTrailer)
}

var errHeaderSent = status.Error(codes.Internal, "grpcttrpc: the header has been sent")

// describe does with metadata of the answer what set does.
func (c *servedCall) describe(set func(context.Context, ttrpc.MD) error, md metadata.MD, then func(metadata.MD)) error {
	sent, err := meta.Outgoing(md)
	if err != nil {
		return err
	}
	if err := set(c.Context, sent); err != nil {
		return failure(nil, err)
	}
	then(md)
	return nil
}
