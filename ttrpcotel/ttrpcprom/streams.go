// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcprom

import (
	"context"

	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/methods"
)

// serveStream is a [ttrpc.StreamServerInterceptor] that counts messages.
func (m *metrics) serveStream(ctx context.Context, stream ttrpc.StreamServer, info *ttrpc.StreamServerInfo, handler ttrpc.StreamHandler) (any, error) {
	of := m.methods.Other()
	if !info.Unknown {
		of = m.methods.Find(info.FullMethod, true)
	}
	k := m.kindOf(of, false, info.StreamingClient, info.StreamingServer)
	answer, err := handler(ctx, &serverStream{stream, k})
	if answer != nil && err == nil && !info.StreamingServer {
		k.sent.Inc()
	}
	return answer, err
}

type serverStream struct {
	ttrpc.StreamServer
	kind *kindOf
}

// SendMsg implements [ttrpc.StreamServer].
func (s *serverStream) SendMsg(m any) error {
	err := s.StreamServer.SendMsg(m)
	if err == nil {
		s.kind.sent.Inc()
	}
	return err
}

// RecvMsg implements [ttrpc.StreamServer].
func (s *serverStream) RecvMsg(m any) error {
	err := s.StreamServer.RecvMsg(m)
	if err == nil {
		s.kind.received.Inc()
	}
	return err
}

// callStream is a [ttrpc.StreamClientInterceptor] that counts messages.
func (m *metrics) callStream(ctx context.Context, desc *ttrpc.StreamDesc, fullMethod string, open ttrpc.Streamer) (ttrpc.ClientStream, error) {
	k := m.find(fullMethod, false, false, desc.StreamingClient, desc.StreamingServer)
	end := m.end(k, false, nil, status.Code)
	stream, err := open(ctx, desc, fullMethod)
	if err != nil { // and no trace is told
		k.started.Inc()
		end(status.Error(methods.Called(err, nil)))
		return nil, err
	}
	if !desc.StreamingClient {
		k.sent.Inc() // the request, which interceptors do not see
	}
	return &clientStream{stream, k}, nil
}

type clientStream struct {
	ttrpc.ClientStream
	kind *kindOf
}

// SendMsg implements [ttrpc.ClientStream].
func (s *clientStream) SendMsg(m any) error {
	err := s.ClientStream.SendMsg(m)
	if err == nil {
		s.kind.sent.Inc()
	}
	return err
}

// RecvMsg implements [ttrpc.ClientStream].
func (s *clientStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil {
		s.kind.received.Inc()
	}
	return err
}
