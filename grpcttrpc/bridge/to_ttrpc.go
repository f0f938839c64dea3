// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"io"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // as gRPC clients may compress
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// A ToTTRPC passes the calls of gRPC clients on to a ttrpc client. Its methods may be used
// concurrently.
type ToTTRPC struct {
	*gate
	client *ttrpc.Client
	health *health
}

// NewToTTRPC returns a bridge to client, whose errors should be statuses: a client made by
// [ttrpc.Dial] does that, and reconnects; with FailFast of its [ttrpc.Dialer] a call fails
// with Unavailable if nobody is there, and without it waits until its deadline. A negative
// limit is a mistake of the program and panics.
func NewToTTRPC(client *ttrpc.Client, config Config) *ToTTRPC {
	b := &ToTTRPC{gate: newGate(config), client: client}
	b.health = newHealth(b)
	return b
}

// NewServer returns a gRPC server that passes on all calls of services that are not
// registered with it. It has the bridge's limits, serves health ([HealthService]), and, if any
// of Config.Methods has descriptions, reflection. With opts come credentials, keep-alive and
// interceptors; those of streams see the calls that are passed on, and are the place where to
// ask who calls. Neither another codec nor another handler of unknown services may be among
// opts.
func (b *ToTTRPC) NewServer(opts ...grpc.ServerOption) *grpc.Server {
	server := grpc.NewServer(append([]grpc.ServerOption{
		grpc.ForceServerCodecV2(codec),
		grpc.UnknownServiceHandler(b.handle),
		grpc.MaxRecvMsgSize(b.limits.Message),
		grpc.MaxHeaderListSize(uint32(b.limits.Metadata)),
	}, opts...)...)
	b.health.register(server)
	registerReflection(server, b.methods)
	return server
}

// Counts tells what the bridge has done.
func (b *ToTTRPC) Counts() Counts { return b.counts() }

// Drain has the bridge say that it is not serving, so that no more calls are sent to it.
// Those that come are passed on as ever. The server's GracefulStop is to follow.
func (b *ToTTRPC) Drain() { b.health.drain() }

// handle passes on one call.
func (b *ToTTRPC) handle(_ any, down grpc.ServerStream) (err error) {
	path, _ := grpc.MethodFromServerStream(down)
	service, method, _ := cutPath(path)
	p := b.enter(service, method)
	defer func() { p.end(err) }()
	kind, err := p.begin(down.Context())
	if err != nil {
		return err
	}
	incoming, _ := metadata.FromIncomingContext(down.Context())
	if err := checkContentType(incoming); err != nil {
		return err
	}
	md, err := toTTRPC(incoming)
	if err != nil {
		return err
	}
	ctx := down.Context()
	if len(md) > 0 {
		ctx = ttrpc.WithMetadata(ctx, md)
	}
	if kind == Unary {
		return b.call(ctx, down, service, method)
	}
	return b.stream(ctx, down, kind, service, method)
}

// cutPath cuts "/package.Service/Method" in two.
func cutPath(path string) (service, method string, ok bool) {
	path = strings.TrimPrefix(path, "/")
	at := strings.LastIndexByte(path, '/')
	if at < 0 {
		return "", path, false
	}
	return path[:at], path[at+1:], true
}

// checkContentType refuses messages that are not protobuf.
func checkContentType(md metadata.MD) error {
	for _, contentType := range md["content-type"] {
		subtype, _, _ := strings.Cut(strings.TrimPrefix(strings.ToLower(contentType), "application/grpc"), ";")
		if subtype != "" && subtype != "+proto" {
			return status.Errorf(codes.Unimplemented, "ttrpc bridge: messages of content-type %q do not pass, only protobuf", contentType)
		}
	}
	return nil
}

// receiveOne receives the only request of a call.
func (b *ToTTRPC) receiveOne(down grpc.ServerStream) (*message, error) {
	m := new(message)
	if err := down.RecvMsg(m); err == io.EOF {
		return nil, status.Error(codes.Internal, "cardinality violation: received no request message from non-client-streaming RPC")
	} else if err != nil {
		return nil, err
	}
	if err := down.RecvMsg(new(message)); err == nil {
		return nil, status.Error(codes.Internal, "cardinality violation: received multiple request messages for non-client-streaming RPC")
	} else if err != io.EOF {
		return nil, err
	}
	b.requests.count(m.Payload)
	return m, nil
}

// call passes on a unary call.
func (b *ToTTRPC) call(ctx context.Context, down grpc.ServerStream, service, method string) error {
	m, err := b.receiveOne(down)
	if err != nil {
		return err
	}
	defer m.free()
	ctx, cancel := b.bound(ctx)
	defer cancel()
	ctx, described := ttrpc.WithResponseMetadata(ctx)
	answer := answerOf(ctx, down, described)
	response := new(message)
	if err = b.client.Call(ctx, service, method, &m.RawMessage, &response.RawMessage); err == nil {
		err = b.checkMessage(response.Payload)
	}
	if err := answer.end(err, true); err != nil {
		return err
	}
	if err := b.checkMessage(response.Payload); err != nil {
		return err
	}
	b.answers.count(response.Payload)
	return down.SendMsg(response)
}

// stream passes on a call of which any side streams.
func (b *ToTTRPC) stream(ctx context.Context, down grpc.ServerStream, kind Kind, service, method string) error {
	var request any
	if !kind.ClientStreams() {
		m, err := b.receiveOne(down)
		if err != nil {
			return err
		}
		defer m.free()
		request = &m.RawMessage
	}
	ctx, described := ttrpc.WithResponseMetadata(ctx)
	p := newPipe(ctx)
	defer p.close()
	desc := &ttrpc.StreamDesc{StreamingClient: kind.ClientStreams(), StreamingServer: kind.ServerStreams()}
	up, err := b.client.NewStream(p, desc, service, method, request)
	if err != nil {
		return asStatus(err)
	}
	if kind.ClientStreams() {
		go b.send(p, up, down)
	}
	answer := answerOf(p, down, described)
	go answer.sendEarly()
	err = b.receive(up, down, kind, answer)
	return answer.end(p.err(err), false)
}

// send passes on what the client streams. It ends with the call: then nothing is received any
// more.
func (b *ToTTRPC) send(p *pipe, up ttrpc.ClientStream, down grpc.ServerStream) {
	m := new(message)
	defer m.free()
	for {
		err := down.RecvMsg(m)
		if err == io.EOF {
			err = up.CloseSend()
		} else if err == nil {
			if err = up.SendMsg(&m.RawMessage); err == nil {
				b.requests.count(m.Payload)
				continue
			}
		}
		if err != nil && err != io.EOF { // the end of up is receive's to tell
			p.fail(err)
		}
		return
	}
}

// receive passes on what the server answers, until it has ended the stream.
func (b *ToTTRPC) receive(up ttrpc.ClientStream, down grpc.ServerStream, kind Kind, answer *answer) error {
	answered := false
	for {
		m := new(message)
		err := up.RecvMsg(&m.RawMessage)
		switch {
		case err == io.EOF && !answered && !kind.ServerStreams():
			return status.Error(codes.Internal, "cardinality violation: received no response message from non-server-streaming RPC")
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case m.EndsStream && kind.ServerStreams() && len(m.Payload) == 0:
			return nil // success, and no message
		}
		if err := b.checkMessage(m.Payload); err != nil {
			return err
		}
		answered = true
		if err := b.checkMessage(m.Payload); err != nil {
			return err
		}
		if err := answer.begin(false); err != nil {
			return err
		}
		b.answers.count(m.Payload)
		if err := down.SendMsg(m); err != nil {
			return err
		}
	}
}

// An answer passes on the metadata of an answer.
type answer struct {
	ctx       context.Context
	down      grpc.ServerStream
	described *ttrpc.ResponseMetadata

	begun sync.Once
	err   error // of begun
}

func answerOf(ctx context.Context, down grpc.ServerStream, described *ttrpc.ResponseMetadata) *answer {
	return &answer{ctx: ctx, down: down, described: described}
}

// sendEarly sends a header that comes without a message.
func (a *answer) sendEarly() {
	if md, _ := a.described.Header(a.ctx); len(md) > 0 {
		_ = a.begin(true) // the error is told to who begins the next time
	}
}

// begin passes on the header, if there is one, once: now or with the next message or the end.
func (a *answer) begin(now bool) error {
	a.begun.Do(func() {
		sent, err := a.described.Header(a.ctx)
		if err != nil || len(sent) == 0 {
			return // there is none, or nobody to tell
		}
		md, err := toGRPC(sent)
		if err == nil && now {
			err = a.down.SendHeader(md)
		} else if err == nil {
			err = a.down.SetHeader(md)
		}
		a.err = err
	})
	return a.err
}

// end passes on what was not passed on yet, of an answer that ends with err, and returns how
// it ends.
func (a *answer) end(err error, unary bool) error {
	if failed := a.begin(false); failed != nil && err == nil {
		err = failed
	}
	if sent := a.described.Trailer(); len(sent) > 0 {
		md, failed := toGRPC(sent)
		if failed != nil && err == nil {
			err = failed
		}
		a.down.SetTrailer(md)
	}
	return asStatus(err)
}
