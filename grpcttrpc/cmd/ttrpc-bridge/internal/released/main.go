// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command released is a ttrpc server for tests, which also compiles with releases of ttrpc. It
// has one method of each kind, and ends when standard input does.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

func main() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	server.RegisterService("old.Service", &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{"Unary": unary},
		Streams: map[string]ttrpc.Stream{
			"Sum":   {Handler: sum, StreamingClient: true},
			"Count": {Handler: count, StreamingServer: true},
			"Echo":  {Handler: echo, StreamingClient: true, StreamingServer: true},
		},
	})
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Close()
	}()
	if err := server.Serve(context.Background(), l); !errors.Is(err, ttrpc.ErrServerClosed) {
		log.Fatal(err)
	}
}

func unary(_ context.Context, unmarshal func(any) error) (any, error) {
	m := new(wrapperspb.Int64Value)
	err := unmarshal(m)
	return wrapperspb.Int64(m.Value + 1), err
}

func sum(_ context.Context, s ttrpc.StreamServer) (any, error) {
	total := int64(0)
	for {
		m := new(wrapperspb.Int64Value)
		if err := s.RecvMsg(m); err == io.EOF {
			return wrapperspb.Int64(total), nil
		} else if err != nil {
			return nil, err
		}
		total += m.Value
	}
}

func count(_ context.Context, s ttrpc.StreamServer) (any, error) {
	m := new(wrapperspb.Int64Value)
	if err := s.RecvMsg(m); err != nil {
		return nil, err
	}
	for i := range m.Value {
		if err := s.SendMsg(wrapperspb.Int64(i)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func echo(_ context.Context, s ttrpc.StreamServer) (any, error) {
	for {
		m := new(wrapperspb.Int64Value)
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
