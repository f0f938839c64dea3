// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A reception is what an extended connection knows that decides what a frame means: of the
// stream that the frame is for, and of the ids of its side.
type reception struct {
	state   streamState // of the stream; idle if there is none
	streams bool        // the server may send data on it
	ours    bool        // the id is one that this end opens streams with
	begun   bool        // a request has come in part on the id
	last    uint32      // the last id of the peer's that has come
	said    bool        // we have said goodbye
	served  uint32      // and that this is the last id that is served
}

// onExtendedReceive is onReceive in extended mode, where both ends open streams.
func onExtendedReceive(r reception, h messageHeader) (action, violation) {
	whole := isMessageType(h.Type)
	switch {
	case h.Type == messageTypeData && h.Flags&(flagRemoteClosed|flagNoData) == flagNoData:
		return actIgnore, violationNone // no message, which nobody was charged for
	case r.ours:
		return onOpenerReceive(r.state, r.streams, h)
	case r.state != stateIdle || r.begun && whole:
	case r.said && h.StreamID > r.served:
		return actIgnore, violationNone
	case h.StreamID <= r.last && h.Type == messageTypeRequest:
		return actReject, violationReused
	case h.StreamID <= r.last:
		return actIgnore, violationNone // late
	}
	return onAccepterReceive(r.state, h)
}

// isMessageType tells whether a frame of the type may be what completes a message that
// came in parts.
func isMessageType(t messageType) bool { return t >= messageTypeRequest && t <= messageTypeData }

// A partFate is what becomes of a part, or of files.
type partFate uint8

const (
	partDrop  partFate = iota // nobody wants it
	partKeep                  // it is collected
	partOpens                 // the same, and a request begins with it
)

// onPart decides what becomes of what comes ahead of a message, for which a stream pays or,
// with ofStream unset, who calls.
func onPart(r reception, id uint32, ofStream bool) partFate {
	switch {
	case ofStream && r.state == stateOpen:
		return partKeep
	case ofStream:
		return partDrop
	case r.ours && r.state == stateUnary, !r.ours && r.state == stateIdle && r.begun:
		return partKeep
	case !r.ours && r.state == stateIdle && id > r.last && !(r.said && id > r.served):
		return partOpens
	}
	return partDrop
}

// receptionLocked returns what decides the meaning of a frame with that id.
func (x *extended) receptionLocked(s *stream, id uint32) reception {
	r := reception{ours: !x.c.isPeers(id), last: x.lastPeer, said: x.bye.said, served: x.bye.served}
	r.state, r.streams = s.expects()
	if len(x.incoming) > 0 {
		_, r.begun = x.incoming[id]
	}
	return r
}

// judgeLocked implements [mode].
func (x *extended) judgeLocked(s *stream, f *frame, big *OversizedMessageErr) (act action, why violation, err error) {
	h := f.header
	r := x.receptionLocked(s, h.StreamID)
	act, why = onExtendedReceive(r, h)
	if r.begun && isMessageType(h.Type) {
		delete(x.incoming, h.StreamID)
	}
	if act == actOpen {
		x.lastPeer = max(x.lastPeer, h.StreamID)
	}
	if act == actMessage && s.call == nil {
		s.headerPassedLocked()
	}
	switch {
	case x.c.closed:
		act = actIgnore
	case big != nil && why == violationReused: // it was refused when its first part came
		act = actIgnore
	case big != nil:
		act = onOversized(act)
	}
	x.chargeLocked(s, f, act)
	if act != actOpen { // else it is known later whether the call is parked
		x.grantCallsLocked()
	}
	if act == actFail {
		err = failure(s.call != nil, why, h, big)
	}
	return act, why, err
}

// receiveLocked implements [mode].
func (x *extended) receiveLocked(f *frame) {
	c := x.c
	s := c.streams[f.header.StreamID]
	switch f.header.Type {
	case messageTypePart, messageTypeFiles:
		x.receivePartLocked(s, f)
		return
	case messageTypeCancel:
		x.cancelledLocked(s, f)
	case messageTypeCredit:
		x.grantedLocked(s, f)
	case messageTypePing:
		x.pingedLocked(f)
	case messageTypeMetadata:
		x.describedLocked(s, f)
	case messageTypeWant:
		x.wantedLocked(s, f)
	case messageTypeReturn:
		x.returnedLocked(s, f)
	case messageTypeGoodbye:
		x.heardGoodbyeLocked(f)
	}
	c.unlock()
	f.release()
}

// receivePartLocked decides whether what comes before a message is wanted, a part whose
// header has come or files, takes the credit, and unlocks.
func (x *extended) receivePartLocked(s *stream, f *frame) {
	c, h := x.c, f.header
	if h.Type == messageTypePart && h.Flags&flagReset != 0 {
		x.resetLocked(s, h.StreamID)
		c.unlock()
		x.parts.forget(h.StreamID)
		return
	}
	fate := onPart(x.receptionLocked(s, h.StreamID), h.StreamID, h.Flags&flagStream != 0)
	keep := fate == partKeep || fate == partOpens && x.beginsRequestLocked(h.StreamID)
	if keep && s == nil {
		x.bye.arrivals++
	}
	n, files := int(h.Length), 0
	if h.Type == messageTypeFiles {
		x.gotFilesLocked()
		n, files = 0, int(min(numberOf(f), maxFiles+1))
	}
	late := h.Flags&flagStream != 0 && !keep
	keep = x.chargePartLocked(s, h, n, files, keep && !c.closed)
	closed := c.cause != nil
	c.unlock()
	var err error
	switch {
	case h.Type == messageTypeFiles:
		err = x.parts.assign(h.StreamID, int(numberOf(f)), keep)
		f.release()
	case closed, late:
		x.parts.forget(h.StreamID)
		c.ch.pass(h)
	default:
		x.parts.takePart(c.ch, h, keep)
	}
	if err != nil {
		c.mu.Lock()
		x.failConnLocked(err)
		c.unlock()
	}
}

// chargePartLocked takes a part of n bytes, or files, off the room of who pays. It reports
// whether it is to be kept. What is not is consumed at once, but for what it costs to
// remember that the rest of the message is to be dropped as well. Late ones of a stream,
// which has ended, are no business of it any more.
func (x *extended) chargePartLocked(s *stream, h messageHeader, n, files int, keep bool) bool {
	ofStream := h.Flags&flagStream != 0
	if m := x.parts.open[h.StreamID]; m != nil && m.paid > 0 && m.ofStream != ofStream {
		x.failConnLocked(&connError{fmt.Sprintf("stream %d: two pay for parts of one message", h.StreamID)})
		return false
	}
	if ofStream && !keep {
		return false
	}
	m := x.parts.at(h.StreamID)
	cost := n + files*fileCharge
	if m.paid == 0 {
		m.ofStream = ofStream
		cost += messageCharge
		if ofStream {
			flowOf(s).takeBack() // what it asked for and did not get, if it did
		}
	}
	m.paid += cost
	if ofStream && !flowOf(s).recv.charge(cost) || !ofStream && !x.calls.recv.charge(cost) {
		x.noCreditLocked(h)
	}
	keep = keep && m.fits(n, x.c.ch.max)
	if !keep && !ofStream {
		x.calls.recv.consume(m.paid - messageCharge)
		m.paid = messageCharge
		x.grantCallsLocked()
	}
	return keep
}

// resetLocked takes note that the rest of a message does not come.
func (x *extended) resetLocked(s *stream, id uint32) {
	delete(x.incoming, id)
	if m := x.parts.open[id]; m != nil {
		x.consumePartsLocked(s, m.paid, m.ofStream)
	}
}

// beginsRequestLocked takes note that a request comes in parts, unless that is one too many.
func (x *extended) beginsRequestLocked(id uint32) bool {
	if x.c.closed {
		return false
	}
	x.lastPeer = id
	if n := x.c.hooks.maxHandlers; n > 0 && x.c.accepted+len(x.incoming) >= n {
		x.c.servedLocked().Refused++
		x.turnAwayLocked(id, tooManyCalls(n))
		return false
	}
	if x.incoming == nil {
		x.incoming = make(map[uint32]struct{})
	}
	x.incoming[id] = struct{}{}
	return true
}

// cancelledLocked ends a stream that the peer has given up.
func (x *extended) cancelledLocked(s *stream, f *frame) {
	st := parseReason(f.data, codes.Canceled)
	switch {
	case s != nil && s.call == nil && s.isActive():
		x.c.failLocked(s, failure(false, violationType, f.header, nil))
	case s != nil && s.call != nil && s.isActive():
		x.c.failLocked(s, givenUp(st))
	case s == nil:
		x.cutAnswerLocked(f.header.StreamID, st)
	}
}

// givenUp is the error of a call whose caller has given it up: what the caller's context has
// ended with is what the handler's ends with.
func givenUp(st *status.Status) error {
	switch st.Code() {
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.Canceled:
		return statusErr{codes.Canceled, st.Message(), context.Canceled}
	}
	return st.Err()
}

// cutAnswerLocked stops an answer that is leaving in parts.
func (x *extended) cutAnswerLocked(id uint32, st *status.Status) {
	if !x.c.isPeers(id) {
		return
	}
	of := x.calls.answers[id]
	for _, tr := range x.all() {
		if of == nil && tr.of.id == id {
			of = tr.of
		}
	}
	if of != nil {
		x.withdrawAllLocked(of)
		x.c.servedLocked().recount(of.call.(*serverCall).counted, st.Code())
		x.c.replyLocked(id, st)
	}
}
