// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// errAborted is what handlers fail with where any status does.
var errAborted = status.Error(codes.Aborted, "aborted")

func reserved(b *bed) string {
	names := []string{"grpc-status", "grpc-message", "grpc-encoding", "grpc-timeout", "te", "content-type"}
	var found []string
	b.unary = func(ctx context.Context, _ *request) (*response, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		for _, name := range names {
			if slices.Contains(md[name], "mine") {
				found = append(found, name)
			}
		}
		return new(response), nil
	}
	b.open()
	ctx := b.ctx
	for _, name := range names {
		ctx = metadata.AppendToOutgoingContext(ctx, name, "mine")
	}
	if _, err := b.stub.UnaryCall(ctx, new(request)); err != nil {
		return code(err)
	}
	if len(found) != 0 {
		return "sent: " + strings.Join(found, ", ")
	}
	return "left out"
}

// malformed sends what gRPC does not send, with a call and with a stream.
func malformed(key, value string) func(b *bed) string {
	return func(b *bed) string {
		b.unary = func(context.Context, *request) (*response, error) { return new(response), nil }
		b.stream = func(duplex) error { return nil }
		b.open()
		ctx := metadata.NewOutgoingContext(b.ctx, metadata.MD{key: {value}})
		_, unary := b.stub.UnaryCall(ctx, new(request))
		ss, err := b.stub.FullDuplexCall(ctx)
		if err == nil {
			_, err = ss.Recv()
		}
		return code(unary) + ", " + code(err)
	}
}

// echoed has the request's metadata come back as header and as trailer.
func echoed(b *bed) string {
	b.unary = func(ctx context.Context, _ *request) (*response, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		sent := metadata.MD{"upper": md["upper"], "all-bin": md["all-bin"]}
		if err := grpc.SetHeader(ctx, sent); err != nil {
			return nil, err
		}
		return new(response), grpc.SetTrailer(ctx, sent)
	}
	b.open()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	ctx := metadata.AppendToOutgoingContext(b.ctx, "Upper", "One", "all-bin", string(all), "UPPER", "two", "all-bin", "")
	var header, trailer metadata.MD
	if _, err := b.stub.UnaryCall(ctx, new(request), grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
		return code(err)
	}
	var got []string
	for name, md := range map[string]metadata.MD{"header": header, "trailer": trailer} {
		if slices.Equal(md["upper"], []string{"One", "two"}) && slices.Equal(md["all-bin"], []string{string(all), ""}) {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	return strings.Join(got, ", ")
}

func headerTooLarge(b *bed) string {
	b.setup.HeaderSize = 16 << 10
	b.unary = func(context.Context, *request) (*response, error) { return new(response), nil }
	b.open()
	if got := b.next(); got != "OK" { // what the server takes is known to the client then
		return "without: " + got
	}
	ctx := metadata.AppendToOutgoingContext(b.ctx, "large", strings.Repeat("x", 32<<10))
	_, err := b.stub.UnaryCall(ctx, new(request))
	return join(code(err), "next "+b.next())
}

// largeHeader has the handler set a header of 100 KiB, and return what that says.
func largeHeader(b *bed) string {
	b.unary = func(ctx context.Context, _ *request) (*response, error) {
		return new(response), grpc.SetHeader(ctx, metadata.Pairs("large", strings.Repeat("x", 100<<10)))
	}
	b.open()
	_, err := b.stub.UnaryCall(b.ctx, new(request))
	return join(code(err), "next "+b.next())
}

func halfClose(b *bed) string {
	b.stream = func(ss duplex) error {
		for {
			if _, err := ss.Recv(); err != nil {
				break
			}
		}
		for range 3 {
			if err := ss.Send(new(answer)); err != nil {
				return err
			}
		}
		return nil
	}
	b.open()
	ss, err := b.stub.FullDuplexCall(b.ctx)
	if err != nil {
		return "open: " + code(err)
	}
	if err := ss.CloseSend(); err != nil {
		return "half-close: " + code(err)
	}
	return receive(ss)
}

// endWhileSending has the handler return, and the client send until it notices.
func endWhileSending(err error) func(b *bed) string {
	return func(b *bed) string {
		b.stream = func(duplex) error { return err }
		b.open()
		ss, err := b.stub.FullDuplexCall(b.ctx)
		if err != nil {
			return "open: " + code(err)
		}
		if b.way.Classic {
			return drop(ss)
		}
		return fill(ss)
	}
}

// drop sends to a stream that has ended or is about to, where that is not told before it is
// received.
func drop(ss testDuplexClient) string {
	for range 100 {
		if err := ss.Send(new(asked)); err != nil {
			return "Send: " + code(err)
		}
	}
	_, end := ss.Recv()
	return "dropped, " + code(end) + ", " + code(ss.Send(new(asked)))
}

func trailersOnly(b *bed) string {
	b.stream = func(ss duplex) error {
		ss.SetTrailer(metadata.Pairs("key", "value"))
		return errAborted
	}
	b.open()
	ss, err := b.stub.FullDuplexCall(b.ctx)
	if err != nil {
		return "open: " + code(err)
	}
	header, _ := ss.Header()
	_, err = ss.Recv()
	got := "no header"
	if len(header["key"]) != 0 {
		got = "the trailer as header"
	}
	end := "no trailer"
	if slices.Equal(ss.Trailer()["key"], []string{"value"}) {
		end = "trailer"
	}
	return join(got, code(err), end)
}

func lateHeader(b *bed) string {
	late := make(chan error, 1)
	b.unary = func(ctx context.Context, _ *request) (*response, error) {
		if err := grpc.SendHeader(ctx, metadata.Pairs("a", "b")); err != nil {
			return nil, err
		}
		late <- grpc.SetHeader(ctx, metadata.Pairs("c", "d"))
		return new(response), nil
	}
	b.open()
	if _, err := b.stub.UnaryCall(b.ctx, new(request)); err != nil {
		return "call: " + code(err)
	}
	return code(<-late)
}

func sendAfterClose(b *bed) string {
	h := b.hang()
	b.open()
	ss, err := b.stub.FullDuplexCall(b.ctx)
	if err != nil {
		return "open: " + code(err)
	}
	<-h.begun
	if err := ss.CloseSend(); err != nil {
		return "half-close: " + code(err)
	}
	return code(ss.Send(new(asked)))
}

func errorsOfHandlers(b *bed) string {
	failures := make(chan error, 2)
	failures <- errors.New("no status")
	failures <- fmt.Errorf("wrapped: %w", errAborted)
	b.unary = func(context.Context, *request) (*response, error) { return nil, <-failures }
	b.open()
	_, plain := b.stub.UnaryCall(b.ctx, new(request))
	_, wrapped := b.stub.UnaryCall(b.ctx, new(request))
	return join(code(plain), code(wrapped))
}

func texts(b *bed) string {
	failures := make(chan error, 2)
	detailed, err := status.New(codes.Aborted, "with details").WithDetails(&asked{Payload: body(3)})
	if err != nil {
		return err.Error()
	}
	failures <- detailed.Err()
	failures <- status.Error(codes.Aborted, "a\xffb")
	b.unary = func(context.Context, *request) (*response, error) { return nil, <-failures }
	b.open()
	_, details := b.stub.UnaryCall(b.ctx, new(request))
	_, text := b.stub.UnaryCall(b.ctx, new(request))
	return join(fmt.Sprint(len(status.Convert(details).Details()), " details"), status.Convert(text).Message())
}

func noAnswer(b *bed) string {
	b.client = func(testInputServer) error { return nil }
	b.open()
	ss, err := b.stub.StreamingInputCall(b.ctx)
	if err != nil {
		return "open: " + code(err)
	}
	_, err = ss.CloseAndRecv()
	return code(err)
}

func recovered(b *bed) string {
	b.setup.Recover = true
	b.unary = func(context.Context, *request) (*response, error) { panic("the handler's") }
	b.open()
	_, err := b.stub.UnaryCall(b.ctx, new(request))
	return join(code(err), "next "+b.next())
}
