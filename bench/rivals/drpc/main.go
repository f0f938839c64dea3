// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Drpc is Storj's DRPC.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"

	"storj.io/drpc"
	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcmanager"
	"storj.io/drpc/drpcmux"
	"storj.io/drpc/drpcserver"
	"storj.io/drpc/drpcstream"
	"storj.io/drpc/drpcwire"

	"github.com/containerd/ttrpc/bench/measure"
	"github.com/containerd/ttrpc/bench/rivals/encoding"
	"github.com/containerd/ttrpc/bench/rivals/message"
)

func main() { measure.Main(measure.System{Serve: serveDRPC, Dial: dialDRPC, OneStream: true}) }

// drpcOptions allow messages that are larger than usual.
var drpcOptions = drpcmanager.Options{
	Reader: drpcwire.ReaderOptions{MaximumBufferSize: 16 << 20},
	Stream: drpcstream.Options{MaximumBufferSize: 0},
}

// drpcMethods is the service. A handler's type tells drpc what kind it is.
type drpcMethods struct{}

// The kinds of handlers.
type (
	drpcEcho   struct{}
	drpcServer interface{ drpc.Stream }
)

func (drpcMethods) NumMethods() int { return 5 }

func (drpcMethods) Method(n int) (string, drpc.Encoding, drpc.Receiver, any, bool) {
	switch n {
	case 0:
		return "/bench.Echo/Echo", encoding.Protobuf{}, func(_ any, _ context.Context, request, _ any) (drpc.Message, error) {
			return request.(*message.Message), nil
		}, func(drpcEcho, context.Context, *message.Message) (*message.Message, error) { return nil, nil }, true
	case 1:
		return "/bench.Echo/Upload", encoding.Protobuf{}, func(_ any, _ context.Context, s, _ any) (drpc.Message, error) {
			return nil, drpcUpload(s.(drpc.Stream))
		}, func(drpcEcho, drpcServer) error { return nil }, true
	case 2:
		return "/bench.Echo/Download", encoding.Protobuf{}, func(_ any, _ context.Context, request, s any) (drpc.Message, error) {
			return nil, drpcDownload(request.(*message.Message), s.(drpc.Stream))
		}, func(drpcEcho, *message.Message, drpcServer) error { return nil }, true
	case 3:
		return "/bench.Echo/Chat", encoding.Protobuf{}, func(_ any, _ context.Context, s, _ any) (drpc.Message, error) {
			return nil, drpcChat(s.(drpc.Stream))
		}, func(drpcEcho, drpcServer) error { return nil }, true
	case 4:
		return "/bench.Echo/Get", encoding.Protobuf{}, func(_ any, _ context.Context, request, _ any) (drpc.Message, error) {
			return message.New(measure.Number(request.(*message.Message).Value)), nil
		}, func(drpcEcho, context.Context, *message.Message) (*message.Message, error) { return nil, nil }, true
	}
	return "", nil, nil, nil, false
}

func drpcUpload(s drpc.Stream) error {
	for {
		m := new(message.Message)
		if err := s.MsgRecv(m, encoding.Protobuf{}); errors.Is(err, io.EOF) {
			return s.MsgSend(m, encoding.Protobuf{})
		} else if err != nil {
			return err
		}
	}
}

func drpcDownload(m *message.Message, s drpc.Stream) error {
	for range measure.Number(m.Value) {
		if err := s.MsgSend(m, encoding.Protobuf{}); err != nil {
			return err
		}
	}
	return s.CloseSend()
}

func drpcChat(s drpc.Stream) error {
	for {
		m := new(message.Message)
		if err := s.MsgRecv(m, encoding.Protobuf{}); errors.Is(err, io.EOF) {
			return s.CloseSend()
		} else if err != nil {
			return err
		}
		if err := s.MsgSend(m, encoding.Protobuf{}); err != nil {
			return err
		}
	}
}

func serveDRPC(l net.Listener) {
	mux := drpcmux.New()
	if err := mux.Register(drpcEcho{}, drpcMethods{}); err != nil {
		log.Fatal(err)
	}
	log.Fatal(drpcserver.NewWithOptions(mux, drpcserver.Options{Manager: drpcOptions}).Serve(context.Background(), l))
}

type drpcClient struct{ *drpcconn.Conn }

func dialDRPC(path string) (measure.Client, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return drpcClient{drpcconn.NewWithOptions(conn, drpcconn.Options{Manager: drpcOptions})}, nil
}

func (c drpcClient) Close() { c.Conn.Close() }

func (c drpcClient) Caller(size, answer int) func(context.Context) error {
	method, request := measure.MethodFor(size, answer), message.RequestFor(size, answer)
	return func(ctx context.Context) error {
		response := new(message.Message)
		if err := c.Invoke(ctx, "/bench.Echo/"+method, encoding.Protobuf{}, request, response); err != nil {
			return err
		}
		return measure.CheckSize(len(response.Value), answer)
	}
}

func (c drpcClient) Stream(ctx context.Context, kind measure.StreamKind, size, count int) (measure.Stream, error) {
	s, err := c.NewStream(ctx, "/bench.Echo/"+measure.StreamNames[kind], encoding.Protobuf{})
	if err != nil {
		return nil, err
	}
	if kind == measure.Download {
		if err := errors.Join(s.MsgSend(message.RequestFor(size, count), encoding.Protobuf{}), s.CloseSend()); err != nil {
			return nil, err
		}
	}
	return &drpcStream{s, message.New(size), size, kind}, nil
}

type drpcStream struct {
	drpc.Stream
	message *message.Message
	size    int
	kind    measure.StreamKind
}

func (s *drpcStream) Send() error { return s.MsgSend(s.message, encoding.Protobuf{}) }

func (s *drpcStream) Receive() error {
	m := new(message.Message)
	if err := s.MsgRecv(m, encoding.Protobuf{}); err != nil {
		return err
	}
	return measure.CheckSize(len(m.Value), s.size)
}

func (s *drpcStream) Finish() error {
	if s.kind != measure.Download {
		if err := s.CloseSend(); err != nil {
			return err
		}
	}
	return errors.Join(measure.EndOf(s.kind, s.MsgRecv(new(message.Message), encoding.Protobuf{})), s.Close())
}
