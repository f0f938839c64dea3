// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpc_test

import (
	"context"
	"time"

	"google.golang.org/grpc"
)

// A limit is how the context of a call ends: how it is made, what is done to it when the
// handler has begun, and whether that is told of it.
type limit struct {
	make  func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
	begun func(cancel context.CancelFunc)
	told  func(*hung) string
}

// deadline passes by itself.
var deadline = limit{context.WithTimeout, func(context.CancelFunc) {}, (*hung).told}

// cancelled is what the client does.
var cancelled = limit{
	func(ctx context.Context, _ time.Duration) (context.Context, context.CancelFunc) {
		return context.WithCancel(ctx)
	},
	func(cancel context.CancelFunc) { cancel() },
	(*hung).toldOfCancel,
}

// endIn has do make a call that waits in its handler until the limit ends it, and returns what
// do does and whether the handler was told. Where the call ended before it got to the handler,
// as one may on a busy machine, it is made again with more time.
func (b *bed) endIn(l limit, do func(ctx context.Context) string) string {
	h := b.hang()
	b.open()
	for d := soon; ; d *= 2 {
		ctx, cancel := l.make(b.ctx, d)
		b.t.Cleanup(cancel)
		go func() {
			select {
			case <-h.begun:
				l.begun(cancel)
			case <-ctx.Done():
			}
		}()
		got := do(ctx)
		cancel()
		if h.count.Load() > 0 || b.ctx.Err() != nil {
			return join(got, l.told(h))
		}
	}
}

// endUnary makes a unary call that a limit ends.
func endUnary(l limit) func(b *bed) string {
	return func(b *bed) string {
		return b.endIn(l, func(ctx context.Context) string {
			_, err := b.stub.UnaryCall(ctx, new(request))
			return code(err)
		})
	}
}

// endStream does the same with a stream, on which the client does something until it ends.
func endStream(l limit, do func(testDuplexClient) string) func(b *bed) string {
	return func(b *bed) string {
		return b.endIn(l, func(ctx context.Context) string {
			ss, err := b.stub.FullDuplexCall(ctx)
			if err != nil {
				return "open: " + code(err)
			}
			return do(ss)
		})
	}
}

// receiveEnd receives the end of a stream.
func receiveEnd(ss testDuplexClient) string {
	_, err := ss.Recv()
	return code(err)
}

func deadlineBefore(b *bed) string {
	b.open()
	ctx, cancel := context.WithDeadline(b.ctx, time.Now().Add(-time.Second))
	defer cancel()
	_, err := b.stub.EmptyCall(ctx, new(testEmpty))
	return code(err)
}

func deadlineSeen(b *bed) string {
	seen := make(chan time.Time, 1)
	b.unary = func(ctx context.Context, _ *request) (*response, error) {
		deadline, _ := ctx.Deadline()
		seen <- deadline
		return new(response), nil
	}
	b.open()
	ctx, cancel := context.WithTimeout(b.ctx, time.Hour)
	defer cancel()
	if _, err := b.stub.UnaryCall(ctx, new(request)); err != nil {
		return code(err)
	}
	want, _ := ctx.Deadline()
	got := "the client's"
	if off := (<-seen).Sub(want).Abs(); off > time.Minute {
		got = "off by " + off.String()
	}
	if _, err := b.stub.UnaryCall(context.Background(), new(request)); err != nil {
		return code(err)
	}
	if deadline := <-seen; !deadline.IsZero() {
		return join(got, "one without")
	}
	return join(got, "none without")
}

func cancelBefore(b *bed) string {
	b.open()
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	_, err := b.stub.EmptyCall(ctx, new(testEmpty))
	return code(err)
}

// returned has handlers of either kind return an error.
func returned(err error) func(b *bed) string {
	return func(b *bed) string {
		b.unary = func(context.Context, *request) (*response, error) { return nil, err }
		b.stream = func(duplex) error { return err }
		b.open()
		_, unary := b.stub.UnaryCall(b.ctx, new(request))
		ss, err := b.stub.FullDuplexCall(b.ctx)
		if err != nil {
			return "open: " + code(err)
		}
		_, stream := ss.Recv()
		return code(unary) + ", " + code(stream)
	}
}

// tooLarge makes a call and opens a stream with messages of so many bytes each way. What the
// server takes and sends is limited to 64 KiB.
func tooLarge(sent, answered int, opts ...grpc.CallOption) func(b *bed) string {
	return func(b *bed) string {
		b.setup.MessageSize = 64 << 10
		return b.exchange(sent, answered, opts...)
	}
}

// overBridge does the same where the bridge takes no more than that.
func overBridge(sent, answered int) func(b *bed) string {
	return func(b *bed) string {
		b.setup.BetweenSize = 64 << 10
		return b.exchange(sent, answered)
	}
}

// exchange makes a call and opens a stream.
func (b *bed) exchange(sent, answered int, opts ...grpc.CallOption) string {
	b.unary = func(context.Context, *request) (*response, error) {
		return &response{Payload: body(answered)}, nil
	}
	b.stream = func(ss duplex) error {
		if _, err := ss.Recv(); err != nil {
			return err
		}
		return ss.Send(&answer{Payload: body(answered)})
	}
	b.open()
	_, unary := b.stub.UnaryCall(b.ctx, &request{Payload: body(sent)}, opts...)
	ss, err := b.stub.FullDuplexCall(b.ctx, opts...)
	if err != nil {
		return "open: " + code(err)
	}
	stream := ss.Send(&asked{Payload: body(sent)})
	if stream == nil {
		_, stream = ss.Recv()
	}
	return join(code(unary)+", "+code(stream), "next "+b.next())
}

func defaultSize(b *bed) string {
	b.unary = func(context.Context, *request) (*response, error) { return &response{Payload: body(5 << 20)}, nil }
	b.open()
	_, err := b.stub.UnaryCall(b.ctx, new(request))
	return code(err)
}

// unknown calls a method as unary, and as a stream.
func unknown(method string) func(b *bed) string {
	return func(b *bed) string {
		b.open()
		unary := b.path.CC.Invoke(b.ctx, method, new(request), new(response))
		desc := &grpc.StreamDesc{StreamName: "x", ClientStreams: true, ServerStreams: true}
		ss, err := b.path.CC.NewStream(b.ctx, desc, method)
		if err == nil {
			err = ss.RecvMsg(new(response))
		}
		return code(unary) + ", " + code(err)
	}
}
