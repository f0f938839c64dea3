// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package proxy is a proxy for ttrpc that knows none of the services that it passes on.
// A server made with it serves its own services and passes on all other calls:
//
//	server, err := ttrpc.NewServer(ttrpc.WithUnknownServiceHandler(proxy.To(upstream)))
package proxy

import (
	"context"
	"io"

	"github.com/containerd/ttrpc"
)

// To returns a handler that passes calls on to upstream, with their metadata and
// deadlines, and passes back what comes of them. It copies no large message.
func To(upstream *ttrpc.Client) ttrpc.UnknownServiceHandler {
	return func(ctx context.Context, call *ttrpc.UnknownCall, down ttrpc.StreamServer) (any, error) {
		if call.StreamingClient {
			up, err := upstream.NewStream(ctx, call.StreamDesc(), call.Service, call.Method, nil)
			if err != nil {
				return nil, err
			}
			go send(up, down)
			return receive(up, down)
		}
		request, answer := new(ttrpc.RawMessage), new(ttrpc.RawMessage)
		if err := down.RecvMsg(request); err != nil {
			return nil, err
		}
		if call.Unary {
			return answer, upstream.Call(ctx, call.Service, call.Method, request, answer)
		}
		up, err := upstream.NewStream(ctx, call.StreamDesc(), call.Service, call.Method, request)
		if err != nil {
			return nil, err
		}
		return receive(up, down)
	}
}

// send passes on what the client streams. It ends when the handler has returned, for then
// both streams have ended.
func send(up ttrpc.ClientStream, down ttrpc.StreamServer) {
	for {
		m := new(ttrpc.RawMessage)
		switch err := down.RecvMsg(m); {
		case err == io.EOF:
			up.CloseSend()
			return
		case err != nil || up.SendMsg(m) != nil:
			return
		}
	}
}

// receive passes on what the server sends, and returns how it ends the stream.
func receive(up ttrpc.ClientStream, down ttrpc.StreamServer) (any, error) {
	for {
		m := new(ttrpc.RawMessage)
		switch err := up.RecvMsg(m); {
		case err == io.EOF:
			return nil, nil
		case err != nil:
			return nil, err
		case m.EndsStream:
			return m, nil
		}
		if err := down.SendMsg(m); err != nil {
			return nil, err
		}
	}
}
