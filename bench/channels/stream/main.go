// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Stream is ttrpc in extended mode without libchan, with the same work for the codec: a call
// is a unary one, and a stream is one of ttrpc's.
package main

import (
	"context"
	"io"
	"log"
	"net"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/libchan"

	"github.com/containerd/ttrpc/bench/channels/blob"
	"github.com/containerd/ttrpc/bench/measure"
)

func main() { measure.Main(measure.System{Serve: serve, Dial: dial}) }

func encode(v any) (*ttrpc.RawMessage, error) {
	b, err := libchan.Msgpack.Marshal(make([]byte, 0, 64), v, nil)
	return &ttrpc.RawMessage{Payload: b}, err
}

func decode(m *ttrpc.RawMessage, v any) error { return libchan.Msgpack.Unmarshal(m.Payload, v, nil) }

func serve(l net.Listener) {
	s, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	measure.Must(err)
	unary := func(method string) ttrpc.Method {
		return func(_ context.Context, unmarshal func(any) error) (any, error) {
			var raw ttrpc.RawMessage
			var m blob.Blob
			if err := unmarshal(&raw); err != nil {
				return nil, err
			}
			if err := decode(&raw, &m); err != nil {
				return nil, err
			}
			return encode(blob.Answer(method, m))
		}
	}
	s.RegisterService("bench.Channels", &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{"Echo": unary("Echo"), "Get": unary("Get")},
		Streams: map[string]ttrpc.Stream{"Stream": {
			StreamingClient: true, StreamingServer: true,
			Handler: func(_ context.Context, s ttrpc.StreamServer) (any, error) {
				var b blob.Begin
				if err := receive(s, &b); err != nil {
					return nil, err
				}
				return nil, b.Serve(
					func(m *blob.Blob) error { return receive(s, m) },
					func(m *blob.Blob) error { return send(s, m) },
					func(err error) bool { return err == io.EOF })
			},
		}},
	})
	log.Fatal(s.Serve(context.Background(), l))
}

// A messages is an end of a stream.
type messages interface {
	SendMsg(any) error
	RecvMsg(any) error
}

func send(s messages, v any) error {
	raw, err := encode(v)
	if err != nil {
		return err
	}
	return s.SendMsg(raw)
}

func receive(s messages, v any) error {
	var raw ttrpc.RawMessage
	if err := s.RecvMsg(&raw); err != nil {
		return err
	}
	return decode(&raw, v)
}

type client struct{ *ttrpc.Client }

func dial(path string) (measure.Client, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return client{ttrpc.NewClient(conn, ttrpc.WithExtensions())}, nil
}

func (c client) Close() { c.Client.Close() }

func (c client) Caller(size, answer int) func(context.Context) error {
	method, request := measure.MethodFor(size, answer), blob.Request(size, answer)
	return func(ctx context.Context) error {
		raw, err := encode(&request)
		if err != nil {
			return err
		}
		var response ttrpc.RawMessage
		if err := c.Call(ctx, "bench.Channels", method, raw, &response); err != nil {
			return err
		}
		var m blob.Blob
		if err := decode(&response, &m); err != nil {
			return err
		}
		return measure.CheckSize(len(m.Value), answer)
	}
}

func (c client) Stream(ctx context.Context, kind measure.StreamKind, size, count int) (measure.Stream, error) {
	s, err := c.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, "bench.Channels", "Stream", nil)
	if err != nil {
		return nil, err
	}
	return &stream{s, blob.Blob{Value: measure.Content(size)}, kind}, send(s, &blob.Begin{Kind: kind, Size: size, Count: count})
}

type stream struct {
	ttrpc.ClientStream
	message blob.Blob
	kind    measure.StreamKind
}

func (s *stream) Send() error { return send(s, &s.message) }

func (s *stream) Receive() error {
	var m blob.Blob
	if err := receive(s, &m); err != nil {
		return err
	}
	return measure.CheckSize(len(m.Value), len(s.message.Value))
}

func (s *stream) Finish() error {
	if err := s.CloseSend(); err != nil {
		return err
	}
	return measure.EndOf(s.kind, receive(s, new(blob.Blob)))
}
