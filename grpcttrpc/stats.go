// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"context"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	"github.com/containerd/ttrpc"
)

// statsHandlers are told of calls, in this order.
type statsHandlers []stats.Handler

func (hs statsHandlers) tag(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	for _, h := range hs {
		ctx = h.TagRPC(ctx, info)
	}
	return ctx
}

func (hs statsHandlers) tell(ctx context.Context, s stats.RPCStats) {
	for _, h := range hs {
		h.HandleRPC(ctx, s)
	}
}

// frameHeader is what ttrpc puts in front of a message on a stream.
const frameHeader = 10

// outPayload is what is told of a message of n bytes that was sent.
func outPayload(client bool, m any, n int) *stats.OutPayload {
	return &stats.OutPayload{
		Client: client, Payload: m, Length: n, CompressedLength: n, WireLength: n + frameHeader, SentTime: time.Now(),
	}
}

// inPayload is what is told of a message of n bytes that has come.
func inPayload(client bool, m any, n int) *stats.InPayload {
	return &stats.InPayload{
		Client: client, Payload: m, Length: n, CompressedLength: n, WireLength: n + frameHeader, RecvTime: time.Now(),
	}
}

// tellBegin tells that a call begins, and makes the context what the handlers make of it.
func (call *clientCall) tellBegin(client, server bool) {
	if len(call.conn.stats) == 0 {
		return
	}
	call.began = time.Now()
	failFast := call.wait == nil || !*call.wait
	call.ctx = call.conn.stats.tag(call.ctx, &stats.RPCTagInfo{FullMethodName: call.method, FailFast: failFast})
	call.conn.stats.tell(call.ctx, &stats.Begin{
		Client: true, BeginTime: call.began, FailFast: failFast, IsClientStream: client, IsServerStream: server,
	})
}

// tellOutHeader tells of the request's metadata.
func (call *clientCall) tellOutHeader(sent metadata.MD) {
	if len(call.conn.stats) == 0 {
		return
	}
	header := &stats.OutHeader{Client: true, FullMethod: call.method, Header: sent}
	if p := call.peer(call.sendCtx); p != nil {
		header.RemoteAddr, header.LocalAddr = p.Addr, p.LocalAddr
	}
	call.conn.stats.tell(call.ctx, header)
}

// tellOutPayload tells of a message that was sent.
func (call *clientCall) tellOutPayload(m any, sent any) {
	if len(call.conn.stats) == 0 {
		return
	}
	n := 0
	if raw, ok := sent.(*ttrpc.RawMessage); ok {
		n = len(raw.Payload)
	}
	call.conn.stats.tell(call.ctx, outPayload(true, m, n))
}

// tellInHeader tells of the answer's header, once.
func (call *clientCall) tellInHeader(header metadata.MD) {
	if len(call.conn.stats) > 0 && !call.toldHeader.Swap(true) {
		call.conn.stats.tell(call.ctx, &stats.InHeader{Client: true, Header: header.Copy()})
	}
}

// tellInPayload tells of a message that has come.
func (call *clientCall) tellInPayload(m any, n int) {
	if len(call.conn.stats) > 0 {
		call.conn.stats.tell(call.ctx, inPayload(true, m, n))
	}
}

// tellEnd tells how the call has ended. If the peer has ended it there was a trailer.
func (call *clientCall) tellEnd(err error, trailer metadata.MD) {
	if len(call.conn.stats) == 0 {
		return
	}
	if call.answered.Load() {
		call.conn.stats.tell(call.ctx, &stats.InTrailer{Client: true, Trailer: trailer.Copy()})
	}
	call.conn.stats.tell(call.ctx, &stats.End{
		Client: true, BeginTime: call.began, EndTime: time.Now(), Trailer: trailer.Copy(), Error: err,
	})
}
