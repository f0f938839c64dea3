// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// goSend sends a message and returns where its error will be.
func goSend(s ClientStream, m any) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.SendMsg(m) }()
	synctest.Wait()
	return done
}

// wantWaiting requires that something has not ended.
func wantWaiting(t *testing.T, rule string, done <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		t.Errorf("%s: it has ended with %v", rule, err)
	default:
	}
}

func (e *extendedEnd) credit() int {
	e.conn.mu.Lock()
	defer e.conn.mu.Unlock()
	return int(extOf(e.conn).send.have)
}

// TestCreditOfSender holds the example of PROTOCOL.md, to the byte.
func TestCreditOfSender(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		s := open(t, t.Context(), e.client, bidi, nil)
		id := e.ours(0)
		e.peer.wantRequest("B48: free", id, flagRemoteOpen|flagNoData)
		message := bytesOfLength(t, 100000)
		for i := range 3 {
			if err := s.SendMsg(message); err != nil {
				t.Error(err)
			}
			if e.peer.wantFrames("B48", headerOf(partSize, id, messageTypePart, 0), headerOf(100000-partSize, id, messageTypeData, 0)); e.credit() != 33554432-100256*(i+1) {
				t.Errorf("B48: the connection's credit is %d", e.credit())
			}
		}
		fourth := goSend(s, message)
		wantWaiting(t, "B48: a message for which there is no credit", fourth)
		e.peer.send(id, messageTypeCredit, 0, number(38624))
		e.peer.send(0, messageTypeCredit, 0, number(1))
		wantWaiting(t, "B48: a credit of 0 is none", fourth)
		e.peer.wantNothing("B48")
		e.peer.send(id, messageTypeCredit, 0, number(1))
		if err := <-fourth; err != nil {
			t.Error(err)
		}
		e.peer.wantFrames("B48: a message may begin with a credit of 1", headerOf(partSize, id, messageTypePart, 0), headerOf(100000-partSize, id, messageTypeData, 0))
		if e.credit() != 33554432-4*100256+1 {
			t.Errorf("B48: the connection's credit is %d", e.credit())
		}
		if err := s.CloseSend(); err != nil {
			t.Error(err)
		}
		e.peer.want("B48: a close needs none", id, messageTypeData, flagRemoteClosed|flagNoData, nil)
		e.peer.respond(id, nil, nil)
	})
}

// TestCreditOfConnection holds that all streams share the connection's credit, that an
// empty message costs 256, and that calls are free.
func TestCreditOfConnection(t *testing.T) {
	h := peerHello()
	h.ConnectionWindow = 512
	onEitherEndWith(t, h, StreamQueue{}, 0, func(t *testing.T, e *extendedEnd) {
		a, b := open(t, t.Context(), e.client, bidi, nil), open(t, t.Context(), e.client, bidi, nil)
		if err := errors.Join(a.SendMsg(nil), b.SendMsg(nil)); err != nil {
			t.Error(err)
		}
		if e.credit() != 0 {
			t.Errorf("B48: two empty messages leave %d of 512", e.credit())
		}
		waits, also := goSend(a, nil), goSend(b, nil)
		e.peer.send(e.ours(0), messageTypeCredit, 0, number(255))
		wantWaiting(t, "B48: the connection has no credit", waits)
		wantWaiting(t, "B48: the connection has no credit", also)
		call := goCall(t.Context(), e.client, new(wrapperspb.StringValue))
		e.peer.wantFrames("B48: requests are free",
			headerOf(uint32(len(streamRequest(t))), e.ours(0), messageTypeRequest, 6), headerOf(uint32(len(streamRequest(t))), e.ours(1), messageTypeRequest, 6),
			headerOf(0, e.ours(0), messageTypeData, 0), headerOf(0, e.ours(1), messageTypeData, 0),
			headerOf(21, e.ours(2), messageTypeRequest, 0))
		e.alive("B48: answers are free", 0)
		e.peer.respond(e.ours(2), nil, nil)
		if err := <-call; err != nil {
			t.Error(err)
		}
		e.peer.send(0, messageTypeCredit, 0, number(1))
		synctest.Wait()
		if e.credit() != -255 {
			t.Errorf("B48: one of two may send, and the credit is %d", e.credit())
		}
		e.peer.send(0, messageTypeCredit, 0, number(256))
		if err := errors.Join(<-waits, <-also); err != nil {
			t.Error(err)
		}
		waits = goSend(a, nil)
		e.peer.send(e.ours(0), messageTypeCredit, 0, number(256))
		wantWaiting(t, "B48: the connection has no credit", waits)
		e.peer.send(e.ours(0), messageTypeCredit, 0, number(1))
		if err := <-waits; err != nil {
			t.Errorf("B48: a stream of which all was consumed may send, whatever the others hold: %v", err)
		}
		for i := range 2 {
			e.peer.respond(e.ours(i), nil, nil)
		}
	})
}

func streamRequest(t *testing.T) []byte {
	return encode(t, &Request{Service: "test", Method: "Stream"})
}

// TestCreditGiven holds when and how much a receiver gives, to the byte.
func TestCreditGiven(t *testing.T) {
	onEitherEndWith(t, peerHello(), StreamQueue{Window: 4000, ConnectionBytes: 40000}, 0, func(t *testing.T, e *extendedEnd) {
		steps := make(stepper)
		steps.register(e.ts.Server)
		id := e.theirs(0)
		e.peer.openSteps(id)
		send := func(cost int) {
			e.peer.send(id, messageTypeData, 0, encode(t, bytesOfLength(t, cost-messageCharge)))
		}
		send(1999)
		send(1000)
		steps.take(t, "B48", 1)
		e.peer.wantNothing("B48: less than half of the window was consumed")
		send(1001)
		send(5000) // has none
		e.peer.wantStatus("B48: a message without credit", id, codes.ResourceExhausted, "ttrpc: a message without credit on the stream")
		steps.do(func(_ context.Context, ss StreamServer) error { return ss.RecvMsg(new(wrapperspb.BytesValue)) })

		id = e.theirs(1)
		e.peer.openSteps(id)
		send(3999)
		send(5000) // begins with a room of 1
		steps.take(t, "B48", 1)
		e.peer.want("B48: what is free", id, messageTypeCredit, 0, number(3999))
		e.peer.want("B48: also of what was dropped, and of both streams", 0, messageTypeCredit, 0, number(9000+3999))
		steps.take(t, "B48", 1)
		e.peer.want("B48: what is free", id, messageTypeCredit, 0, number(5000))
		e.peer.wantNothing("B48: less than a quarter of the connection's was consumed")
		send(4000)
		steps.take(t, "B48: the window is as at the beginning", 1)
		e.peer.want("B48", id, messageTypeCredit, 0, number(4000))
		steps.end()
		e.peer.want("B48", id, messageTypeData, flagRemoteClosed|flagNoData, nil)
	})
}

// TestCreditOfDropped holds that the connection's credit comes back for every message that
// nobody will consume, whatever the state of its stream.
func TestCreditOfDropped(t *testing.T) {
	q := StreamQueue{Window: 1024, ConnectionBytes: 1024}
	large := make([]byte, 5000)
	for _, state := range calleeStates(t) {
		if state.name == "open" {
			continue
		}
		for name, send := range map[string]func(p *rawPeer, id uint32){
			"empty":          func(p *rawPeer, id uint32) { p.send(id, messageTypeData, 0, nil) },
			"large":          func(p *rawPeer, id uint32) { p.send(id, messageTypeData, 0, large) },
			"with the close": func(p *rawPeer, id uint32) { p.send(id, messageTypeData, flagRemoteClosed, nil) },
			"over the limit": func(p *rawPeer, id uint32) { p.send(id, messageTypeData, 0, make([]byte, 10001)) },
			"in parts": func(p *rawPeer, id uint32) {
				p.send(id, messageTypePart, 0, large)
				p.send(id, messageTypeData, 0, nil)
			},
			"in parts over the limit": func(p *rawPeer, id uint32) {
				for range 3 {
					p.send(id, messageTypePart, 0, large)
				}
				p.send(id, messageTypeData, 0, nil)
			},
		} {
			t.Run(state.name+"/"+name, func(t *testing.T) {
				onEitherEndWith(t, peerHello(), q, 10000, func(t *testing.T, e *extendedEnd) {
					state.enter(e, e.theirs(1))
					send(e.peer, e.theirs(1))
					wantRoom(t, e, "B48: "+name+" on "+state.name)
					if state.handler {
						e.ts.answers <- nil
					}
				})
			})
		}
	}
}

// wantRoom requires that the peer has the credit of all that nobody holds.
func wantRoom(t *testing.T, e *extendedEnd, rule string) {
	t.Helper()
	synctest.Wait()
	e.conn.mu.Lock()
	room, held := int(extOf(e.conn).recv.room), int(e.conn.total.Load())
	e.conn.mu.Unlock()
	if room+held != e.conn.cfg.limits.Queue.ConnectionBytes {
		t.Errorf("%s: %d are held and %d may be sent of %d", rule, held, room, e.conn.cfg.limits.Queue.ConnectionBytes)
	}
	if e.peer.takeCredit(0) == 0 {
		t.Errorf("%s: the connection's credit does not come back", rule)
	}
}

// TestCreditOfReset holds that a message which is given up is not charged.
func TestCreditOfReset(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		e.peer.request(e.theirs(0), flagRemoteOpen|flagNoData, "Stall", nil)
		<-e.ts.contexts
		e.peer.send(e.theirs(0), messageTypePart, 0, make([]byte, 1000))
		e.peer.send(e.theirs(0), messageTypePart, flagReset, nil)
		synctest.Wait()
		if extOf(e.conn).recv.room != defaultConnectionBytes {
			t.Errorf("B48: of the room %d are left", extOf(e.conn).recv.room)
		}
		e.ts.answers <- nil
	})
}

// TestCreditOfCallers holds that a caller, too, fails a stream on which more comes than it
// gave credit for.
func TestCreditOfCallers(t *testing.T) {
	onEitherEndWith(t, peerHello(), StreamQueue{Window: 1000}, 0, func(t *testing.T, e *extendedEnd) {
		s := open(t, t.Context(), e.client, bidi, nil)
		e.peer.next("B48")
		e.peer.send(e.ours(0), messageTypeData, 0, make([]byte, 743)) // leaves 1
		e.peer.send(e.ours(0), messageTypeData, 0, make([]byte, 9999))
		e.peer.wantNothing("B48: a message may begin with a credit of 1")
		e.peer.send(e.ours(0), messageTypeData, 0, nil)
		synctest.Wait()
		if err := s.RecvMsg(new(wrapperspb.StringValue)); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("B48: %v", err)
		}
		e.peer.want("B48", e.ours(0), messageTypeCancel, 0, statusBytes(t, codes.ResourceExhausted, "ttrpc: a message without credit on the stream"))
	})
}

// TestCreditTooMuch holds that credit has a most on a stream that is active.
func TestCreditTooMuch(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		open(t, t.Context(), e.client, bidi, nil)
		e.peer.next("B48")
		e.peer.send(e.ours(0), messageTypeCredit, 0, number(maxCredit-defaultWindow))
		e.peer.wantAlive("B48: a credit of 2^31-1")
		e.peer.send(e.ours(0), messageTypeCredit, 0, number(1))
		e.peer.wantEnd("B48: a credit of 2^31")
	})
}
