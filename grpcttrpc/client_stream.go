// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/internal/meta"
)

// A clientStream is a stream as gRPC's stubs see it. It implements [grpc.ClientStream].
//
// A client that does not stream sends its only message with ttrpc's request, so there is a
// stream of ttrpc's only then.
type clientStream struct {
	*clientCall
	client, server bool // who streams
	cancel         context.CancelFunc
	opened         chan struct{}      // closed once stream is set
	stream         ttrpc.ClientStream // nil if it could not be opened

	sentLast  bool // the sender's
	gotHeader bool // the receiver's
}

// newStream opens a stream behind the interceptors.
func (c *clientConn) newStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts []grpc.CallOption) (grpc.ClientStream, error) {
	if desc == nil {
		return nil, status.Error(codes.Internal, "grpcttrpc: the description of the stream is nil")
	}
	call, err := c.begin(ctx, method, opts, desc.ClientStreams, desc.ServerStreams)
	if err != nil {
		return nil, err
	}
	s := &clientStream{clientCall: call, client: desc.ClientStreams, server: desc.ServerStreams, opened: make(chan struct{})}
	s.sendCtx, s.cancel = context.WithCancel(call.sendCtx)
	s.sendCtx, s.answer = ttrpc.WithResponseMetadata(s.sendCtx)
	if s.client {
		if err := s.open(nil); err != nil {
			return nil, err
		}
	}
	if len(s.onFinish) > 0 || len(c.stats) > 0 {
		go s.watch()
	}
	return s, nil
}

// watch ends the stream when its context ends or the client is closed, though nobody receives.
func (s *clientStream) watch() {
	done := s.sendCtx.Done()
	select {
	case <-done:
	case <-s.conn.client.Done():
		if s.conn.client.Cause() == ttrpc.ErrClosed {
			s.end(s.failure(ttrpc.ErrClosed))
		}
		<-done // what had come before may still be received
	}
	s.end(s.failure(s.sendCtx.Err()))
}

// open opens ttrpc's stream; a client that does not stream gives its message.
func (s *clientStream) open(msg any) (err error) {
	defer close(s.opened)
	s.attached.Store(true)
	if !s.client && !s.server {
		s.stream = s.callAsStream(msg)
		return nil
	}
	desc := &ttrpc.StreamDesc{StreamingClient: s.client, StreamingServer: s.server}
	s.stream, err = s.conn.client.NewStream(s.sendCtx, desc, s.service, s.name, msg)
	if err != nil {
		s.stream = nil
		return s.end(s.failure(err))
	}
	return nil
}

// awaitOpen waits until there is a stream of ttrpc's, and tells whether there was one before the
// context has ended.
func (s *clientStream) awaitOpen() bool {
	select {
	case <-s.opened:
		return true
	default:
	}
	select {
	case <-s.opened:
		return true
	case <-s.sendCtx.Done():
		return false
	}
}

// end is finish. Nothing more is sent or received.
func (s *clientStream) end(err error) error {
	s.finish(err)
	s.cancel()
	return err
}

// Context implements [grpc.ClientStream].
func (s *clientStream) Context() context.Context { return s.ctx }

// Header implements [grpc.ClientStream].
func (s *clientStream) Header() (metadata.MD, error) {
	if !s.awaitOpen() {
		return nil, nil // RecvMsg tells why
	}
	got, err := s.answer.Header(s.sendCtx)
	switch {
	case errors.Is(err, ttrpc.ErrNoResponseMetadata):
		return nil, noAnswers("Header of a stream")
	case err != nil:
		return nil, nil
	}
	header, err := meta.Incoming(got)
	if err != nil {
		return nil, s.end(err)
	}
	if len(header) > 0 {
		s.tellInHeader(header)
	}
	return header, nil
}

// Trailer implements [grpc.ClientStream].
func (s *clientStream) Trailer() metadata.MD {
	trailer, _ := s.trailer()
	return trailer
}

// SendMsg implements [grpc.ClientStream].
func (s *clientStream) SendMsg(m any) error {
	if s.sentLast {
		return s.end(status.Error(codes.Internal, "SendMsg called after CloseSend"))
	}
	s.sentLast = !s.client
	msg, err := s.outgoing(m)
	switch {
	case err != nil:
		return s.end(err)
	case !s.client:
		if err = s.open(msg); err != nil {
			return err
		}
	case s.ended.Load() != nil:
		return io.EOF
	default:
		err = s.stream.SendMsg(msg)
	}
	switch {
	case err == nil:
		s.tellOutPayload(m, msg)
		return nil
	case err == io.EOF || isOfStream(err):
		return io.EOF // RecvMsg tells how it has ended
	}
	return s.end(s.failure(err))
}

// isOfStream tells whether an error of SendMsg is that of the stream, and not of the message.
func isOfStream(err error) bool {
	return isAnswer(err) || errors.Is(err, ttrpc.ErrClosed) || errors.Is(err, context.Canceled) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ttrpc.ErrNotExecuted) || errors.Is(err, ttrpc.ErrStreamFull)
}

// CloseSend implements [grpc.ClientStream].
func (s *clientStream) CloseSend() error {
	switch {
	case s.sentLast:
	case s.client:
		s.stream.CloseSend() // RecvMsg tells what is wrong
	default:
		s.end(status.Error(codes.Internal, "cardinality violation: received no request message from non-client-streaming RPC"))
		close(s.opened)
	}
	s.sentLast = true
	return nil
}

// RecvMsg implements [grpc.ClientStream].
func (s *clientStream) RecvMsg(m any) error {
	opened := s.awaitOpen()
	if end := s.ended.Load(); end != nil {
		if end.err == nil {
			return io.EOF
		}
		return end.err
	}
	if !opened {
		return s.end(s.failure(s.sendCtx.Err()))
	}
	if err := s.receive(m); err != nil {
		return s.end(err)
	}
	if !s.server {
		return s.endAnswered()
	}
	return nil
}

// receive receives a message. Its errors end the stream.
func (s *clientStream) receive(m any) error {
	if err := checkReply(m); err != nil {
		return err
	}
	raw, into := (*ttrpc.RawMessage)(nil), m
	if s.encodes() || !s.client && !s.server {
		raw = new(ttrpc.RawMessage)
		into = raw
	}
	err := s.stream.RecvMsg(into)
	if err != nil || !s.server {
		err = s.told(err)
	}
	if err != nil || !s.gotHeader {
		s.gotHeader = true
		outcome := err
		if outcome == io.EOF {
			outcome = nil
		}
		if bad := s.checkMetadata(err != nil, outcome); bad != nil {
			return bad
		}
	}
	if err != nil || raw == nil {
		return err
	}
	return s.incoming(raw, m)
}

// endAnswered ends a stream whose server does not stream, and has answered.
func (s *clientStream) endAnswered() error {
	return s.end(s.checkMetadata(true, nil))
}
