// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A call is parked while the peer does not read its answers: the reader waits for nobody.
// It has arrived, so its timeout runs, and if it is cancelled it is never run.

// A parking is the calls of a connection that are parked. It is guarded by the
// connection's mu.
type parking struct {
	parked    frameQueue // their requests, whose owners they are
	costs     int        // what these take of the credit of calls
	unparking bool       // a goroutine starts them
}

// mayAcceptLocked implements [mode]. While this end has calls of its own under way, whose
// answers need the credit of calls, parked ones may take up half of that: two ends that park
// each other's calls then do not stop each other. One of the two always has calls under way
// before it parks any. Else what the peer has credit for is parked, and none is refused.
func (x *extended) mayAcceptLocked(f *frame) *status.Status {
	calls := len(x.c.streams) > x.c.accepted
	if calls && x.parksLocked() && int64(x.costs+chargeOfReceived(f)) > x.calls.recv.size/2 {
		return status.New(codes.ResourceExhausted, "ttrpc: answers are not read")
	}
	return x.mayStreamLocked(f, f.header.Flags)
}

// A noRoomError is the error of a call that an end has refused for lack of room: it was not
// run. Another connection to the same peer is no remedy.
type noRoomError struct{ statusErr }

func (noRoomError) refused() {}

func noRoom(why *status.Status) error {
	return noRoomError{statusErr{why.Code(), why.Message(), ErrNotExecuted}}
}

// turnedAway implements [mode].
func (x *extended) turnedAway(answer *frame) error {
	if answer.header.Flags&flagRefused == 0 {
		return nil
	}
	st, _, err := parseResponse(answer.data)
	switch code := codes.Code(st.GetCode()); {
	case err != nil || code == codes.OK: // it is no refusal, whatever it says
		return nil
	case code == codes.Unavailable:
		return notExecuted(st.GetMessage())
	}
	return noRoom(status.FromProto(st))
}

// parksLocked tells whether a call that comes is parked.
func (x *extended) parksLocked() bool { return x.parked.head != nil || x.isUnreadLocked() }

// parkLocked implements [mode].
func (x *extended) parkLocked(s *stream) (parked bool) {
	if !x.parksLocked() {
		x.grantCallsLocked()
		return false
	}
	call := s.call.(*serverCall)
	call.parked, call.waits = true, true
	call.arrives()
	call.request.owner = call
	x.parked.push(call.request)
	x.calls.recv.hold(chargeOfReceived(call.request))
	x.costs += chargeOfReceived(call.request)
	return true
}

// unparkLocked has a goroutine start the calls that waited for the peer to read.
func (x *extended) unparkLocked() {
	if x.parked.head != nil && !x.unparking && !x.isUnreadLocked() {
		x.unparking = true
		go x.unpark()
	}
}

// unpark starts calls for as long as the peer reads.
func (x *extended) unpark() {
	for {
		x.c.mu.Lock()
		if x.parked.head == nil || x.isUnreadLocked() {
			x.unparking = false
			x.c.mu.Unlock()
			return
		}
		request := x.parked.pop()
		call := request.owner.(*serverCall)
		request.owner = nil
		x.notParkedLocked(call)
		x.c.unlock()
		x.c.host.(serveFunc)(call)
	}
}

// leaveParkedLocked takes a call that has ended out of those that are parked.
func (x *extended) leaveParkedLocked(call *serverCall) {
	x.parked.remove(call.request)
	x.dropRequestLocked(call)
	x.c.removeLocked(&call.stream)
}

// dropParkedLocked drops all of them. The connection has ended.
func (x *extended) dropParkedLocked() {
	for f := x.parked.pop(); f != nil; f = x.parked.pop() {
		x.dropRequestLocked(f.owner.(*serverCall))
	}
}

// dropRequestLocked gives back the request of a call that is not run.
func (x *extended) dropRequestLocked(call *serverCall) {
	x.notParkedLocked(call)
	call.request.release()
	call.request = nil
}

// notParkedLocked gives back the credit of a call that is not parked any more.
func (x *extended) notParkedLocked(call *serverCall) {
	n := chargeOfReceived(call.request)
	call.waits = false
	x.costs -= n
	x.calls.recv.consume(n)
	x.grantCallsLocked()
}

// isUnreadLocked tells whether the peer leaves too much of what it is sent unread.
func (x *extended) isUnreadLocked() bool {
	return x.c.out.bytes+x.bytesLocked()+x.calls.bytes > x.c.cfg.limits.Queue.ConnectionBytes
}
