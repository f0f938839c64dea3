// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// A ToGRPC passes the calls of ttrpc clients on to a gRPC client. Its methods may be used
// concurrently.
type ToGRPC struct {
	*gate
	conn    grpc.ClientConnInterface
	options []grpc.CallOption
}

// NewToGRPC returns a bridge to conn, which most often is a [grpc.ClientConn], with whatever
// target, balancing and retries it has been given. A negative limit is a mistake of the program
// and panics.
func NewToGRPC(conn grpc.ClientConnInterface, config Config) *ToGRPC {
	b := &ToGRPC{gate: newGate(config), conn: conn}
	b.options = []grpc.CallOption{
		grpc.ForceCodecV2(codec),
		grpc.MaxCallRecvMsgSize(b.limits.Message),
		grpc.MaxCallSendMsgSize(b.limits.Message),
	}
	return b
}

// Counts tells what the bridge has done.
func (b *ToGRPC) Counts() Counts { return b.counts() }

// Handler returns what makes a ttrpc server the front of the bridge:
//
//	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions(), ttrpc.WithUnknownServiceHandler(b.Handler()))
func (b *ToGRPC) Handler() ttrpc.UnknownServiceHandler {
	return func(ctx context.Context, call *ttrpc.UnknownCall, down ttrpc.StreamServer) (answer any, err error) {
		p := b.enter(call.Service, call.Method)
		defer func() { p.end(err) }()
		kind, err := p.begin(ctx)
		if err == nil {
			err = checkShape(kind, call)
		}
		if err != nil {
			return nil, err
		}
		sent, _ := ttrpc.GetMetadata(ctx)
		if err := b.checkMetadata(sent); err != nil {
			return nil, err
		}
		md, err := toGRPC(sent)
		if err != nil {
			return nil, err
		}
		up := &upCall{ToGRPC: b, answer: ctx, down: down, kind: kind, path: "/" + call.Service + "/" + call.Method}
		ctx = metadata.NewOutgoingContext(ctx, md)
		if kind == Unary {
			return up.call(ctx)
		}
		return up.stream(ctx)
	}
}

// checkShape refuses a call that was not made as its method's kind asks for: the caller has
// another description of the method than the bridge.
func checkShape(kind Kind, call *ttrpc.UnknownCall) error {
	if call.Unary == (kind == Unary) && call.StreamingClient == kind.ClientStreams() {
		return nil
	}
	made := "with a stream of requests"
	if call.Unary {
		made = "as a unary one"
	} else if !call.StreamingClient {
		made = "with one request and a stream of answers"
	}
	return status.Errorf(codes.Internal, "ttrpc bridge: method %s/%s is of kind %v, and was called %s", call.Service, call.Method, kind, made)
}

// An upCall is a call on its way to gRPC.
type upCall struct {
	*ToGRPC
	answer context.Context // the handler's, to which metadata of the answer goes
	down   ttrpc.StreamServer
	kind   Kind
	path   string
}

// call passes on a unary call.
func (u *upCall) call(ctx context.Context) (any, error) {
	request, err := u.receiveOne()
	if err != nil {
		return nil, err
	}
	ctx, cancel := u.bound(ctx)
	defer cancel()
	var header, trailer metadata.MD
	response := &message{kept: true}
	err = u.conn.Invoke(ctx, u.path, request, response, append([]grpc.CallOption{grpc.Header(&header), grpc.Trailer(&trailer)}, u.options...)...)
	err = u.end(trailer, u.begin(header, err))
	if err != nil {
		return nil, err
	}
	u.answers.count(response.Payload)
	return &ttrpc.RawMessage{Payload: response.Payload}, nil
}

// stream passes on a call of which any side streams.
func (u *upCall) stream(ctx context.Context) (any, error) {
	p := newPipe(ctx)
	defer p.close()
	var request *message
	if !u.kind.ClientStreams() {
		var err error
		if request, err = u.receiveOne(); err != nil {
			return nil, err
		}
	}
	desc := &grpc.StreamDesc{ClientStreams: u.kind.ClientStreams(), ServerStreams: u.kind.ServerStreams()}
	up, err := u.conn.NewStream(p, desc, u.path, u.options...)
	if err != nil {
		return nil, asStatus(err)
	}
	if u.kind.ClientStreams() {
		go u.send(p, up)
	} else if err := sendOne(up, request); err != nil {
		p.fail(err)
	}
	last, err := u.receive(up)
	return last, u.end(up.Trailer(), p.err(err))
}

// receiveOne receives the only request of a call.
func (u *upCall) receiveOne() (*message, error) {
	m := new(message)
	if err := u.down.RecvMsg(&m.RawMessage); err == io.EOF {
		return nil, status.Error(codes.Internal, "cardinality violation: received no request message from non-client-streaming RPC")
	} else if err != nil {
		return nil, asStatus(err)
	}
	u.requests.count(m.Payload)
	return m, nil
}

// sendOne sends the only request.
func sendOne(up grpc.ClientStream, request *message) error {
	if err := up.SendMsg(request); err != nil && err != io.EOF {
		return err
	}
	return up.CloseSend()
}

// send passes on what the client streams. It ends with the call.
func (u *upCall) send(p *pipe, up grpc.ClientStream) {
	for p.Err() == nil {
		m := new(message)
		err := u.down.RecvMsg(&m.RawMessage)
		if err == io.EOF {
			err = up.CloseSend()
		} else if err == nil {
			if err = up.SendMsg(m); err == nil {
				u.requests.count(m.Payload)
				continue
			}
		}
		if err != nil && err != io.EOF { // the end of up is receive's to tell
			p.fail(err)
		}
		return
	}
}

// receive passes on what the server answers, but for the last message of one that does not
// stream, which it returns.
func (u *upCall) receive(up grpc.ClientStream) (any, error) {
	header, err := up.Header()
	if err := u.begin(header, err); err != nil {
		return nil, err
	}
	for {
		m := &message{kept: !u.kind.ServerStreams()}
		if err := up.RecvMsg(m); err == io.EOF {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		u.answers.count(m.Payload)
		if !u.kind.ServerStreams() {
			return &ttrpc.RawMessage{Payload: m.Payload}, nil
		}
		err := u.down.SendMsg(&m.RawMessage)
		m.free()
		if err != nil {
			return nil, err
		}
	}
}

// begin passes on the header. err is how the call has failed, or nil.
func (u *upCall) begin(header metadata.MD, err error) error {
	sent, failed := toTTRPC(header)
	if failed == nil && len(sent) > 0 {
		set := ttrpc.SetHeader
		if u.kind != Unary {
			set = ttrpc.SendHeader
		}
		failed = set(u.answer, sent)
	}
	return firstOf(err, failed)
}

// end passes on the trailer, and returns how the call ends.
func (u *upCall) end(trailer metadata.MD, err error) error {
	sent, failed := toTTRPC(trailer)
	if failed == nil && len(sent) > 0 {
		failed = ttrpc.SetTrailer(u.answer, sent)
	}
	return firstOf(err, failed)
}

// firstOf returns how a call ends that has failed with err, or that has succeeded and whose
// metadata has failed to pass. That a connection carries none is no failure.
func firstOf(err, metadata error) error {
	if err == nil && metadata != nil && !errors.Is(metadata, ttrpc.ErrNoResponseMetadata) {
		err = status.Errorf(codes.Internal, "ttrpc bridge: the metadata of the answer does not pass: %s", statusOf(metadata).Message())
	}
	return asStatus(err)
}
