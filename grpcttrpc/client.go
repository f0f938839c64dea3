// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/internal/meta"
)

// A clientConn makes gRPC's calls on a ttrpc client.
type clientConn struct {
	client *ttrpc.Client
	clientConfig

	codec   codec       // of calls without one of their own; nil if messages are ttrpc's to encode
	plain   bool        // there is nothing to do for a call but to make it
	carries atomic.Bool // answers have metadata, as far as is known
}

// clientConfig is what the options of a client set.
type clientConfig struct {
	defaults []grpc.CallOption
	creds    []credentials.PerRPCCredentials
	stats    statsHandlers
	unary    []grpc.UnaryClientInterceptor
	stream   []grpc.StreamClientInterceptor
}

// NewClientConn returns what the constructors take that protoc-gen-go-grpc generates. The
// calls are made on client, which stays the caller's: Close of the client ends them, with
// the code Canceled. It may be any client: one of [ttrpc.NewClient] or [ttrpc.Dial], or that of
// a peer, see [ttrpc.PeerClient].
//
// Metadata is that of gRPC's outgoing context. What [ttrpc.WithMetadata] has attached, and what
// has come to the handler of a ttrpc call whose context it is, is not sent.
//
// On a connection that is not in extended mode answers have no header and no trailer. A call with
// the option [grpc.Header] or [grpc.Trailer] then fails with Unimplemented, with nothing sent, and
// so does Header of a stream; Trailer of a stream is empty.
//
// It panics if the client or an option is nil.
func NewClientConn(client *ttrpc.Client, opts ...ClientOption) grpc.ClientConnInterface {
	if client == nil {
		panic("grpcttrpc: NewClientConn was given no client")
	}
	c := &clientConn{client: client, codec: replacedCodec()}
	for i, opt := range opts {
		if opt == nil {
			panic(fmt.Sprintf("grpcttrpc: option %d of NewClientConn is nil", i))
		}
		opt(&c.clientConfig)
	}
	c.plain = len(c.creds) == 0 && len(c.stats) == 0 && c.codec == nil
	return c
}

// Invoke implements [grpc.ClientConnInterface].
func (c *clientConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	opts = joinOptions(c.defaults, opts)
	if len(c.unary) > 0 {
		return c.invokeFrom(0)(ctx, method, args, reply, closedConn(), opts...)
	}
	return c.invoke(ctx, method, args, reply, opts)
}

// closedConn returns what interceptors are given in place of a connection of gRPC's, so that one
// that asks for its target, say, does not panic.
var closedConn = sync.OnceValue(func() *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///ttrpc", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err) // the target and the options are those above
	}
	conn.Close()
	return conn
})

// invokeFrom returns who invokes the interceptors that follow the first i.
func (c *clientConn) invokeFrom(i int) grpc.UnaryInvoker {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, opts ...grpc.CallOption) error {
		if i == len(c.unary) {
			return c.invoke(ctx, method, req, reply, opts)
		}
		return c.unary[i](ctx, method, req, reply, cc, c.invokeFrom(i+1), opts...)
	}
}

// NewStream implements [grpc.ClientConnInterface].
func (c *clientConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	opts = joinOptions(c.defaults, opts)
	if len(c.stream) > 0 {
		return c.streamFrom(0)(ctx, desc, closedConn(), method, opts...)
	}
	return c.newStream(ctx, desc, method, opts)
}

// streamFrom is invokeFrom for streams.
func (c *clientConn) streamFrom(i int) grpc.Streamer {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		if i == len(c.stream) {
			return c.newStream(ctx, desc, method, opts)
		}
		return c.stream[i](ctx, desc, cc, method, c.streamFrom(i+1), opts...)
	}
}

// joinOptions returns a, then b, and changes neither.
func joinOptions(a, b []grpc.CallOption) []grpc.CallOption {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	return append(a[:len(a):len(a)], b...)
}

// invoke makes a unary call behind the interceptors.
func (c *clientConn) invoke(ctx context.Context, method string, args, reply any, opts []grpc.CallOption) error {
	if !c.plain || !noOptions(opts) {
		return c.invokeWith(ctx, method, args, reply, opts)
	}
	service, name, err := splitMethod(method)
	if err == nil {
		ctx, err = outgoing(ctx)
	}
	if err == nil {
		err = checkReply(reply)
	}
	if err != nil {
		return err
	}
	if args == nil {
		args = new(ttrpc.RawMessage)
	}
	if err := c.client.Call(ctx, service, name, args, reply); err != nil {
		return failure(c.client, err)
	}
	return nil
}

// noOptions tells whether the options ask for nothing.
func noOptions(opts []grpc.CallOption) bool {
	for _, o := range opts {
		switch o.(type) {
		case grpc.StaticMethodCallOption, grpc.EmptyCallOption:
		default:
			return false
		}
	}
	return true
}

// splitMethod splits "/service/method". The error is a server's of grpc-go.
func splitMethod(full string) (service, method string, err error) {
	i := strings.LastIndexByte(full, '/')
	if i < 1 || full[0] != '/' {
		return "", "", status.Errorf(codes.Unimplemented, "malformed method name: %q", full)
	}
	return full[1:i], full[i+1:], nil
}

// checkReply refuses to decode into nothing.
func checkReply(reply any) error {
	if v := reflect.ValueOf(reply); reply == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return status.Errorf(codes.Internal, "grpc: failed to unmarshal the received message: the message to decode into is a nil %T", reply)
	}
	return nil
}

// outgoing returns the context with which ttrpc sends the metadata that gRPC sends with ctx.
func outgoing(ctx context.Context) (context.Context, error) {
	md, _ := metadata.FromOutgoingContext(ctx)
	sent, err := meta.Outgoing(md)
	if err != nil {
		return nil, err
	}
	return carrying(ctx, sent), nil
}

// carrying returns a context with which ttrpc sends the metadata and no other.
func carrying(ctx context.Context, sent ttrpc.MD) context.Context {
	if _, others := ttrpc.GetMetadata(ctx); !others && len(sent) == 0 {
		return ctx
	}
	return ttrpc.WithMetadata(ctx, sent)
}
