// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package echo is the service that is measured, as gRPC's generator makes it, and what all
// sides that speak by its stubs have in common.
package echo

//go:generate sh -c "protoc --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --plugin=protoc-gen-go-grpc=$(go tool -n protoc-gen-go-grpc) --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative echo.proto"

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/bench/measure"
)

// A Message has bytes.
type Message = wrapperspb.BytesValue

// Register registers the service.
func Register(r grpc.ServiceRegistrar) { RegisterEchoServer(r, server{}) }

type server struct{ UnimplementedEchoServer }

func (server) Echo(_ context.Context, m *Message) (*Message, error) { return m, nil }

func (server) Get(_ context.Context, m *Message) (*Message, error) {
	return &Message{Value: measure.Content(measure.Number(m.Value))}, nil
}

func (server) Upload(s grpc.ClientStreamingServer[Message, Message]) error {
	last := new(Message)
	for {
		m, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return s.SendAndClose(last)
		case err != nil:
			return err
		}
		last = m
	}
}

func (server) Download(m *Message, s grpc.ServerStreamingServer[Message]) error {
	for range measure.Number(m.Value) {
		if err := s.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func (server) Chat(s grpc.BidiStreamingServer[Message, Message]) error {
	for {
		m, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := s.Send(m); err != nil {
			return err
		}
	}
}
