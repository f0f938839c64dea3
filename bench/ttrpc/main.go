// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Ttrpc is ttrpc: which one, go.mod or another such file says.
package main

import (
	"context"
	"log"
	"net"

	"github.com/containerd/ttrpc"

	"github.com/containerd/ttrpc/bench/measure"
	"github.com/containerd/ttrpc/bench/ttrpc/message"
)

func main() { measure.Main(measure.System{Serve: serveTTRPC, Dial: dialTTRPC, Over: overTTRPC}) }

func serveTTRPC(l net.Listener) {
	s, err := ttrpc.NewServer(serverOptions...)
	if err != nil {
		log.Fatal(err)
	}
	s.Register("bench.Echo", map[string]ttrpc.Method{
		"Echo": unary(func(m *message.Message) *message.Message { return m }),
		"Get": unary(func(m *message.Message) *message.Message {
			return message.New(measure.Content(measure.Number(m.Value)))
		}),
	})
	registerStreams(s)
	log.Fatal(s.Serve(context.Background(), l))
}

func unary(answer func(*message.Message) *message.Message) ttrpc.Method {
	return func(_ context.Context, unmarshal func(any) error) (any, error) {
		m := new(message.Message)
		if err := unmarshal(m); err != nil {
			return nil, err
		}
		return answer(m), nil
	}
}

type ttrpcClient struct{ *ttrpc.Client }

func dialTTRPC(path string) (measure.Client, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return overTTRPC(conn), nil
}

func overTTRPC(conn net.Conn) measure.Client {
	return ttrpcClient{ttrpc.NewClient(conn, options...)}
}

func (c ttrpcClient) Close() { c.Client.Close() }

func (c ttrpcClient) Caller(size, answer int) func(context.Context) error {
	method, request := measure.MethodFor(size, answer), message.New(measure.RequestValue(size, answer))
	return func(ctx context.Context) error {
		response := new(message.Message)
		if err := c.Call(ctx, "bench.Echo", method, request, response); err != nil {
			return err
		}
		return measure.CheckSize(len(response.Value), answer)
	}
}
