// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// An attempt is one call, of any kind, that is made and judged.
type attempt struct {
	*link
	rng *rand.Rand
	id  uint64
}

// order returns an order. Where this side closes no connections, all are counted
// that are answered.
func (a *attempt) order() *order {
	return &order{Call: a.id, Seed: a.rng.Uint64(), Must: !a.target.orphans}
}

// An expectation is an outcome that is allowed.
type expectation struct {
	outcome string
	last    bool // the server's handler has returned, and the caller knows how
	is      func(error) bool
	want    error // if is is nil
}

// allows tells whether a call of the mode may end with err.
func (e *expectation) allows(m mode, err error) bool {
	if e.is == nil {
		return m.is(err, e.want)
	}
	return e.is(err)
}

// isExactly expects an error as it is. In extended mode it may be a status that wraps it.
func isExactly(outcome string, want error) expectation {
	return expectation{outcome: outcome, last: want == nil, want: want}
}

var (
	answered  = isExactly("answered", nil)
	canceled  = isExactly("canceled", context.Canceled)
	exhausted = expectation{outcome: "refused for its size", last: true, is: func(err error) bool { return status.Code(err) == codes.ResourceExhausted }}
	oversized = expectation{outcome: "refused for its size", is: func(err error) bool {
		var big *ttrpc.OversizedMessageErr
		return errors.As(err, &big) && status.Code(err) == codes.ResourceExhausted
	}}

	// late is what a deadline that passes leads to. The server's clock may be the
	// faster one; its status is the answer then.
	late = expectation{outcome: "deadline passed", is: func(err error) bool {
		return err == context.DeadlineExceeded || status.Code(err) == codes.DeadlineExceeded
	}}
)

// failed is what the order's failure leads to.
func failed(o *order) expectation {
	return expectation{outcome: "failed as ordered", last: true, is: failures[o.Failure].is}
}

// judge returns the outcome, or an error if it is none of those allowed. o is nil if
// the call had no order.
func (a *attempt) judge(o *order, err error, allowed ...expectation) (string, error) {
	for _, e := range allowed {
		if e.allows(a.mode, err) {
			if o != nil && o.Must && e.last {
				a.gen.answered.add(o.Call)
			}
			return e.outcome, nil
		}
	}
	switch {
	case a.mode.is(err, ttrpc.ErrClosed) && a.mayClose():
		return outcomeClosed, nil
	case a.mode.refused(err) && a.gen.ending.Load() == endShutdown:
		return outcomeRefused, nil
	}
	if err == nil {
		return "", errors.New("it has succeeded")
	}
	return "", fmt.Errorf("error: %w", err)
}

// These outcomes mean that the link is of no more use.
const (
	outcomeClosed  = "connection closed"
	outcomeRefused = "server shutting down"
)

// call makes a unary call, with n bytes of content, and checks its answer.
func (a *attempt) call(ctx context.Context, o *order, n int) error {
	return a.callMethod(ctx, "Do", o, n)
}

func (a *attempt) callMethod(ctx context.Context, method string, o *order, n int) error {
	resp := new(wrapperspb.BytesValue)
	if err := a.client.Call(ctx, serviceName, method, o.message(n), resp); err != nil {
		return err
	}
	return o.answer().check(resp.Value)
}

// Descriptions of the streams.
var (
	uploads   = ttrpc.StreamDesc{StreamingClient: true}
	downloads = ttrpc.StreamDesc{StreamingServer: true}
	chats     = ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
)

// A talk is the client's end of a stream.
type talk struct {
	ttrpc.ClientStream
	order *order
}

// open opens a stream and sends its order. The talk is not nil, whatever the error.
func (a *attempt) open(ctx context.Context, method string, desc ttrpc.StreamDesc, o *order) (*talk, error) {
	t := &talk{order: o}
	var request any
	if !desc.StreamingClient {
		request = o.message(0)
	}
	var err error
	t.ClientStream, err = a.client.NewStream(ctx, &desc, serviceName, method, request)
	if err == nil && desc.StreamingClient {
		err = t.because(t.SendMsg(o.message(0)))
	}
	return t, err
}

// because returns why sending failed: how the stream ended is for RecvMsg to say,
// after the messages that had arrived before.
func (t *talk) because(err error) error {
	if err == nil {
		return nil
	}
	for m := new(wrapperspb.BytesValue); ; {
		if why := t.RecvMsg(m); why != nil {
			return why
		}
	}
}

// send sends messages from the one to before the other, and closes this side after
// the last one.
func (t *talk) send(from, to int) error {
	for i := from; i < to; i++ {
		if err := t.SendMsg(t.order.sent(i).message()); err != nil {
			return err
		}
	}
	if to == int(t.order.Count) {
		return t.CloseSend()
	}
	return nil
}

// receive receives messages from the one to before the other.
func (t *talk) receive(from, to int) error {
	for i := from; i < to; i++ {
		m := new(wrapperspb.BytesValue)
		if err := t.RecvMsg(m); err != nil {
			return err
		}
		if err := t.order.received(i).check(m.Value); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return nil
}

// end receives the end of the stream, which has to stay what it is (B21). want is
// the error that means success.
func (t *talk) end(want error) error {
	m := new(wrapperspb.BytesValue)
	first := t.RecvMsg(m)
	if first == nil {
		return &mismatch{"a message after the last"}
	}
	return t.ended(first, want)
}

func (t *talk) ended(first, want error) error {
	switch again := t.RecvMsg(new(wrapperspb.BytesValue)); {
	case again == nil:
		return &mismatch{fmt.Sprintf("B21: the end of the stream was %s, and then came a message", brief(first))}
	case again != first && again.Error() != first.Error():
		return &mismatch{fmt.Sprintf("B21: the end of the stream was %s, and then %s", brief(first), brief(again))}
	case first == want:
		return nil
	}
	return first
}

// brief is the code of a status, or the text of another error.
func brief(err error) string {
	if st, ok := status.FromError(err); ok {
		return "a status " + st.Code().String()
	}
	return err.Error()
}
