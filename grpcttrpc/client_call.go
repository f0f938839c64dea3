// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/internal/meta"
)

// A clientCall is a call or stream that has more to do than to send and receive.
type clientCall struct {
	conn *clientConn
	callOptions
	ctx                   context.Context // of the user, as stats handlers have tagged it
	method, service, name string
	sendCtx               context.Context // the same, as it is given to ttrpc

	answer   *ttrpc.ResponseMetadata // nil if nobody asks for it
	attached atomic.Bool             // the call was made
	answered atomic.Bool             // and the peer has ended it

	began      time.Time
	toldHeader atomic.Bool

	ended atomic.Pointer[callEnd]
	mu    sync.Mutex
}

// A callEnd is how a call has ended; the error is nil if it was a success.
type callEnd struct{ err error }

// invokeWith is invoke for a call that has options, or whose connection has.
func (c *clientConn) invokeWith(ctx context.Context, method string, args, reply any, opts []grpc.CallOption) error {
	call, err := c.begin(ctx, method, opts, false, false)
	if err != nil {
		return err
	}
	if call.asksForAnswer() {
		call.sendCtx, call.answer = ttrpc.WithResponseMetadata(call.sendCtx)
	}
	return call.finish(call.roundTrip(args, reply))
}

// begin begins a call. If it fails the call has ended.
func (c *clientConn) begin(ctx context.Context, method string, opts []grpc.CallOption, client, server bool) (*clientCall, error) {
	call := &clientCall{conn: c, ctx: ctx, method: method}
	call.codec = c.codec
	refused := call.set(opts)
	if md, ok := metadata.FromOutgoingContext(ctx); ok {
		if _, err := meta.Outgoing(md); err != nil {
			refused = err // as with gRPC this counts first
		}
	}
	switch cause := ctx.Err(); {
	case refused != nil:
	case cause != nil:
		refused = call.failure(cause)
	case c.client.Cause() == ttrpc.ErrClosed:
		refused = call.failure(ttrpc.ErrClosed)
	}
	if refused != nil { // as with gRPC no stats handler hears of it
		call.finished(refused)
		return nil, refused
	}
	call.tellBegin(client, server)
	if err := call.prepare(); err != nil {
		return nil, call.finish(err)
	}
	return call, nil
}

// prepare finds out whether the call can be made, and what is sent with it.
func (call *clientCall) prepare() (err error) {
	if call.service, call.name, err = splitMethod(call.method); err != nil {
		return err
	}
	if call.conn.client.Cause() != nil {
		return call.failure(ttrpc.ErrClosed)
	}
	call.sendCtx = call.ctx
	if call.wait != nil {
		call.sendCtx = ttrpc.WaitForConnection(call.ctx, *call.wait)
	}
	if err := call.checkAnswers(); err != nil {
		return err
	}
	md, _ := metadata.FromOutgoingContext(call.ctx)
	sent, err := meta.Outgoing(md)
	if err == nil {
		sent, err = call.addCredentials(sent)
	}
	if err != nil {
		return err
	}
	call.sendCtx = carrying(call.sendCtx, sent)
	call.tellOutHeader(md)
	return nil
}

// asksForAnswer tells whether anybody asks for the metadata of the answer.
func (call *clientCall) asksForAnswer() bool {
	return len(call.headers) > 0 || len(call.trailers) > 0 || len(call.conn.stats) > 0
}

// asks names the option that asks for it.
func (call *clientCall) asks() string {
	if len(call.headers) > 0 {
		return "grpc.Header"
	}
	return "grpc.Trailer"
}

// checkAnswers refuses a call whose options ask for what the answers of the connection do
// not have.
func (call *clientCall) checkAnswers() error {
	c := call.conn
	if len(call.headers)+len(call.trailers) == 0 || c.carries.Load() {
		return nil
	}
	_, err := c.client.Peer(call.sendCtx) // which waits only if a call does
	extended := false
	if err == nil {
		extended, err = c.client.Extended(call.sendCtx)
	}
	switch {
	case err != nil:
		return call.failure(err)
	case !extended:
		return noAnswers(call.asks())
	}
	c.carries.Store(true)
	return nil
}

// noAnswers is the error of who asks for the metadata of an answer that has none.
func noAnswers(what string) error {
	return cannot(what, "the connection carries no header and no trailer of answers, for it is not in extended mode")
}

func (call *clientCall) failure(err error) error { return failure(call.conn.client, err) }

// told returns what ttrpc has told of the end of the call, or nil for a success, as gRPC's.
func (call *clientCall) told(err error) error {
	if err == nil || err == io.EOF || isAnswer(err) {
		call.answered.Store(true)
		return err
	}
	return call.failure(err)
}

// roundTrip makes a unary call.
func (call *clientCall) roundTrip(args, reply any) error {
	msg, err := call.outgoing(args)
	if err == nil {
		err = checkReply(reply)
	}
	if err != nil {
		return err
	}
	call.attached.Store(true)
	call.tellOutPayload(args, msg)
	raw, into := new(ttrpc.RawMessage), reply
	if call.encodes() {
		into = raw
	}
	err = call.told(call.conn.client.Call(call.sendCtx, call.service, call.name, msg, into))
	if bad := call.checkMetadata(true, err); bad != nil {
		return bad
	}
	if err == nil && into == raw {
		err = call.incoming(raw, reply)
	}
	return err
}

// encodes tells whether messages are encoded here, and not by ttrpc.
func (call *clientCall) encodes() bool {
	return call.codec != nil || call.maxSend != nil || call.maxRecv != nil || len(call.conn.stats) > 0
}

// outgoing returns the message that ttrpc is given to send m.
func (call *clientCall) outgoing(m any) (any, error) {
	if !call.encodes() {
		if m == nil {
			return new(ttrpc.RawMessage), nil
		}
		return m, nil
	}
	raw, err := encode(call.codec, m)
	if err != nil {
		return nil, err
	}
	if limit := call.maxSend; limit != nil && len(raw.Payload) > *limit {
		return nil, status.Errorf(codes.ResourceExhausted, "trying to send message larger than max (%d vs. %d)", len(raw.Payload), *limit)
	}
	return raw, nil
}

// incoming decodes what has come into m.
func (call *clientCall) incoming(raw *ttrpc.RawMessage, m any) error {
	if limit := call.maxRecv; limit != nil && len(raw.Payload) > *limit {
		return status.Errorf(codes.ResourceExhausted, "grpc: received message larger than max (%d vs. %d)", len(raw.Payload), *limit)
	}
	n := len(raw.Payload)
	if err := decode(call.codec, raw, m); err != nil {
		return err
	}
	call.tellInPayload(m, n)
	return nil
}

// ended is a context that has.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// header returns the header of the answer, as far as it has come.
func (call *clientCall) header() (metadata.MD, error) {
	if call.answer == nil {
		return nil, nil
	}
	md, err := call.answer.Header(ended)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return meta.Incoming(md)
}

// trailer returns the trailer of the answer, as far as it has come.
func (call *clientCall) trailer() (metadata.MD, error) {
	if call.answer == nil {
		return nil, nil
	}
	return meta.Incoming(call.answer.Trailer())
}

// checkMetadata looks at the metadata of an answer that has come whole, or at its header. It
// returns what is wrong with it. outcome is what the call will else return.
func (call *clientCall) checkMetadata(whole bool, outcome error) error {
	header, err := call.header()
	switch {
	case errors.Is(err, ttrpc.ErrNoResponseMetadata):
		if outcome == nil && (len(call.headers) > 0 || len(call.trailers) > 0) {
			return noAnswers(call.asks())
		}
		header = metadata.MD{}
	case err != nil:
		return err
	}
	if outcome == nil || len(header) > 0 {
		call.tellInHeader(header)
	}
	if !whole {
		return nil
	}
	_, err = call.trailer()
	return err
}

// finish ends the call, once: options get what they have asked for. io.EOF is a success. It
// returns err.
func (call *clientCall) finish(err error) error {
	outcome := err
	if err == io.EOF {
		outcome = nil
	}
	call.mu.Lock()
	if call.ended.Load() != nil {
		call.mu.Unlock()
		return err
	}
	header, _ := call.header()
	trailer, _ := call.trailer()
	attached := call.attached.Load()
	if attached {
		for _, at := range call.headers {
			*at = header
		}
		for _, at := range call.trailers {
			*at = trailer
		}
		call.fillPeers()
	}
	call.ended.Store(&callEnd{outcome})
	call.mu.Unlock()
	call.tellEnd(outcome, trailer)
	call.finished(outcome)
	return err
}

// finished calls the functions of grpc.OnFinish.
func (call *clientCall) finished(err error) {
	for _, f := range call.onFinish {
		f(err)
	}
}
