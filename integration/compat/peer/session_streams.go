// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !v1.0 && !v1.1

package main

import (
	"context"
	"io"
	"log"

	"github.com/containerd/ttrpc"
)

// stream opens a stream.
func (s *session) stream(ctx context.Context, method string, client, server bool, req any) ttrpc.ClientStream {
	desc := &ttrpc.StreamDesc{StreamingClient: client, StreamingServer: server}
	stream, err := s.client.NewStream(ctx, desc, serviceName, method, req)
	if err != nil {
		log.Fatalf("%s: %v", method, err)
	}
	return stream
}

// bidi opens a stream both of whose sides stream.
func (s *session) bidi(method string) ttrpc.ClientStream {
	return s.stream(context.Background(), method, true, true, nil)
}

// drain receives up to the end, and notes what came and how it ended.
func (s *session) drain(stream ttrpc.ClientStream) {
	messages, err := receive(stream, -1)
	s.note("received", summary(messages), err)
	if err == io.EOF {
		s.receiveAgain(stream)
	}
}

// receiveAgain notes what a stream says that has ended.
func (s *session) receiveAgain(stream ttrpc.ClientStream) {
	s.note("received again", "", stream.RecvMsg(new(textValue)))
}

// result takes the answer of a server that does not stream.
func (s *session) result(stream ttrpc.ClientStream) {
	resp := new(textValue)
	err := stream.RecvMsg(resp)
	s.note("result", resp.Value, err)
}

// send sends messages and notes the first error, or none.
func (s *session) send(stream ttrpc.ClientStream, messages ...string) {
	for _, m := range messages {
		if err := stream.SendMsg(text("%s", m)); err != nil {
			s.note("sent "+m, "", err)
		}
	}
}

// closeSend notes how it went.
func (s *session) closeSend(stream ttrpc.ClientStream) {
	s.note("CloseSend", "", stream.CloseSend())
}
