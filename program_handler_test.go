// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// What a handler is told to return, to do something else instead.
var (
	errProgPanic = errors.New("the handler panics")
	errProgExit  = errors.New("the handler ends its goroutine")
)

// A progHandler runs the jobs of a call at the server. Messages are sent on
// another goroutine, so that it can receive meanwhile.
type progHandler struct {
	call  *progCall
	ctx   context.Context
	ss    StreamServer // nil if the call is unary
	sends chan func()
	sent  chan struct{}

	// Guarded by w.mu.
	sending, receiving bool

	// What to return.
	size int
	err  error
}

// progServiceDesc is the service that programs call.
func progServiceDesc(w *progWorld) *ServiceDesc {
	stream := func(kind progKind) Stream {
		return Stream{
			StreamingClient: kind.desc().StreamingClient, StreamingServer: kind.desc().StreamingServer,
			Handler: func(ctx context.Context, ss StreamServer) (any, error) { return handleProg(w, ctx, nil, ss) },
		}
	}
	return &ServiceDesc{
		Methods: map[string]Method{"Unary": func(ctx context.Context, unmarshal func(any) error) (any, error) {
			return handleProg(w, ctx, unmarshal, nil)
		}},
		Streams: map[string]Stream{"Bidi": stream(progBidi), "Up": stream(progUp), "Down": stream(progDown)},
	}
}

// handleProg finds the call and runs its jobs.
func handleProg(w *progWorld, ctx context.Context, unmarshal func(any) error, ss StreamServer) (any, error) {
	value, _ := GetMetadataValue(ctx, "call")
	n, err := strconv.Atoi(value)
	w.mu.Lock()
	var call *progCall
	if err == nil && n >= 0 && n < len(w.calls) {
		call = w.calls[n]
	}
	h := &progHandler{call: call, ctx: ctx, ss: ss, sends: make(chan func(), progMaxJobs), sent: make(chan struct{})}
	w.handlers[h] = true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.handlers, h)
	}()
	if call == nil {
		return nil, status.Error(codes.NotFound, "no such call")
	}
	return h.handle(unmarshal)
}

func (h *progHandler) handle(unmarshal func(any) error) (any, error) {
	call, w := h.call, h.call.w
	w.mu.Lock()
	call.started++
	if call.started > 1 && w.raw == nil && !w.forged {
		w.Errorf("call %d was handled %d times", call.number, call.started)
	}
	w.mu.Unlock()
	go h.runSends()
	if unmarshal != nil {
		m := new(wrapperspb.BytesValue)
		if err := unmarshal(m); err != nil {
			h.err = err
		} else {
			h.take(m.Value)
		}
	}
	if h.err == nil {
		for job := range call.handler {
			if !job(h) {
				break
			}
		}
	}
	close(h.sends)
	<-h.sent
	w.mu.Lock()
	call.returned, call.handlerErr, call.resultSize = true, h.err, h.size
	w.mu.Unlock()
	switch h.err {
	case nil:
		result := progLog{name: call.down.name, sizes: []int{h.size}}
		return wrapperspb.Bytes(result.message(0)), nil
	case errProgPanic:
		panic(h.err)
	case errProgExit:
		runtime.Goexit()
	}
	return nil, h.err
}

// take checks a message that was received.
func (h *progHandler) take(got []byte) {
	w := h.call.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.raw != nil {
		h.call.up.checkNoise(w, got)
		return
	}
	h.call.up.takeLocked(w, got)
}

func (h *progHandler) sendLater(size, times int) {
	if h.ss != nil {
		h.sends <- func() { repeat(times, func() { h.send(size) }) }
	}
}

// set sets one of the handler's flags.
func (h *progHandler) set(flag *bool, on bool) {
	h.call.w.mu.Lock()
	defer h.call.w.mu.Unlock()
	*flag = on
}

func (h *progHandler) runSends() {
	defer close(h.sent)
	for job := range h.sends {
		job()
	}
}

func (h *progHandler) send(size int) {
	w, log := h.call.w, &h.call.down
	msg := log.add(w, size)
	h.set(&h.sending, true)
	err := w.bare(h.ss.SendMsg(msg))
	h.set(&h.sending, false)
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		log.dropLocked()
		h.checkSendLocked(size, err)
	}
}

func (h *progHandler) recv() {
	if h.ss == nil {
		return
	}
	m := new(wrapperspb.BytesValue)
	h.set(&h.receiving, true)
	err := h.call.w.bare(h.ss.RecvMsg(m))
	h.set(&h.receiving, false)
	if err == nil {
		h.take(m.Value)
		return
	}
	h.call.w.mu.Lock()
	defer h.call.w.mu.Unlock()
	h.checkRecvLocked(err)
}

// await waits until the call's context ends, and has the handler return then.
func (h *progHandler) await() bool {
	select {
	case <-h.ctx.Done():
	case <-h.call.w.winding:
		return true
	}
	w := h.call.w
	w.mu.Lock()
	defer w.mu.Unlock()
	h.err = h.ctx.Err()
	if cause := context.Cause(h.ctx); cause == nil || h.err == nil {
		w.Errorf("B26: call %d: a context without an error: %v, %v", h.call.number, h.err, cause)
	}
	h.checkContextLocked(h.err)
	return false
}

// checkContextLocked holds B26: a context ends for a reason.
func (h *progHandler) checkContextLocked(err error) {
	w := h.call.w
	ok := err == context.DeadlineExceeded && h.call.isLateLocked() ||
		h.call.isGivenUpLocked() ||
		err == context.Canceled && (w.sconn.why() != nil || w.baseEnded || h.call.isLateLocked() || h.call.mayBeFullLocked(&h.call.up))
	if !ok && w.raw == nil && !w.forged {
		w.Errorf("B26: call %d: the context of a handler ended with %v", h.call.number, err)
	}
}

// checkRecvLocked checks what ended a handler's receiving.
func (h *progHandler) checkRecvLocked(err error) {
	call, w := h.call, h.call.w
	if w.raw != nil || w.forged {
		return
	}
	want := call.closedAt
	if call.kind == progDown {
		want = 1
	}
	switch err {
	case io.EOF:
		if !call.closed && call.kind != progDown || call.up.taken != want {
			w.Errorf("B20: call %d: io.EOF after %d of %d messages", call.number, call.up.taken, want)
		}
	case ErrStreamFull:
		if !call.mayBeFullLocked(&call.up) {
			w.Errorf("B41: call %d: %v after %d messages", call.number, err, len(call.up.sizes))
		}
	default:
		h.checkContextLocked(err)
	}
}

// checkSendLocked checks why a handler could not send.
func (h *progHandler) checkSendLocked(size int, err error) {
	call, w := h.call, h.call.w
	var big *OversizedMessageErr
	ok := w.raw != nil || w.forged
	switch {
	case errors.Is(err, ErrProtocol):
		ok = ok || !call.kind.desc().StreamingServer
	case errors.As(err, &big):
		ok = size > w.limit
	case err == ErrClosed:
		ok = w.sconn.why() != nil
	case err == ErrStreamFull:
		ok = ok || call.mayBeFullLocked(&call.up)
	case err == context.DeadlineExceeded:
		ok = ok || call.isLateLocked()
	default:
		ok = ok || call.isGivenUpLocked()
	}
	if !ok {
		w.Errorf("B20: call %d: the handler's SendMsg of %d bytes: %v", call.number, size, err)
	}
}

// isLateLocked tells whether the call's deadline has passed.
func (call *progCall) isLateLocked() bool {
	deadline, ok := call.ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// isGivenUpLocked tells whether the handler may know that its caller has given up (B47).
func (call *progCall) isGivenUpLocked() bool { return call.w.other != nil && call.ctx.Err() != nil }
