// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !gogo

package main

import (
	"context"
	"io"

	"github.com/containerd/ttrpc"

	"github.com/containerd/ttrpc/bench/measure"
	"github.com/containerd/ttrpc/bench/ttrpc/message"
)

func registerStreams(s *ttrpc.Server) {
	s.RegisterService("bench.Streams", &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{
		"Upload":   {Handler: handleUpload, StreamingClient: true},
		"Download": {Handler: handleDownload, StreamingServer: true},
		"Chat":     {Handler: handleChat, StreamingClient: true, StreamingServer: true},
	}})
}

func handleUpload(_ context.Context, s ttrpc.StreamServer) (any, error) {
	for {
		m := new(message.Message)
		if err := s.RecvMsg(m); err == io.EOF {
			return m, nil
		} else if err != nil {
			return nil, err
		}
	}
}

func handleDownload(_ context.Context, s ttrpc.StreamServer) (any, error) {
	m := new(message.Message)
	if err := s.RecvMsg(m); err != nil {
		return nil, err
	}
	for range measure.Number(m.Value) {
		if err := s.SendMsg(m); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func handleChat(_ context.Context, s ttrpc.StreamServer) (any, error) {
	for {
		m := new(message.Message)
		if err := s.RecvMsg(m); err == io.EOF {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		if err := s.SendMsg(m); err != nil {
			return nil, err
		}
	}
}

func (c ttrpcClient) Stream(ctx context.Context, kind measure.StreamKind, size, count int) (measure.Stream, error) {
	var first any
	if kind == measure.Download {
		first = message.New(measure.RequestValue(size, count))
	}
	desc := &ttrpc.StreamDesc{StreamingClient: kind != measure.Download, StreamingServer: kind != measure.Upload}
	s, err := c.NewStream(ctx, desc, "bench.Streams", measure.StreamNames[kind], first)
	return &ttrpcStream{s, message.New(measure.Content(size)), size, kind}, err
}

type ttrpcStream struct {
	ttrpc.ClientStream
	message *message.Message
	size    int
	kind    measure.StreamKind
}

func (s *ttrpcStream) Send() error { return s.SendMsg(s.message) }

func (s *ttrpcStream) Receive() error {
	m := new(message.Message)
	if err := s.RecvMsg(m); err != nil {
		return err
	}
	return measure.CheckSize(len(m.Value), s.size)
}

func (s *ttrpcStream) Finish() error {
	if s.kind != measure.Download {
		if err := s.CloseSend(); err != nil {
			return err
		}
	}
	return measure.EndOf(s.kind, s.RecvMsg(new(message.Message)))
}
