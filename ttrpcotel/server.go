// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcotel

import (
	"context"

	"go.opentelemetry.io/otel/trace"

	"github.com/containerd/ttrpc"
)

// serveUnary is a [ttrpc.UnaryServerInterceptor].
func (s *spans) serveUnary(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
	if !s.takes(info.FullMethod) {
		return method(ctx, unmarshal)
	}
	ctx, span := s.serve(ctx, info.FullMethod, info.Unknown)
	returned := false
	defer span.endIfPanicking(&returned)
	if s.received {
		decode := unmarshal
		unmarshal = func(m any) error {
			err := decode(m)
			if err == nil && span.received.Load() == 0 {
				span.messageOf(received, m)
			}
			return err
		}
	}
	answer, err := method(ctx, unmarshal)
	returned = true
	if err == nil {
		span.messageOf(sent, answer)
	}
	span.finish(servedCode(ctx, err))
	return answer, err
}

// serveStream is a [ttrpc.StreamServerInterceptor].
func (s *spans) serveStream(ctx context.Context, stream ttrpc.StreamServer, info *ttrpc.StreamServerInfo, handler ttrpc.StreamHandler) (any, error) {
	if !s.takes(info.FullMethod) {
		return handler(ctx, stream)
	}
	ctx, span := s.serve(ctx, info.FullMethod, info.Unknown)
	returned := false
	defer span.endIfPanicking(&returned)
	if s.sent || s.received {
		stream = &serverStream{stream, span}
	}
	answer, err := handler(ctx, stream)
	returned = true
	if err == nil && !info.StreamingServer && answer != nil {
		span.messageOf(sent, answer)
	}
	span.finish(servedCode(ctx, err))
	return answer, err
}

// serve begins the span of a call that has come, below that of its caller.
func (s *spans) serve(ctx context.Context, fullMethod string, unknown bool) (context.Context, *span) {
	if md, ok := ttrpc.GetMetadata(ctx); ok {
		ctx = s.propagators.Extract(ctx, carrier{md})
	}
	m := s.methods.Other()
	if !unknown {
		m = s.methods.Find(fullMethod, true)
	}
	var more []trace.SpanStartOption
	if s.public {
		more = append(more, trace.WithNewRoot())
		if caller := trace.SpanContextFromContext(ctx); caller.IsValid() && caller.IsRemote() {
			more = append(more, trace.WithLinks(trace.Link{SpanContext: caller}))
		}
	}
	peer, _ := ttrpc.PeerFromContext(ctx)
	return s.start(ctx, m, fullMethod, peer, more...)
}

// A serverStream has its messages be events.
type serverStream struct {
	ttrpc.StreamServer
	span *span
}

// SendMsg implements [ttrpc.StreamServer].
func (ss *serverStream) SendMsg(m any) error {
	err := ss.StreamServer.SendMsg(m)
	if err == nil {
		ss.span.messageOf(sent, m)
	}
	return err
}

// RecvMsg implements [ttrpc.StreamServer].
func (ss *serverStream) RecvMsg(m any) error {
	err := ss.StreamServer.RecvMsg(m)
	if err == nil {
		ss.span.messageOf(received, m)
	}
	return err
}
