// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package echo

import (
	"context"

	"google.golang.org/grpc"

	"github.com/containerd/ttrpc/bench/measure"
)

// NewClient returns a client whose stubs are over a conn. What closes it is called once.
func NewClient(conn grpc.ClientConnInterface, close func() error) measure.Client {
	return &client{NewEchoClient(conn), close}
}

type client struct {
	stub  EchoClient
	close func() error
}

func (c *client) Close() { c.close() }

func (c *client) Caller(size, answer int) func(context.Context) error {
	method, request := c.stub.Echo, &Message{Value: measure.RequestValue(size, answer)}
	if size != answer {
		method = c.stub.Get
	}
	return func(ctx context.Context) error {
		response, err := method(ctx, request)
		if err != nil {
			return err
		}
		return measure.CheckSize(len(response.Value), answer)
	}
}

func (c *client) Stream(ctx context.Context, kind measure.StreamKind, size, count int) (measure.Stream, error) {
	message := &Message{Value: measure.Content(size)}
	switch kind {
	case measure.Upload:
		s, err := c.stub.Upload(ctx)
		return &upload{s, message}, err
	case measure.Download:
		s, err := c.stub.Download(ctx, &Message{Value: measure.RequestValue(size, count)})
		return &download{s, size}, err
	}
	s, err := c.stub.Chat(ctx)
	return &chat{s, message}, err
}

type upload struct {
	grpc.ClientStreamingClient[Message, Message]
	message *Message
}

func (s *upload) Send() error    { return s.ClientStreamingClient.Send(s.message) }
func (s *upload) Receive() error { return measure.ErrNoStreams }

func (s *upload) Finish() error {
	_, err := s.CloseAndRecv()
	return err
}

type download struct {
	grpc.ServerStreamingClient[Message]
	size int
}

func (s *download) Send() error { return measure.ErrNoStreams }

func (s *download) Receive() error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	return measure.CheckSize(len(m.Value), s.size)
}

func (s *download) Finish() error {
	_, err := s.Recv()
	return measure.EndOf(measure.Download, err)
}

type chat struct {
	grpc.BidiStreamingClient[Message, Message]
	message *Message
}

func (s *chat) Send() error { return s.BidiStreamingClient.Send(s.message) }

func (s *chat) Receive() error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	return measure.CheckSize(len(m.Value), len(s.message.Value))
}

func (s *chat) Finish() error {
	if err := s.CloseSend(); err != nil {
		return err
	}
	_, err := s.Recv()
	return measure.EndOf(measure.Chat, err)
}
