// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/internal/testkit"
)

// maxCost is what the largest frame costs.
func (w *progWorld) maxCost() int { return 2*w.limit + frameOverhead }

// checkSendLocked checks why SendMsg or CloseSend failed. w.mu must be held.
func (call *progCall) checkSendLocked(what string, size int, err error) {
	w := call.w
	var big *OversizedMessageErr
	ok := false
	switch {
	case err == ErrStreamClosed:
		ok = call.closed
	case err == io.EOF: // B71; checkEndLocked sees how the stream has ended
		ok = w.other != nil && what == "SendMsg"
	case errors.Is(err, ErrProtocol):
		ok = !call.kind.desc().StreamingClient || w.raw != nil || w.forged
	case errors.As(err, &big):
		ok = size > w.limit
	case isOversized(err): // what the peer sent
		ok = w.raw != nil
	default:
		ok = call.mayEndLocked(err)
	}
	if !ok {
		w.Errorf("B20: call %d: %s of %d bytes: %v (the connection: %v)", call.number, what, size, err, w.cconn.why())
	}
}

// bare holds that errors are statuses in extended mode, and on classic connections what the
// release has (B80), and returns what the latter is.
func (w *progWorld) bare(err error) error {
	made, is := err.(statusErr)
	switch _, known := status.FromError(err); {
	case is && w.other == nil:
		w.Errorf("B80: %v is made a status on a classic connection", err)
	case w.other != nil && err != io.EOF && !known:
		w.Errorf("B80: %v is no status in extended mode", err)
	case is && made.is != ErrNotExecuted:
		return made.is
	}
	return err
}

// isOversized tells whether err is the status of a frame over the limit (B7).
func isOversized(err error) bool {
	return status.Code(err) == codes.ResourceExhausted && strings.HasPrefix(status.Convert(err).Message(), "message length ")
}

// mayEndLocked tells whether err, which is no status of the server's, may have ended
// the call at its client.
func (call *progCall) mayEndLocked(err error) bool {
	switch err {
	case context.DeadlineExceeded:
		return call.isLateLocked()
	case context.Canceled:
		return call.ctx.Err() == err
	case ErrClosed:
		return call.w.cconn.why() != nil || call.w.other != nil && call.w.draining
	case ErrStreamFull:
		return call.w.raw != nil || call.mayBeFullLocked(&call.down)
	}
	return errors.Is(err, ErrNotExecuted) && call.w.draining && call.started == 0 // B53
}

// mayBeFullLocked tells whether the receiver of a log's messages can have been
// too slow.
func (call *progCall) mayBeFullLocked(log *progLog) bool {
	w := call.w
	if w.other != nil {
		return false // B48
	}
	bytes := 0
	for _, c := range w.calls {
		for _, sizes := range [][]int{c.up.sizes, c.down.sizes} {
			for _, size := range sizes {
				bytes += 2*size + 512 + frameOverhead
			}
		}
	}
	return len(log.sizes) > w.queue.Messages || bytes > min(w.queue.Bytes, w.queue.ConnectionBytes)
}

// checkEndLocked checks the error with which a call ended at its client: it
// must have a reason.
func (call *progCall) checkEndLocked(err error) {
	w := call.w
	var big *OversizedMessageErr
	ok := false
	switch {
	case err == nil || err == io.EOF:
		ok = call.returned && call.handlerErr == nil && (call.kind.desc().StreamingServer || call.resultSize <= w.limit)
		if (err == nil) != (call.kind == progUnary) {
			ok = false
		}
		if err == io.EOF && call.down.taken != len(call.down.sizes) && w.raw == nil && !w.forged {
			w.Errorf("B21: call %d: io.EOF after %d of %d messages", call.number, call.down.taken, len(call.down.sizes))
		}
	case errors.As(err, &big):
		ok = len(call.up.sizes) == 0 || call.up.sizes[0] > w.limit
	case call.mayEndLocked(err):
		ok = true
		if err == ErrClosed {
			call.checkClosedLocked()
		}
	case err == ErrClosed || err == context.Canceled || err == context.DeadlineExceeded:
		ok = false
	default:
		ok = call.mayAnswerLocked(err)
	}
	foreign := (w.raw != nil || w.forged) && err != ErrClosed && err != context.Canceled && err != context.DeadlineExceeded
	if !ok && !foreign {
		w.Errorf("call %d (kind %d) ended with %v; the handler: started %d, returned %v, %v; the connection: %v", call.number, call.kind, err, call.started, call.returned, call.handlerErr, w.cconn.why())
	}
}

// noteArrivedLocked notes what the client has of the server's messages: an end
// of the connection that is not its own takes none of them away (B19).
func (call *progCall) noteArrivedLocked() {
	select {
	case <-call.opened:
		if cs, ok := call.stream.(*clientStream); ok {
			cs.inbox.mu.Lock()
			defer cs.inbox.mu.Unlock()
			call.arrived = max(call.arrived, call.down.taken+cs.inbox.queue.count)
		}
	default:
	}
}

// checkClosedLocked checks a call that ended with ErrClosed.
func (call *progCall) checkClosedLocked() {
	w := call.w
	if w.clientClosed || w.raw != nil || w.forged {
		return
	}
	if call.down.taken < call.arrived && call.kind.desc().StreamingServer {
		w.Errorf("B19: call %d: %d messages had arrived, and %d were received", call.number, call.arrived, call.down.taken)
	}
	// Who cannot write any more does not wait for ever for what is on its way.
	gaveUp := errors.Is(w.cconn.why(), syscall.EPIPE) && w.wire[1].isLate()
	if call.started > 0 && !w.disturbed && !w.serverClosed && !gaveUp {
		w.Errorf("B25: call %d, which had reached the server, ended with ErrClosed", call.number)
	}
}

// mayAnswerLocked tells whether the server may have answered with a status.
func (call *progCall) mayAnswerLocked(err error) bool {
	w := call.w
	st, isStatus := status.FromError(err)
	if !isStatus {
		return false
	}
	if call.returned && call.handlerErr != nil && call.handlerErr != errProgPanic && call.handlerErr != errProgExit {
		if want := StatusOf(call.handlerErr); want.Code() == st.Code() && want.Message() == st.Message() {
			return true
		}
	}
	switch st.Code() {
	case codes.Internal:
		return call.handlerErr == errProgPanic && strings.HasPrefix(st.Message(), "ttrpc: panic in the handler: ") ||
			call.handlerErr == errProgExit && st.Message() == "ttrpc: the handler ended its goroutine"
	case codes.Unavailable:
		return w.draining && st.Message() == ErrServerClosed.Error()
	case codes.ResourceExhausted:
		small := w.queue.ConnectionBytes > 0 && w.queue.ConnectionBytes < 1<<20
		return small && (strings.Contains(st.Message(), "no room for another stream") || st.Message() == "ttrpc: answers are not read") ||
			w.maxHandlers > 0 && strings.Contains(st.Message(), "concurrent calls") ||
			st.Message() == ErrStreamFull.Error() && call.mayBeFullLocked(&call.up) ||
			strings.Contains(st.Message(), "exceed maximum message size") && call.returned && call.resultSize > w.limit
	case codes.DeadlineExceeded:
		return call.isLateLocked()
	case codes.Unimplemented:
		return call.kind >= progNoMethod
	}
	return false
}

// check waits until all is quiet and checks what holds then.
func (w *progWorld) check() {
	w.Helper()
	w.quiet()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range []*conn{w.cconn, w.sconn} {
		if c != nil {
			w.checkMemoryLocked(c)
		}
	}
	if w.kernel {
		return
	}
	for _, call := range w.calls {
		call.checkStuckLocked()
		call.noteArrivedLocked()
	}
	for h := range w.handlers {
		h.checkStuckLocked()
	}
	if w.sconn != nil {
		w.sconn.mu.Lock()
		n := 0
		for _, s := range w.sconn.streams {
			if s.call != nil && !answerWaits(s) {
				n++
			}
		}
		if extOf(w.sconn) != nil {
			n -= extOf(w.sconn).parked.count
		}
		if !w.sconn.closed && n != len(w.handlers) {
			w.Errorf("B26: %d streams are open at the server, and %d handlers run", n, len(w.handlers))
		}
		w.sconn.mu.Unlock()
	}
}

// checkMemoryLocked holds the documented caps.
func (w *progWorld) checkMemoryLocked(c *conn) {
	received, sent := w.queue.ConnectionBytes+w.maxCost(), maxPending+(len(w.calls)+2)*w.maxCost()
	if w.raw != nil { // rejections
		sent += w.queue.ConnectionBytes
	}
	for _, call := range w.calls {
		// A request's message is counted a moment before there is room for it.
		if (c.role == roleServer || w.other != nil) && len(call.up.sizes) > 0 {
			received += 2*call.up.sizes[0] + 512 + frameOverhead
		}
	}
	total := int(c.total.Load())
	if total > received {
		w.Errorf("B41: %d bytes of received messages are queued, more than %d", total, received)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.bytes > sent {
		w.Errorf("B41: %d bytes are queued for writing, more than %d", c.out.bytes, sent)
	}
	for f := c.out.head; f != nil && c.role == roleClient; f = f.next {
		if messageType(f.data[8]) == messageTypeRequest && c.streams[f.owner.(*stream).id] != f.owner {
			w.Errorf("B18: the request of a call that has ended is still queued")
		}
	}
	for _, s := range c.streams {
		total -= s.inbox.size()
	}
	if total != 0 && !w.kernel {
		w.Errorf("B41: the count of queued bytes is %d too high", total)
	}
}

// checkStuckLocked holds that nothing of a client waits which has no reason to.
func (call *progCall) checkStuckLocked() {
	w := call.w
	if len(call.pending) == 0 || w.cconn == nil {
		return
	}
	switch {
	case isClosed(w.cconn):
		w.Errorf("B1: call %d: %v waits on an ended connection", call.number, call.pending)
	case call.ctx.Err() != nil:
		w.Errorf("B18: call %d: %v waits after %v", call.number, call.pending, call.ctx.Err())
	case !w.flowingLocked():
	case call.returned:
		w.Errorf("B21: call %d: %v waits after the handler has returned", call.number, call.pending)
	case call.pending["SendMsg"] && !lacksCredit(&call.stream.(*clientStream).stream):
		w.Errorf("B20: call %d: SendMsg waits, and nothing is queued", call.number)
	case call.pending["RecvMsg"] && call.down.taken < len(call.down.sizes):
		w.Errorf("B20: call %d: RecvMsg waits, and %d messages were sent and %d received", call.number, len(call.down.sizes), call.down.taken)
	}
}

// checkStuckLocked holds the same for a handler.
func (h *progHandler) checkStuckLocked() {
	call, w := h.call, h.call.w
	if w.forged || !h.sending && !h.receiving {
		return
	}
	switch err := h.ctx.Err(); {
	case err != nil && (h.receiving || !w.baseEnded):
		w.Errorf("B26: call %d: the handler's SendMsg (%v) or RecvMsg (%v) waits after %v", call.number, h.sending, h.receiving, err)
	case !w.flowingLocked() || call.ctx.Err() != nil:
	case h.sending && !lacksCredit(&h.ss.(*serverCall).stream):
		w.Errorf("B20: call %d: the handler's SendMsg waits, and nothing is queued", call.number)
	case h.receiving && call.up.taken < len(call.up.sizes):
		w.Errorf("B20: call %d: the handler's RecvMsg waits, and %d messages were sent and %d received", call.number, len(call.up.sizes), call.up.taken)
	}
}

// flowing tells whether all that is sent arrives.
func (w *progWorld) flowing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flowingLocked()
}

func (w *progWorld) flowingLocked() bool {
	if w.disturbed || w.forged || w.raw != nil || w.cconn.why() != nil || w.sconn.why() != nil {
		return false
	}
	for _, c := range []*conn{w.cconn, w.sconn} { // a reader may wait for a slow receiver
		if w.other == nil && int(c.total.Load())+w.maxCost() > w.queue.ConnectionBytes {
			return false
		}
	}
	return !w.wire[0].isStalled() && !w.wire[1].isStalled()
}

// checkClean holds that nothing is left of a connection that has ended.
func (w *progWorld) checkClean(who string, c *conn) {
	clean := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.closed && len(c.streams) == 0 && c.out.count == 0 && c.out.bytes == 0 && !c.writing && c.total.Load() == 0
	}
	if !w.eventually(clean) {
		c.mu.Lock()
		defer c.mu.Unlock()
		w.Errorf("B21: left at %s: closed %v, %d streams, %d frames, %d bytes in queues, writing %v", who, c.closed, len(c.streams), c.out.count, c.total.Load(), c.writing)
	}
}

// eventually waits until ok over kernel sockets, where nothing tells when a
// goroutine is over; over memory conns that has been waited for.
func (w *progWorld) eventually(ok func() bool) bool {
	for end := time.Now().Add(testkit.Hang); !ok(); time.Sleep(time.Millisecond) {
		if !w.kernel || time.Now().After(end) {
			return false
		}
	}
	return true
}
