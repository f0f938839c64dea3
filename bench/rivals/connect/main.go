// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Connect is Connect's gRPC protocol over HTTP/2 without TLS.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"

	"connectrpc.com/connect"

	"github.com/containerd/ttrpc/bench/measure"
	"github.com/containerd/ttrpc/bench/rivals/message"
)

func main() { measure.Main(measure.System{Serve: serveConnect, Dial: dialConnect, Lazy: true}) }

func serveConnect(l net.Listener) {
	mux := http.NewServeMux()
	mux.Handle("/bench.Echo/Echo", connect.NewUnaryHandler("/bench.Echo/Echo",
		func(_ context.Context, r *connect.Request[message.Message]) (*connect.Response[message.Message], error) {
			return connect.NewResponse(r.Msg), nil
		}))
	mux.Handle("/bench.Echo/Get", connect.NewUnaryHandler("/bench.Echo/Get",
		func(_ context.Context, r *connect.Request[message.Message]) (*connect.Response[message.Message], error) {
			return connect.NewResponse(message.New(measure.Number(r.Msg.Value))), nil
		}))
	mux.Handle("/bench.Echo/Upload", connect.NewClientStreamHandler("/bench.Echo/Upload",
		func(_ context.Context, s *connect.ClientStream[message.Message]) (*connect.Response[message.Message], error) {
			for s.Receive() {
			}
			return connect.NewResponse(new(message.Message)), s.Err()
		}))
	mux.Handle("/bench.Echo/Download", connect.NewServerStreamHandler("/bench.Echo/Download",
		func(_ context.Context, r *connect.Request[message.Message], s *connect.ServerStream[message.Message]) error {
			for range measure.Number(r.Msg.Value) {
				if err := s.Send(r.Msg); err != nil {
					return err
				}
			}
			return nil
		}))
	mux.Handle("/bench.Echo/Chat", connect.NewBidiStreamHandler("/bench.Echo/Chat",
		func(_ context.Context, s *connect.BidiStream[message.Message, message.Message]) error {
			for {
				m, err := s.Receive()
				if errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if err := s.Send(m); err != nil {
					return err
				}
			}
		}))
	server := &http.Server{
		Handler: mux, Protocols: unencryptedHTTP2(),
		// All callers are to have one connection.
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 20000},
	}
	log.Fatal(server.Serve(l))
}

func unencryptedHTTP2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

type connectClient struct {
	http                              *http.Transport
	echo, get, upload, download, chat *connect.Client[message.Message, message.Message]
}

func dialConnect(path string) (measure.Client, error) {
	transport := &http.Transport{
		Protocols: unencryptedHTTP2(),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}
	method := func(name string) *connect.Client[message.Message, message.Message] {
		return connect.NewClient[message.Message, message.Message](&http.Client{Transport: transport}, "http://unix/bench.Echo/"+name, connect.WithGRPC())
	}
	return &connectClient{transport, method("Echo"), method("Get"), method("Upload"), method("Download"), method("Chat")}, nil
}

func (c *connectClient) Close() { c.http.CloseIdleConnections() }

func (c *connectClient) Caller(size, answer int) func(context.Context) error {
	method, request := c.echo, message.RequestFor(size, answer)
	if measure.MethodFor(size, answer) == "Get" {
		method = c.get
	}
	return func(ctx context.Context) error {
		response, err := method.CallUnary(ctx, connect.NewRequest(request))
		if err != nil {
			return err
		}
		return measure.CheckSize(len(response.Msg.Value), answer)
	}
}

func (c *connectClient) Stream(ctx context.Context, kind measure.StreamKind, size, count int) (measure.Stream, error) {
	m := message.New(size)
	switch kind {
	case measure.Upload:
		return &connectUpload{c.upload.CallClientStream(ctx), m}, nil
	case measure.Download:
		s, err := c.download.CallServerStream(ctx, connect.NewRequest(message.RequestFor(size, count)))
		return &connectDownload{s, size}, err
	}
	return &connectChat{c.chat.CallBidiStream(ctx), m, size}, nil
}

type connectUpload struct {
	s *connect.ClientStreamForClient[message.Message, message.Message]
	m *message.Message
}

func (u *connectUpload) Send() error    { return u.s.Send(u.m) }
func (u *connectUpload) Receive() error { return measure.ErrNoStreams }
func (u *connectUpload) Finish() error  { _, err := u.s.CloseAndReceive(); return err }

type connectDownload struct {
	s    *connect.ServerStreamForClient[message.Message]
	size int
}

func (d *connectDownload) Send() error { return measure.ErrNoStreams }

func (d *connectDownload) Receive() error {
	if !d.s.Receive() {
		return errors.Join(io.ErrUnexpectedEOF, d.s.Err())
	}
	return measure.CheckSize(len(d.s.Msg().Value), d.size)
}

func (d *connectDownload) Finish() error {
	if d.s.Receive() {
		return errors.New("a message after the last")
	}
	return errors.Join(d.s.Err(), d.s.Close())
}

type connectChat struct {
	s    *connect.BidiStreamForClient[message.Message, message.Message]
	m    *message.Message
	size int
}

func (c *connectChat) Send() error { return c.s.Send(c.m) }

func (c *connectChat) Receive() error {
	m, err := c.s.Receive()
	if err != nil {
		return err
	}
	return measure.CheckSize(len(m.Value), c.size)
}

func (c *connectChat) Finish() error {
	if err := c.s.CloseRequest(); err != nil {
		return err
	}
	_, err := c.s.Receive()
	return measure.EndOf(measure.Chat, errors.Join(err, c.s.CloseResponse()))
}
