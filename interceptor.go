// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import "context"

// UnaryServerInfo describes a unary call to an interceptor. It is shared by
// all calls of the method and must not be changed.
type UnaryServerInfo struct {
	FullMethod string // "/package.Service/Method"
	Unknown    bool   // no such method is registered, and FullMethod is whatever the client has sent
}

// UnaryClientInfo describes a unary call to an interceptor.
type UnaryClientInfo struct {
	FullMethod string // "/package.Service/Method"
}

// StreamServerInfo describes a stream to an interceptor. It is shared by all
// streams of the method and must not be changed.
type StreamServerInfo struct {
	FullMethod      string // "/package.Service/Method"
	StreamingClient bool   // the client may send any number of messages
	StreamingServer bool   // the server may send any number of messages
	Unknown         bool   // no such method is registered, and FullMethod is whatever the client has sent
}

// Unmarshaler decodes the request into a message, of any of the kinds that
// the package documentation lists. It may be called more than once, but not
// after the handler has returned.
type Unmarshaler func(any) error

// Invoker sends the request and fills the response. A status that the server
// answered is in the response, not in the error. It may be called more than
// once, for example to try again.
type Invoker func(context.Context, *Request, *Response) error

// Streamer opens the stream that it is told, with the metadata and the
// deadline of the context.
type Streamer func(ctx context.Context, desc *StreamDesc, fullMethod string) (ClientStream, error)

// UnaryServerInterceptor runs around the handlers of unary calls. What it
// returns is the answer; it calls method to run the handler, with the
// Unmarshaler given to it or one of its own.
type UnaryServerInterceptor func(ctx context.Context, unmarshal Unmarshaler, info *UnaryServerInfo, method Method) (any, error)

// UnaryClientInterceptor runs around a client's unary calls. The request's metadata and
// timeout are set from the context before it runs, and are sent as it leaves them. The
// context that it passes on bounds the wait for the answer. The payloads are the messages
// in their encoding.
type UnaryClientInterceptor func(ctx context.Context, req *Request, resp *Response, info *UnaryClientInfo, invoke Invoker) error

// StreamServerInterceptor runs around the handlers of streams. It may pass on
// a StreamServer of its own that wraps the one given to it.
type StreamServerInterceptor func(ctx context.Context, stream StreamServer, info *StreamServerInfo, handler StreamHandler) (any, error)

// StreamClientInterceptor runs when a client opens a stream, and calls open to
// open it. It may return a ClientStream of its own that wraps that one.
type StreamClientInterceptor func(ctx context.Context, desc *StreamDesc, fullMethod string, open Streamer) (ClientStream, error)

// Two interceptors are joined into one, in which the first is outermost. Either may be nil,
// which is none. Options join them, so that programs without interceptors do not link this.

func joinUnaryServer(first, rest UnaryServerInterceptor) UnaryServerInterceptor {
	switch {
	case first == nil:
		return rest
	case rest == nil:
		return first
	}
	return func(ctx context.Context, unmarshal Unmarshaler, info *UnaryServerInfo, method Method) (any, error) {
		return first(ctx, unmarshal, info, func(ctx context.Context, unmarshal func(any) error) (any, error) {
			return rest(ctx, unmarshal, info, method)
		})
	}
}

func joinUnaryClient(first, rest UnaryClientInterceptor) UnaryClientInterceptor {
	switch {
	case first == nil:
		return rest
	case rest == nil:
		return first
	}
	return func(ctx context.Context, req *Request, resp *Response, info *UnaryClientInfo, invoke Invoker) error {
		return first(ctx, req, resp, info, func(ctx context.Context, req *Request, resp *Response) error {
			return rest(ctx, req, resp, info, invoke)
		})
	}
}

func joinStreamServer(first, rest StreamServerInterceptor) StreamServerInterceptor {
	switch {
	case first == nil:
		return rest
	case rest == nil:
		return first
	}
	return func(ctx context.Context, stream StreamServer, info *StreamServerInfo, handler StreamHandler) (any, error) {
		return first(ctx, stream, info, func(ctx context.Context, stream StreamServer) (any, error) {
			return rest(ctx, stream, info, handler)
		})
	}
}

func joinStreamClient(first, rest StreamClientInterceptor) StreamClientInterceptor {
	switch {
	case first == nil:
		return rest
	case rest == nil:
		return first
	}
	return func(ctx context.Context, desc *StreamDesc, fullMethod string, open Streamer) (ClientStream, error) {
		return first(ctx, desc, fullMethod, func(ctx context.Context, desc *StreamDesc, fullMethod string) (ClientStream, error) {
			return rest(ctx, desc, fullMethod, open)
		})
	}
}
