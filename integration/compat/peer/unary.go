// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log"
	"time"

	"github.com/containerd/ttrpc"
)

func echo(n int) func(*session) {
	return func(s *session) {
		s.echo("call", pattern(n))
	}
}

// requestOver sends a request that is n bytes over the limit, envelope included.
func requestOver(n int) func(*session) {
	return func(s *session) {
		size := messageLimit
		payload := encode(&bytesValue{Value: make([]byte, size)})
		size -= len(encode(&ttrpc.Request{Service: serviceName, Method: "Echo", Payload: payload})) - messageLimit - n
		s.echo("call", pattern(size))
		s.still()
	}
}

// responseOver asks for a response that is n bytes over the limit, envelope included.
func responseOver(n int) func(*session) {
	return func(s *session) {
		size := messageLimit
		payload := encode(&bytesValue{Value: make([]byte, size)})
		size -= len(encode(&ttrpc.Response{Payload: payload})) - messageLimit - n
		resp := new(bytesValue)
		err := s.client.Call(context.Background(), serviceName, "Bytes", &intValue{Value: int64(size)}, resp)
		s.note("call", digest(resp.Value), err)
		s.still()
	}
}

// encode encodes a message that is known to be good.
func encode(m message) []byte {
	b, err := marshal(m)
	if err != nil {
		log.Fatal(err)
	}
	return b
}

// fail has the server fail in each of these ways.
func fail(kinds ...string) func(*session) {
	return func(s *session) {
		for _, kind := range kinds {
			s.call(kind, "Fail", text("%s", kind))
		}
	}
}

// oddAnswers has handlers return what is no proper answer.
func oddAnswers(s *session) {
	s.call("nil response", "NilResponse", new(empty))
	s.call("nil pointer", "NilPointer", new(empty))
	s.call("no message", "WrongResponse", new(empty))
	s.call("response and error", "BothResults", new(empty))
	s.still()
}

// oddMessages sends and receives what does not fit.
func oddMessages(s *session) {
	ctx := context.Background()
	notText := &bytesValue{Value: []byte("\xff\xfe")}
	s.call("request that does not parse", "Text", notText)
	s.call("response that does not parse", "Echo", notText)
	s.call("request that does not encode", "Text", &textValue{Value: "\xff"})
	s.call("response that does not encode", "InvalidResponse", new(empty))
	s.call("request into no message", "WrongRequestType", new(empty))
	s.call("unread request", "Unread", text("not looked at"))
	s.call("another request type", "Text", &bytesValue{Value: []byte("as text")})
	s.call("request that is no message", "Text", "text")
	s.note("response that is no message", "", s.client.Call(ctx, serviceName, "Text", text("x"), new(string)))
	s.still()
}

func unimplemented(s *session) {
	ctx := context.Background()
	s.note("service", "", s.client.Call(ctx, "compat.Nothing", "Text", text(""), new(textValue)))
	s.note("method", "", s.client.Call(ctx, serviceName, "Nothing", text(""), new(textValue)))
	s.note("no names", "", s.client.Call(ctx, "", "", text(""), new(textValue)))
	s.still()
}

func metadata(s *session) {
	get := func(name string, ctx context.Context) {
		value, err := call(ctx, s.client, "Metadata", new(empty))
		s.note(name, value, err)
	}
	ctx := context.Background()
	get("none", ctx)
	get("empty", ttrpc.WithMetadata(ctx, ttrpc.MD{}))
	get("single", ttrpc.WithMetadata(ctx, ttrpc.MD{"key": {"value"}}))
	get("multi-valued", ttrpc.WithMetadata(ctx, ttrpc.MD{"key": {"c", "a", "", "b"}, "other": {"x"}}))
	get("without values", ttrpc.WithMetadata(ctx, ttrpc.MD{"key": {}}))
	get("mixed case", ttrpc.WithMetadata(ctx, ttrpc.MD{"Mixed-Case": {"Value"}, "lower": {"x"}}))

	md := ttrpc.MD{}
	md.Set("Folded", "one")
	md.Append("FOLDED", "two")
	get("folded", ttrpc.WithMetadata(ctx, md))
}

// interceptor changes the request.
func interceptor(s *session) {
	s.client = s.dial(ttrpc.WithUnaryClientInterceptor(
		func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, info *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
			s.note("before "+req.Method, info.FullMethod, nil)
			req.Metadata = append(req.Metadata, &ttrpc.KeyValue{Key: "Added", Value: info.FullMethod})
			err := invoke(ctx, req, resp)
			s.note("after "+req.Method, resp.Status.GetMessage(), err)
			return err
		}))
	s.call("metadata", "Metadata", new(empty))
	s.call("failure", "Fail", text("wrapped status"))
}

func deadlineSeen(s *session) {
	s.call("none", "Deadline", new(empty))
	ctx, cancel := hour()
	defer cancel()
	value, err := call(ctx, s.client, "Deadline", new(empty))
	s.note("an hour", value, err)
}

// timeOut dials with an interceptor that gives calls of a method a timeout that passes
// at once in the handler, whatever the caller's context says.
func (s *session) timeOut(method string) {
	s.client = s.dial(ttrpc.WithUnaryClientInterceptor(
		func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, _ *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
			if req.Method == method {
				req.TimeoutNano = int64(time.Millisecond)
			}
			return invoke(ctx, req, resp)
		}))
}

func deadlineInHandler(s *session) {
	s.timeOut("AwaitDeadline")
	s.call("call", "AwaitDeadline", new(empty))
	s.still()
}

// A pastDeadline is a context whose deadline passes when the channel is closed.
type pastDeadline struct {
	context.Context
	passed chan struct{}
}

func (c pastDeadline) Done() <-chan struct{} { return c.passed }

func (c pastDeadline) Err() error {
	select {
	case <-c.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// deadlineForCaller has a handler that returns long after the deadline.
func deadlineForCaller(s *session) {
	s.timeOut("HoldPastEnd")
	ctx := pastDeadline{context.Background(), make(chan struct{})}
	wait := s.background(ctx, "call", "HoldPastEnd", text("run"))
	s.call("handler's context", "Noted", text("run"))
	close(ctx.passed)
	wait()
	control(s.client, "Release", text("run"))
	s.still()
}

func deadlineBefore(s *session) {
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(1, 0))
	defer cancel()
	value, err := call(ctx, s.client, "Text", text("x"))
	s.note("passed", value, err)
	ctx, cancel = context.WithCancel(context.Background())
	cancel()
	value, err = call(ctx, s.client, "Hold", text("run"))
	s.note("canceled", value, err)
	s.still()
}

// cancel gives up a call, whose handler does not learn of it.
func cancel(s *session) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	wait := s.background(ctx, "call", "Hold", text("run"))
	control(s.client, "Started", text("run"))
	cancel()
	wait()
	s.call("before the handler returns", "Text", text("x"))
	control(s.client, "Release", text("run"))
	s.still()
}
