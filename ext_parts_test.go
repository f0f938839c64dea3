// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// noise returns n bytes that are not all alike.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	r.Read(b)
	return b
}

// noiseOfLength is a BytesValue of noise whose encoding has n bytes.
func noiseOfLength(t *testing.T, n int) *wrapperspb.BytesValue {
	m := bytesOfLength(t, n)
	m.Value = noise(len(m.Value))
	return m
}

// wantCut requires the next frames to be data in parts of 65,536 bytes, the last of them
// with that type and flags.
func (p *rawPeer) wantCut(rule string, id uint32, typ messageType, flags uint8, data []byte) {
	p.t.Helper()
	partFlags := map[messageType]uint8{messageTypeData: flagStream}[typ]
	for len(data) > 65536 {
		p.want(rule, id, messageTypePart, partFlags, data[:65536])
		data = data[65536:]
	}
	p.want(rule, id, typ, flags, data)
	p.wantNothing(rule)
}

// TestLoneFrames holds that what delays nobody is cut less.
func TestLoneFrames(t *testing.T) {
	aloneSize = maxFrameData
	defer func() { aloneSize = partSize }()
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		wrap := func(payload []byte) []byte {
			return encode(t, &Request{Service: "test", Method: "Method", Payload: payload})
		}
		call := func(n int) {
			go e.client.Call(t.Context(), "test", "Method", &preencoded{payloadFor(t, n, wrap)}, new(wrapperspb.StringValue))
			synctest.Wait()
		}
		call(maxFrameData)
		e.peer.wantFrames("B49: alone", headerOf(maxFrameData, e.ours(0), messageTypeRequest, 0))
		e.peer.respond(e.ours(0), nil, nil)
		synctest.Wait()
		call(maxFrameData + 1)
		e.peer.wantFrames("B49: alone, and too long", headerOf(maxFrameData, e.ours(1), messageTypePart, 0), headerOf(1, e.ours(1), messageTypeRequest, 0))
		call(partSize + 1) // beside the one that waits for its answer
		e.peer.wantFrames("B49: beside another", headerOf(partSize, e.ours(2), messageTypePart, 0), headerOf(1, e.ours(2), messageTypeRequest, 0))
		e.peer.respond(e.ours(1), nil, nil)
		e.peer.respond(e.ours(2), nil, nil)
		synctest.Wait()
	})
}

// TestFramesTooLong holds that a frame which should have been cut ends the connection with
// its header, so that what it has is never in the way of others, nor in memory uncounted.
func TestFramesTooLong(t *testing.T) {
	for name, typ := range map[string]messageType{"part": messageTypePart, "request": messageTypeRequest, "data": messageTypeData, "response": messageTypeResponse} {
		t.Run(name, func(t *testing.T) {
			onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
				header := make([]byte, messageHeaderLength)
				headerOf(maxFrameData+1, e.theirs(0), typ, 0).Put(header)
				e.peer.write(header)
				synctest.Wait()
				if err := e.conn.why(); !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), "not cut") {
					t.Errorf("B49: the cause is %v", err)
				}
			})
		})
	}
}

// TestPartsSent holds where requests, messages and answers are cut.
func TestPartsSent(t *testing.T) {
	for _, n := range []int{partSize - 1, partSize, partSize + 1, 2*partSize - 1, 2 * partSize, 2*partSize + 1, 150000, 1 << 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
				message := noiseOfLength(t, n)
				s := open(t, t.Context(), e.client, bidi, nil)
				e.peer.next("")
				e.peer.send(e.ours(0), messageTypeCredit, 0, number(1<<20))
				synctest.Wait()
				if err := s.SendMsg(message); err != nil {
					t.Error(err)
				}
				e.peer.wantCut("B49: data", e.ours(0), messageTypeData, 0, encode(t, message))

				wrap := func(payload []byte) []byte {
					return encode(t, &Request{Service: "test", Method: "Method", Payload: payload})
				}
				payload := payloadFor(t, n, wrap)
				go e.client.Call(t.Context(), "test", "Method", &preencoded{payload}, new(wrapperspb.StringValue))
				e.peer.wantCut("B49: a request", e.ours(1), messageTypeRequest, 0, wrap(payload))

				wrap = func(payload []byte) []byte { return encode(t, &Response{Payload: payload}) }
				payload = payloadFor(t, n, wrap)
				e.ts.Register("large", map[string]Method{"Large": func(context.Context, func(any) error) (any, error) { return &preencoded{payload}, nil }})
				e.peer.send(e.theirs(0), messageTypeRequest, 0, encode(t, &Request{Service: "large", Method: "Large"}))
				e.peer.wantCut("B49: an answer", e.theirs(0), messageTypeResponse, 0, wrap(payload))
				e.peer.respond(e.ours(0), nil, nil)
				e.peer.respond(e.ours(1), nil, nil)
			})
		})
	}
}

// payloadFor returns noise that, wrapped, has n bytes.
func payloadFor(t *testing.T, n int, wrap func([]byte) []byte) []byte {
	t.Helper()
	b := noise(n)
	for len(wrap(b)) > n {
		b = b[:len(b)-1]
	}
	if len(wrap(b)) != n {
		t.Fatalf("nothing wrapped has %d bytes", n)
	}
	return b
}

// preencoded is a message, of gogo/protobuf, that is its encoding.
type preencoded struct{ b []byte }

func (p *preencoded) Reset()                          { p.b = nil }
func (p *preencoded) String() string                  { return "" }
func (p *preencoded) ProtoMessage()                   {}
func (p *preencoded) Size() int                       { return len(p.b) }
func (p *preencoded) MarshalTo(b []byte) (int, error) { return copy(b, p.b), nil }
func (p *preencoded) Unmarshal(b []byte) error        { p.b = bytes.Clone(b); return nil }

// sendCut sends data in pieces that end where cuts says.
func (p *rawPeer) sendCut(id uint32, typ messageType, flags uint8, data []byte, cuts ...int) {
	p.t.Helper()
	var all []byte
	at := 0
	for _, cut := range cuts {
		all = append(all, frameBytes(id, messageTypePart, map[messageType]uint8{messageTypeData: flagStream}[typ], data[at:cut])...)
		at = cut
	}
	p.write(append(all, frameBytes(id, typ, flags, data[at:])...))
}

// TestPartsReceived holds that it makes no difference how a frame is cut.
func TestPartsReceived(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		n := 0
		wantEcho := func(rule string, value string, cuts ...int) {
			t.Helper()
			request := encode(t, &Request{Service: "test", Method: "Echo", Payload: encode(t, wrapperspb.String(value))})
			e.peer.sendCut(e.theirs(n), messageTypeRequest, 0, request, cuts...)
			var r Response
			var answer []byte
			for f := (rawFrame{}); f.Type != messageTypeResponse; answer = append(answer, f.data...) {
				if f = e.peer.next(rule); f.Type == messageTypeCredit {
					f.data = nil
				}
			}
			if err := proto.Unmarshal(answer, &r); err != nil || !bytes.Equal(r.Payload, encode(t, wrapperspb.String(value))) {
				t.Errorf("%s: %v, %d bytes, status %v", rule, err, len(r.Payload), r.Status)
			}
			n++
		}
		small := len(encode(t, &Request{Service: "test", Method: "Echo", Payload: encode(t, wrapperspb.String("small"))}))
		each := []int{}
		for cut := range small + 1 {
			wantEcho(fmt.Sprintf("B49: cut at byte %d", cut), "small", cut)
			each = append(each, cut, cut)
		}
		wantEcho("B49: cut at each byte, and empty parts", "small", each...)
		large := string(bytes.Repeat([]byte("0123456789abcdef"), 10000))
		for cut := partSize - 3; cut <= partSize+3; cut++ {
			wantEcho(fmt.Sprintf("B49: cut at byte %d", cut), large, cut)
			wantEcho(fmt.Sprintf("B49: cut at byte %d and later", cut), large, cut, cut+partSize)
		}
		wantEcho("B49: not cut", large)
		wantClean(t, "B49", e.conn)
	})
}

// TestPartsToCaller holds it for messages and answers, with frames of others between.
func TestPartsToCaller(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		s := open(t, t.Context(), e.client, bidi, nil)
		resp := new(wrapperspb.StringValue)
		call := goCall(t.Context(), e.client, resp)
		synctest.Wait()
		message, answer := encode(t, wrapperspb.String("message")), encode(t, &Response{Payload: encode(t, wrapperspb.String("answer"))})
		for i := range len(answer) { // byte by byte, in turns
			e.peer.send(e.ours(1), messageTypePart, 0, answer[i:i+1])
			if i < len(message) {
				e.peer.send(e.ours(0), messageTypePart, flagStream, message[i:i+1])
			}
			e.peer.send(0, messageTypePing, flagAnswer, make([]byte, 8))
		}
		e.peer.send(e.ours(0), messageTypeData, 0, nil)
		wantRecv(t, "B49", s, "message", nil)
		e.peer.send(e.ours(1), messageTypeResponse, 0, nil)
		if err := <-call; err != nil || resp.Value != "answer" {
			t.Errorf("B49: %q, %v", resp.Value, err)
		}
		e.peer.send(e.ours(0), messageTypePart, flagStream, message)
		e.peer.send(e.ours(0), messageTypePart, flagReset, nil)
		e.peer.send(e.ours(0), messageTypeData, 0, message)
		wantRecv(t, "B49: after a reset", s, "message", nil)
		e.peer.send(e.ours(0), messageTypePart, flagStream, message[:3])
		e.peer.send(e.ours(0), messageTypeData, flagRemoteClosed, message[3:])
		e.peer.send(e.ours(0), messageTypeResponse, 0, nil)
		wantRecv(t, "B49: with the close", s, "message", nil)
	})
}

// TestPartsReset holds that a request which is reset was never made, and its id is used up.
func TestPartsReset(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		request := echoRequest(t)
		e.peer.send(e.theirs(3), messageTypePart, 0, request[:9])
		e.peer.send(e.theirs(3), messageTypePart, flagReset, nil)
		e.peer.wantNothing("B49: a reset gets no answer")
		wantAllClean(t, "B49: of what was reset", e.conn)
		e.peer.send(e.theirs(3), messageTypeRequest, 0, request)
		e.peer.wantStatus("B49: the id is used up", e.theirs(3), codes.InvalidArgument, reusedText)
		e.peer.send(e.theirs(3), messageTypeData, 0, nil)
		e.peer.wantNothing("B49: late data")
		e.peer.send(e.theirs(1), messageTypeRequest, 0, request)
		e.peer.wantStatus("B50: so are those below", e.theirs(1), codes.InvalidArgument, reusedText)
		e.alive("B49", 4)
	})
}

// TestPartsLimit holds the limit on messages over all their parts, to the byte.
func TestPartsLimit(t *testing.T) {
	const limit = 5000
	for name, cuts := range map[string][]int{ // what does not fit is left out
		"whole": nil, "last passes it": {limit - 1}, "a part passes it": {3000, limit + 1},
		"the first passes it": {limit + 1}, "the last is empty": {limit + 1, limit + 1}, "an empty one first": {0}, "nothing is left": {limit}, "many": {1000, 2000, 4000, 4999},
	} {
		for _, over := range []int{0, 1, 2} {
			t.Run(fmt.Sprintf("%s/%d", name, over), func(t *testing.T) {
				onEitherEndWith(t, peerHello(), StreamQueue{Window: 6 << 10}, limit, func(t *testing.T, e *extendedEnd) {
					if slices.Max(append(cuts, 0)) > limit+over {
						return
					}
					tooLong := fmt.Sprintf("message length %d exceed maximum message size of %d", limit+over, limit)
					request := payloadFor(t, limit+over, func(b []byte) []byte {
						return encode(t, &Request{Service: "nobody's", Payload: b})
					})
					request = encode(t, &Request{Service: "nobody's", Payload: request})
					e.peer.sendCut(e.theirs(0), messageTypeRequest, 0, request, cuts...)
					f := e.peer.next("B49")
					if st, _, _ := parseResponse(f.data); f.StreamID != e.theirs(0) || (st.GetMessage() == tooLong && st.GetCode() == int32(codes.ResourceExhausted)) != (over > 0) {
						t.Errorf("B49: a request of %d bytes: %v", len(request), st)
					}
					e.peer.request(e.theirs(1), flagRemoteOpen|flagNoData, "Stall", nil)
					<-e.ts.contexts
					e.peer.sendCut(e.theirs(1), messageTypeData, 0, make([]byte, limit+over), cuts...)
					if over > 0 {
						e.peer.wantStatus("B49: data", e.theirs(1), codes.ResourceExhausted, tooLong)
					}
					synctest.Wait() // it has arrived before the handler returns
					e.ts.answers <- nil
					if over == 0 {
						e.peer.want("B49: data", e.theirs(1), messageTypeData, 5, nil)
					}
					var resp preencoded
					call := make(chan error, 1)
					go func() { call <- e.client.Call(t.Context(), "test", "Method", wrapperspb.String(""), &resp) }()
					e.peer.next("")
					answer := encode(t, &Response{Payload: make([]byte, limit+over-3)})
					e.peer.sendCut(e.ours(0), messageTypeResponse, 0, answer, cuts...)
					if err := <-call; (status.Code(err) == codes.ResourceExhausted && status.Convert(err).Message() == tooLong) != (over > 0) {
						t.Errorf("B49: an answer of %d bytes: %v", len(answer), err)
					}
					if over > 0 {
						e.peer.next("B47") // a cancel, which need not be
					}
					wantAllClean(t, "B49", e.conn)
					e.alive("B49", 2)
				})
			})
		}
	}
}

// TestPartsResetOfTooLarge holds that the id of a request is used up also if nothing of it
// was kept.
func TestPartsResetOfTooLarge(t *testing.T) {
	onEitherEndWith(t, peerHello(), StreamQueue{}, 1000, func(t *testing.T, e *extendedEnd) {
		e.peer.send(e.theirs(0), messageTypePart, 0, make([]byte, 1001))
		e.peer.send(e.theirs(0), messageTypePart, flagReset, nil)
		e.peer.send(e.theirs(0), messageTypeRequest, 0, echoRequest(t))
		e.peer.wantStatus("B49: the id is used up", e.theirs(0), codes.InvalidArgument, reusedText)
		e.alive("B49", 1)
	})
}

// TestPartsAgreedLimit holds that nothing is sent that is over the smaller limit.
func TestPartsAgreedLimit(t *testing.T) {
	h := peerHello()
	h.MaxMessage = 70000
	onEitherEndWith(t, h, StreamQueue{}, 0, func(t *testing.T, e *extendedEnd) {
		s := open(t, t.Context(), e.client, bidi, nil)
		e.peer.next("")
		var big *OversizedMessageErr
		if err := s.SendMsg(bytesOfLength(t, 70001)); !errors.As(err, &big) || big.MaximumLength() != 70000 || big.RejectedLength() != 70001 {
			t.Errorf("B49: %v", err)
		}
		e.peer.wantNothing("B49: too large for the peer")
		if err := s.SendMsg(bytesOfLength(t, 70000)); err != nil {
			t.Errorf("B49: %v", err)
		}
		e.peer.wantFrames("B49", headerOf(partSize, e.ours(0), messageTypePart, flagStream), headerOf(70000-partSize, e.ours(0), messageTypeData, 0))
		e.peer.respond(e.ours(0), nil, nil)
	})
}

// frameNames tells which call's frames came in which order: a part is lower case, what
// completes a message upper case.
func (p *rawPeer) frameNames(ids ...uint32) (names string) {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.frames {
		name := 'a' + rune(slices.Index(ids, f.StreamID))
		if f.Type != messageTypePart {
			name += 'A' - 'a'
		}
		names += string(name)
	}
	p.frames = nil
	return names
}

// TestPartsTakeTurns holds the order in which calls of different sizes leave that were made
// one after the other while nothing could be written.
func TestPartsTakeTurns(t *testing.T) {
	for _, test := range []struct {
		sizes []int // in parts; 0 is a small one
		want  string
	}{
		{[]int{10, 0}, "aBaaaaaaaaA"},
		{[]int{3, 0, 0}, "aBCaA"},
		{[]int{0, 3, 0}, "AbCbB"},
		{[]int{3, 3}, "ababAB"},
		{[]int{2, 2, 2}, "abcABC"},
		{[]int{4, 0, 4, 0, 4, 0}, "aBacDaeFAceceCE"},
		{[]int{3, 3, 3, 3, 3, 3, 3, 3, 3, 3}, "abcdefghijcdefghabCDEFGHijABIJ"}, // i and j wait for a turn
	} {
		t.Run(fmt.Sprint(test.sizes), func(t *testing.T) {
			onStalledClient(t, 4096, peerHello(), func(t *testing.T, c *Client, p *rawPeer) {
				var ids []uint32
				for i, n := range test.sizes {
					go c.Call(t.Context(), "test", "Method", &preencoded{make([]byte, max(1, n*partSize-100))}, new(wrapperspb.StringValue))
					synctest.Wait()
					ids = append(ids, uint32(3+2*i))
				}
				go p.receive()
				got := p.frameNames(ids...)
				if got != test.want {
					t.Errorf("B49: %q, want %q", got, test.want)
				}
				for _, id := range ids {
					p.respond(id, nil, nil)
				}
				synctest.Wait()
			})
		})
	}
}

// TestReaderNeverBlocks holds that an end whose answers are not read parks requests, and
// still reads all else; and that they are run when the peer reads.
func TestReaderNeverBlocks(t *testing.T) {
	onStalledServer(t, 1000, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		large, small := strings.Repeat("x", 20000), "x"
		n := uint32(0)
		for ; n < 20; n++ {
			value := large
			if n > 6 { // what is parked may not be large
				value = small
			}
			p.send(3+2*n, messageTypeRequest, 0, encode(t, &Request{Service: "test", Method: "Echo", Payload: encode(t, wrapperspb.String(value))}))
			synctest.Wait()
		}
		if parked := extOf(ts.conn).parked.count; parked < 10 || parked > 19 {
			t.Errorf("B48: %d requests wait for the peer to read", parked)
		}
		p.send(3+2*(n-1), messageTypeCancel, 0, nil)
		p.send(0, messageTypePing, 0, make([]byte, 8))
		synctest.Wait()
		if u := extOf(ts.conn).urgent.count; u != 1 {
			t.Errorf("B56: %d answers to the ping wait", u)
		}
		go p.receive()
		answers := map[uint32]int{}
		synctest.Wait()
		p.mu.Lock()
		for _, f := range p.frames {
			if f.Type != messageTypeCredit {
				answers[f.StreamID]++
			}
		}
		p.frames = nil
		p.mu.Unlock()
		if len(answers) != int(n)+1 {
			t.Errorf("B48: answers came on %v", answers)
		}
		for id, got := range answers {
			if got != 1 {
				t.Errorf("B48: %d answers on %d", got, id)
			}
		}
	}, WithServerLimits(Limits{Queue: StreamQueue{ConnectionBytes: 100 << 10}}))
}

// TestPartsLeaveNothing holds that a connection keeps nothing of large messages that have
// left, nor of their streams.
func TestPartsLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBubblePair(t, nil)
		if err := p.echo(t.Context(), strings.Repeat("x", 3*partSize)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for name, c := range map[string]*conn{"client": connOf(p.client), "server": p.serverConn()} {
			x := extOf(c)
			c.mu.Lock()
			if x.view != nil && x.view.data != nil {
				t.Errorf("the %s keeps the last part", name)
			}
			kept := x.waiting[:cap(x.waiting)]
			if len(kept) == 0 {
				t.Errorf("the %s has sent nothing in parts", name)
			}
			for _, tr := range kept {
				if tr != nil {
					t.Errorf("the %s keeps a message that has left", name)
				}
			}
			c.mu.Unlock()
		}
	})
}
