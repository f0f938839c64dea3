// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcotel

import (
	"context"
	"errors"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/methods"
)

// callUnary is a [ttrpc.UnaryClientInterceptor].
func (s *spans) callUnary(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, info *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
	if !s.takes(info.FullMethod) {
		return invoke(ctx, req, resp)
	}
	peer := s.server.get()
	ctx, span := s.start(ctx, s.methods.Find(info.FullMethod, false), info.FullMethod, peer)
	returned := false
	defer span.endIfPanicking(&returned)
	s.propagators.Inject(ctx, requestCarrier{req})
	span.message(sent, len(req.Payload), true)
	began := time.Now()
	err := invoke(ctx, req, resp)
	returned = true
	if peer == nil { // the call has waited for the connection
		span.SetAttributes(s.connection(s.server.get())...)
	}
	code, text := methods.Called(err, resp)
	if code == codes.OK {
		span.message(received, len(resp.Payload), true)
	}
	s.measured.made(ctx, info.FullMethod, code, began)
	span.finish(code, text)
	return err
}

// A requestCarrier is the metadata of a request, which is the request's own and not the
// caller's MD.
type requestCarrier struct{ req *ttrpc.Request }

// Get implements propagation.TextMapCarrier.
func (c requestCarrier) Get(key string) string {
	for _, kv := range c.req.Metadata {
		if strings.EqualFold(kv.GetKey(), key) {
			return kv.GetValue()
		}
	}
	return ""
}

// Set implements propagation.TextMapCarrier.
func (c requestCarrier) Set(key, value string) {
	kept := slices.DeleteFunc(slices.Clone(c.req.Metadata), func(kv *ttrpc.KeyValue) bool { return strings.EqualFold(kv.GetKey(), key) })
	c.req.Metadata = append(kept, &ttrpc.KeyValue{Key: strings.ToLower(key), Value: value})
}

// Keys implements propagation.TextMapCarrier.
func (c requestCarrier) Keys() []string {
	var keys []string
	for _, kv := range c.req.Metadata {
		keys = append(keys, kv.GetKey())
	}
	return keys
}

// callStream is a [ttrpc.StreamClientInterceptor].
func (s *spans) callStream(ctx context.Context, desc *ttrpc.StreamDesc, fullMethod string, open ttrpc.Streamer) (ttrpc.ClientStream, error) {
	if !s.takes(fullMethod) {
		return open(ctx, desc, fullMethod)
	}
	caller := ctx
	peer := s.server.get()
	ctx, span := s.start(ctx, s.methods.Find(fullMethod, false), fullMethod, peer)
	returned := false
	defer span.endIfPanicking(&returned)
	md, _ := ttrpc.GetMetadata(ctx)
	if md = md.Clone(); md == nil {
		md = ttrpc.MD{}
	}
	s.propagators.Inject(ctx, carrier{md})
	if len(md) > 0 {
		ctx = ttrpc.WithMetadata(ctx, md)
	}
	began := time.Now()
	stream, err := open(ctx, desc, fullMethod)
	returned = true
	if peer == nil {
		span.SetAttributes(s.connection(s.server.get())...)
	}
	if err != nil {
		code, text := methods.Called(err, nil)
		s.measured.made(ctx, fullMethod, code, began)
		span.finish(code, text)
		return nil, err
	}
	if !desc.StreamingClient {
		span.message(sent, 0, false) // the request, which interceptors do not see
	}
	e := &streamEnd{span: span}
	if caller.Done() != nil {
		e.mu.Lock()
		e.stop = context.AfterFunc(caller, func() { e.finish(caller.Err()) })
		e.mu.Unlock()
	}
	cs := &clientStream{ClientStream: stream, streamEnd: e, streams: desc.StreamingServer}
	runtime.AddCleanup(cs, func(e *streamEnd) { e.finish(errLeft) }, e)
	return cs, nil
}

// errLeft is how a stream ends that its caller has left, and that is garbage.
var errLeft = status.Error(codes.Unknown, "the caller has not received to the end of the stream")

// A clientStream ends the span of its stream when that ends.
type clientStream struct {
	ttrpc.ClientStream
	*streamEnd
	streams bool // the server does
}

// A streamEnd ends a span once. It does not hold the stream, so that the context does not either.
type streamEnd struct {
	span *span

	mu    sync.Mutex
	stop  func() bool // to look for the context's end; nil if there is none
	ended bool
}

// finish ends the span, if nothing has before.
func (e *streamEnd) finish(err error) {
	e.mu.Lock()
	ended, stop := e.ended, e.stop
	e.ended = true
	e.mu.Unlock()
	if ended {
		return
	}
	if stop != nil {
		stop()
	}
	e.span.finish(methods.Called(err, nil))
}

// bound is the type of what [ttrpc.Within] returns.
var bound = reflect.TypeOf(ttrpc.Within(context.Background(), nil))

// goesOn tells whether a stream goes on after an error of SendMsg or RecvMsg: what bounded
// these with a context has ended, and not the stream. If the stream's own context has ended
// that is noticed elsewhere.
func goesOn(m any, err error) bool {
	code, _ := methods.Called(err, nil)
	return reflect.TypeOf(m) == bound && (code == codes.Canceled || code == codes.DeadlineExceeded)
}

// SendMsg implements [ttrpc.ClientStream]. Other errors are the message's, or RecvMsg tells them.
func (cs *clientStream) SendMsg(m any) error {
	err := cs.ClientStream.SendMsg(m)
	switch {
	case err == nil:
		cs.span.messageOf(sent, m)
	case errors.Is(err, ttrpc.ErrClosed):
		cs.finish(err)
	}
	return err
}

// RecvMsg implements [ttrpc.ClientStream].
func (cs *clientStream) RecvMsg(m any) error {
	err := cs.ClientStream.RecvMsg(m)
	switch {
	case err == nil:
		cs.span.messageOf(received, m)
		if !cs.streams {
			cs.finish(nil)
		}
	case err == io.EOF, !goesOn(m, err):
		cs.finish(err)
	}
	return err
}
