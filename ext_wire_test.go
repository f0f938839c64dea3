// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"errors"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// An extendedEnd is one end of a connection in extended mode, whichever it is, and its
// peer, which is a raw one.
type extendedEnd struct {
	ts     *testServer // answers the peer's calls
	client *Client     // calls the peer
	conn   *conn
	peer   *rawPeer
}

// theirs is the nth id of the peer's, ours that of the end's.
func (e *extendedEnd) theirs(n int) uint32 {
	if e.conn.role == roleServer {
		return uint32(2*n + 3) // id 1 was the Hello
	}
	return uint32(2*n + 2)
}

func (e *extendedEnd) ours(n int) uint32 { return e.theirs(n) ^ 1 }

// onEitherEnd runs f with a server, and with a client that offers services, as the end.
func onEitherEnd(t *testing.T, f func(t *testing.T, e *extendedEnd)) {
	t.Helper()
	onEitherEndWith(t, peerHello(), StreamQueue{}, 0, f)
}

// onEitherEndWith does it with a peer that says h of itself, and these options of the end.
func onEitherEndWith(t *testing.T, h hello, q StreamQueue, limit int, f func(t *testing.T, e *extendedEnd)) {
	t.Helper()
	if limit == 0 {
		limit = messageLengthMax
	}
	t.Run("server", func(t *testing.T) {
		onExtendedServer(t, h, func(t *testing.T, ts *testServer, p *rawPeer) {
			f(t, &extendedEnd{ts, ts.conn.client(), ts.conn, p})
		}, WithServerLimits(Limits{Queue: q, MessageSize: limit}))
	})
	t.Run("client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ts := newTestServer(t, WithServerExtensions())
			a, b := memconn.Pipe(0)
			p := newRawPeer(t, b)
			c := NewClient(a, WithClientServices(ts.Server), WithClientLimits(Limits{Queue: q, MessageSize: limit}))
			t.Cleanup(func() { c.Close(); b.Close() })
			p.answerHello(h)
			if ok, err := c.Extended(t.Context()); !ok || err != nil {
				t.Fatalf("B46: extended %v, %v", ok, err)
			}
			f(t, &extendedEnd{ts, c, connOf(c), p})
			b.Close()
			wantAllClean(t, "after the test", connOf(c))
		})
	})
}

// alive requires that the peer's nth call is answered.
func (e *extendedEnd) alive(rule string, n int) {
	e.peer.t.Helper()
	e.peer.wantEcho(rule, e.theirs(n))
}

// echoRequest is a request of Echo, whose answer is wantResult's of "alive".
func echoRequest(t testing.TB) []byte {
	t.Helper()
	return encode(t, &Request{Service: "test", Method: "Echo", Payload: encode(t, wrapperspb.String("alive"))})
}

// A calleeState brings a callee's stream into a state.
type calleeState struct {
	name    string
	enter   func(e *extendedEnd, id uint32)
	handler bool // runs, until ts.answers has something
	ends    func(e *extendedEnd, rule string, id uint32)
}

func calleeStates(t *testing.T) []calleeState {
	wait := func(method string, flags uint8) func(e *extendedEnd, id uint32) {
		return func(e *extendedEnd, id uint32) {
			e.peer.request(id, flags, method, nil)
			<-e.ts.contexts
		}
	}
	closes := func(e *extendedEnd, rule string, id uint32) {
		e.peer.want(rule, id, messageTypeData, flagRemoteClosed|flagNoData, nil)
	}
	return []calleeState{
		{name: "new", enter: func(*extendedEnd, uint32) {}},
		{name: "begun", enter: func(e *extendedEnd, id uint32) {
			e.peer.send(id, messageTypePart, 0, echoRequest(t)[:7])
		}},
		{name: "gone", enter: func(e *extendedEnd, id uint32) { e.peer.wantEcho("B50", id) }},
		{"unary", wait("Wait", 0), true, func(e *extendedEnd, rule string, id uint32) {
			e.peer.wantResult(rule, id, wrapperspb.String("waited"))
		}},
		{"open", wait("Stall", flagRemoteOpen|flagNoData), true, closes},
		{"remote closed", wait("Stall", flagRemoteClosed), true, closes},
		{"ended", func(e *extendedEnd, id uint32) {
			wait("Stall", flagRemoteOpen|flagNoData)(e, id)
			e.peer.send(id, messageTypeCancel, 0, nil)
			e.peer.wantStatus("B47", id, codes.Canceled, "")
		}, true, nil},
	}
}

// calleeFrames are what a callee may get on an id, and by state what it does: nothing, or
// the text of a rejection, or "=" and the text with which the stream fails. The last word
// is "opens" where the request that is completed by the frame, or after it, is answered.
var calleeFrames = []struct {
	name   string
	typ    messageType
	flags  uint8
	data   func(t *testing.T, begun bool) []byte
	states map[string]string
}{
	{"request", messageTypeRequest, 0, restOfEcho, map[string]string{
		"new": "opens", "begun": "opens", "gone": reusedText, "unary": reusedText,
		"open": reusedText, "remote closed": reusedText, "ended": reusedText}},
	{"data", messageTypeData, 0, someData, map[string]string{
		"new": inactiveText, "begun": inactiveText, "unary": inactiveText,
		"remote closed": "=" + string(violationClosed)}},
	{"data without a message", messageTypeData, flagNoData, noData, nil},
	{"response", messageTypeResponse, 0, noData, nil},
	{"type 00", 0, 0, someData, map[string]string{"new": "then opens", "begun": "then opens"}},
	{"type 04", 4, 0, someData, map[string]string{"new": "then opens", "begun": "then opens"}},
	{"type 3f", 0x3f, 0, someData, map[string]string{"new": "then opens", "begun": "then opens"}},
	{"part", messageTypePart, 0, noData, map[string]string{"new": "then opens", "begun": "then opens"}},
	{"reset", messageTypePart, flagReset, noData, map[string]string{"new": "then opens"}},
	{"cancel", messageTypeCancel, 0, noData, map[string]string{
		"new": "then opens", "begun": "then opens", "unary": "=", "open": "=", "remote closed": "="}},
	{"credit", messageTypeCredit, 0, func(*testing.T, bool) []byte { return number(1) }, map[string]string{
		"new": "then opens", "begun": "then opens"}},
}

func noData(*testing.T, bool) []byte { return nil }

func someData(t *testing.T, _ bool) []byte { return encode(t, wrapperspb.String("m")) }

// restOfEcho is a request, or what the state "begun" leaves of one.
func restOfEcho(t *testing.T, begun bool) []byte {
	if begun {
		return echoRequest(t)[7:]
	}
	return echoRequest(t)
}

// TestExtendedCallee holds the callee's table of PROTOCOL.md. Files are in files_test.go.
func TestExtendedCallee(t *testing.T) {
	for _, state := range calleeStates(t) {
		for _, frame := range calleeFrames {
			t.Run(state.name+"/"+frame.name, func(t *testing.T) {
				onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
					rule := "B56: " + frame.name + " on " + state.name
					id, begun := e.theirs(1), state.name == "begun"
					state.enter(e, id)
					e.peer.send(id, frame.typ, frame.flags, frame.data(t, begun))
					does := frame.states[state.name]
					if does == "then opens" {
						e.peer.wantNothing(rule)
						e.peer.send(id, messageTypeRequest, 0, restOfEcho(t, begun))
					}
					wantCallee(e, rule, id, does, state)
					e.peer.wantNothing(rule)
					e.alive(rule, 2)
					if n := len(extOf(e.conn).incoming); n != 0 {
						t.Errorf("%s: %d requests are still expected", rule, n)
					}
				})
			})
		}
	}
}

// wantCallee requires a callee to do what calleeFrames says, and ends its handler.
func wantCallee(e *extendedEnd, rule string, id uint32, does string, state calleeState) {
	e.peer.t.Helper()
	failed := false
	switch {
	case does == "opens" || does == "then opens":
		e.peer.wantResult(rule, id, wrapperspb.String("alive"))
	case does == "=":
		e.peer.wantStatus(rule, id, codes.Canceled, "")
		failed = true
	case does != "" && does[0] == '=':
		e.peer.wantStatus(rule, id, codes.InvalidArgument, does[1:])
		failed = true
	case does != "":
		e.peer.wantStatus(rule, id, codes.InvalidArgument, does)
	}
	e.peer.wantNothing(rule)
	if state.handler {
		e.ts.answers <- nil
		synctest.Wait()
		if state.ends != nil && !failed {
			state.ends(e, rule+", at the end", id)
		}
	}
}

// TestExtendedCaller holds the caller's table of PROTOCOL.md.
func TestExtendedCaller(t *testing.T) {
	message := encode(t, wrapperspb.String("m"))
	frames := []struct {
		name        string
		typ         messageType
		flags       uint8
		data        []byte
		unary, open string // what comes of the stream: "end", "fail", "message", "" for nothing
	}{
		{"response", messageTypeResponse, 0, nil, "end", "end"},
		{"data", messageTypeData, 0, message, "fail", "message"},
		{"data without a message", messageTypeData, flagNoData, nil, "", ""},
		{"request", messageTypeRequest, 0, nil, "fail", "fail"},
		{"type 00", 0, 0, nil, "fail", "fail"},
		{"type 04", 4, 0, nil, "fail", "fail"},
		{"type 3f", 0x3f, 0, nil, "fail", "fail"},
		{"part", messageTypePart, 0, nil, "", ""},
		{"reset", messageTypePart, flagReset, nil, "", ""},
		{"cancel", messageTypeCancel, 0, nil, "fail", "fail"},
		{"credit", messageTypeCredit, 0, number(1), "", ""},
	}
	for _, f := range frames {
		for state, does := range map[string]string{"idle": "", "never used": "", "unary": f.unary, "open": f.open} {
			t.Run(state+"/"+f.name, func(t *testing.T) {
				onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
					rule := "B56: " + f.name + " on " + state
					end := enterCaller(t, e, state)
					id := e.ours(0)
					if state == "never used" {
						id = e.ours(5)
					}
					if f.typ == messageTypePart && f.flags == 0 && state == "open" {
						f.flags = flagStream
					}
					e.peer.send(id, f.typ, f.flags, f.data)
					wantCaller(t, e, rule, id, does, end)
					e.peer.wantNothing(rule)
					e.alive(rule, 0)
				})
			})
		}
	}
}

// enterCaller makes a call and brings it into a state. It returns what tells how the call
// has ended, after a message if it has one.
func enterCaller(t *testing.T, e *extendedEnd, state string) func() (message string, err error) {
	switch state {
	case "unary", "idle":
		done := goCall(t.Context(), e.client, new(wrapperspb.StringValue))
		e.peer.wantRequest("B50", e.ours(0), 0)
		if state == "idle" {
			e.peer.respond(e.ours(0), nil, nil)
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		return func() (string, error) { return "", <-done }
	case "open":
		s := open(t, t.Context(), e.client, bidi, nil)
		e.peer.wantRequest("B50", e.ours(0), flagRemoteOpen|flagNoData)
		return func() (string, error) {
			var m wrapperspb.StringValue
			err := s.RecvMsg(&m)
			if err == nil {
				err = s.RecvMsg(new(wrapperspb.StringValue))
			}
			return m.Value, endOfStream(err)
		}
	}
	return nil
}

// wantCaller requires the caller's stream to do what the table says, and ends it.
func wantCaller(t *testing.T, e *extendedEnd, rule string, id uint32, does string, end func() (string, error)) {
	t.Helper()
	if does == "fail" {
		if _, err := end(); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", rule, err)
		}
		if f := e.peer.next(rule); f.StreamID != id || f.Type != messageTypeCancel || parseReason(f.data, 0).Code() != codes.InvalidArgument {
			t.Errorf("%s: %v on %d with %x, want a cancel with status 3", rule, f.Type, f.StreamID, f.data)
		}
		return
	}
	e.peer.wantNothing(rule)
	e.conn.mu.Lock()
	active := e.conn.streams[id] != nil
	e.conn.mu.Unlock()
	if !active && (does == "" || does == "message") {
		return // idle
	}
	if does != "end" {
		e.peer.respond(id, nil, nil)
	}
	message, err := end()
	if err != nil || (message == "m") != (does == "message") {
		t.Errorf("%s: the call ended with %q, %v", rule, message, err)
	}
}
