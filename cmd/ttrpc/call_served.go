// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
)

// served shows the calls that the server makes, in extended mode, and answers them from the flag
// --answer.
type served struct {
	*caller
	server  *ttrpc.Server
	answers map[string]string // JSON by "package.Service/Method"
	ready   chan struct{}     // closed when schema is set
	schema  *schema.Schema
}

// serve returns what answers the server's calls.
func (c *caller) serve() (*served, error) {
	s := &served{caller: c, answers: map[string]string{}, ready: make(chan struct{})}
	for _, flag := range c.answers {
		name, json, ok := strings.Cut(flag, "=")
		service, method, err := schema.SplitMethod(name)
		if !ok || err != nil {
			return nil, cli.Usage("Write it as package.Service/Method=JSON.", "--answer %q does not say what is answered to which call", flag)
		}
		s.answers[service+"/"+method] = json
	}
	var err error
	s.server, err = ttrpc.NewServer(ttrpc.WithUnknownServiceHandler(s.handle))
	return s, err
}

// use has the calls described.
func (s *served) use(described *schema.Schema) {
	s.schema = described
	close(s.ready)
}

func (s *served) handle(ctx context.Context, call *ttrpc.UnknownCall, stream ttrpc.StreamServer) (any, error) {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	name := call.Service + "/" + call.Method
	answer, known := s.answers[name]
	for {
		request := new(ttrpc.RawMessage)
		err := stream.RecvMsg(request)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		s.show(ctx, name, request.Payload)
		if !known {
			return nil, status.Errorf(codes.Unimplemented, "ttrpc call answers no %s: --answer does", name)
		}
	}
	if !known { // a stream without a message
		s.show(ctx, name, nil)
		return nil, status.Errorf(codes.Unimplemented, "ttrpc call answers no %s: --answer does", name)
	}
	return s.encode(ctx, name, answer)
}

// show tells of a call.
func (s *served) show(ctx context.Context, name string, payload []byte) {
	text := message.Tree(payload)
	if method, err := s.schema.Method(ctx, name); err == nil && !s.raw {
		m := dynamicpb.NewMessage(method.Input())
		if proto.Unmarshal(payload, m) == nil {
			format := message.Format{Types: s.format.Types, Compact: true}
			if json, err := format.Marshal(m); err == nil {
				text = string(json)
			}
		}
	}
	fmt.Fprintf(s.env.Stderr, "* the server calls %s %s\n", name, strings.TrimSpace(text))
}

// encode encodes the answer to a call.
func (s *served) encode(ctx context.Context, name, answer string) (any, error) {
	if s.raw {
		payload, err := message.Parse(answer)
		return &ttrpc.RawMessage{Payload: payload}, s.wrong(name, err)
	}
	method, err := s.schema.Method(ctx, name)
	if err != nil {
		return nil, s.wrong(name, err)
	}
	m := dynamicpb.NewMessage(method.Output())
	if err := s.format.Unmarshal([]byte(answer), m); err != nil {
		return nil, s.wrong(name, err)
	}
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	return &ttrpc.RawMessage{Payload: payload}, s.wrong(name, err)
}

// wrong tells here, and as a status there, that a call cannot be answered.
func (s *served) wrong(name string, err error) error {
	if err == nil {
		return nil
	}
	fmt.Fprintf(s.env.Stderr, "* --answer for %s: %v\n", name, err)
	return status.Errorf(codes.Internal, "ttrpc call cannot answer %s: %v", name, err)
}
