// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"

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

// onFirstPart decides whether what comes in parts is wanted: it may be a request, which
// opens a stream if opens is set.
func onFirstPart(r reception, id uint32) (keep, opens bool) {
	switch {
	case r.state != stateIdle || r.ours:
		return r.state != stateIdle && r.state != stateEnded, false
	case r.begun:
		return true, false
	}
	opens = id > r.last && !r.said
	return opens, opens
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
	err = x.chargeLocked(s, f)
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
	case err != nil && s.isActive():
		act = actFail
	}
	if act != actMessage && act != actLast {
		x.grantRoomLocked() // for what nobody receives
	}
	if act == actFail && err == nil {
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
	case messageTypeGoodbye:
		x.heardGoodbyeLocked(f)
	}
	c.unlock()
	f.release()
}

// receivePartLocked decides whether what comes before a message is wanted, a part whose
// header has come or files, and unlocks.
func (x *extended) receivePartLocked(s *stream, f *frame) {
	c, h := x.c, f.header
	if h.Type == messageTypePart && h.Flags&flagReset != 0 {
		delete(x.incoming, h.StreamID)
		c.unlock()
		return
	}
	keep := x.wantsLocked(s, h.StreamID)
	if keep && s == nil {
		x.bye.arrivals++
	}
	if h.Type == messageTypeFiles {
		x.gotFilesLocked()
	}
	c.unlock()
	var err error
	if h.Type == messageTypePart {
		err = x.parts.takePart(c.ch, h, keep)
	} else {
		err = x.parts.assign(h.StreamID, int(numberOf(f)), keep)
		f.release()
	}
	if err != nil {
		c.mu.Lock()
		x.failConnLocked(err)
		c.unlock()
	}
}

// wantsLocked tells whether anybody is interested in the message that comes on an id. It
// may be a request, which opens a stream.
func (x *extended) wantsLocked(s *stream, id uint32) bool {
	keep, opens := onFirstPart(x.receptionLocked(s, id), id)
	if !keep || !opens || x.c.closed {
		return keep && !x.c.closed
	}
	x.lastPeer = id
	if n := x.c.hooks.maxHandlers; n > 0 && x.c.accepted+len(x.incoming) >= n {
		x.c.served.Refused++
		x.c.replyLocked(id, tooManyCalls(n))
		return false
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
	for _, tr := range x.all() {
		if tr.of.id == id {
			x.withdrawAllLocked(tr.of)
			x.c.served.recount(tr.of.call.(*serverCall).counted, st.Code())
			x.c.replyLocked(id, st)
			return
		}
	}
}
