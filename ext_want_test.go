// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"io"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// serveStream has a pair's server answer one stream, of which the client sends any number of
// messages, and returns it.
func serveStream(t *testing.T, p *extendedPair, handle StreamHandler) ClientStream {
	t.Helper()
	p.server.RegisterService("upload", &ServiceDesc{Streams: map[string]Stream{"Take": {StreamingClient: true, Handler: handle}}})
	s, err := p.client.NewStream(t.Context(), &StreamDesc{StreamingClient: true}, "upload", "Take", nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAnswerThatWaits holds that a client which sends all the time learns that the handler
// has returned, although the answer has to wait until it is received.
func TestAnswerThatWaits(t *testing.T) {
	for _, size := range []int{2000, 2500, 10_000, 1 << 20} { // free, sure to fit, larger than what is there
		synctest.Test(t, func(t *testing.T) {
			p := newBubblePair(t, nil)
			defer p.client.Close()
			s := serveStream(t, p, func(_ context.Context, ss StreamServer) (any, error) {
				err := ss.RecvMsg(new(wrapperspb.BytesValue))
				return wrapperspb.Bytes(make([]byte, size)), err
			})
			m := wrapperspb.Bytes(make([]byte, 1000))
			sent := 0
			for ; sent < 10_000; sent++ {
				if err := s.SendMsg(m); err != nil {
					if err != io.EOF {
						t.Errorf("B48: after %d messages SendMsg returned %v", sent, err)
					}
					break
				}
			}
			if sent == 10_000 {
				t.Errorf("B48: an answer of %d bytes stops nobody who sends", size)
			}
			answer := new(wrapperspb.BytesValue)
			if err := s.RecvMsg(answer); err != nil || len(answer.Value) != size {
				t.Errorf("B48: an answer of %d bytes came with %d, %v", size, len(answer.Value), err)
			}
		})
	}
}

// TestSendsBeforeItReceives holds that who sends up to the window before it receives is not
// stopped by the little that a stream begins with, in either direction, while most of what
// streams share is left.
func TestSendsBeforeItReceives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBubblePair(t, nil)
		defer p.client.Close()
		s, err := p.client.NewStream(t.Context(), bidi, "test", "Echoes", nil)
		if err != nil {
			t.Fatal(err)
		}
		m := wrapperspb.Bytes(make([]byte, 1000))
		const n = defaultWindow / 2 / 1300
		for range n {
			if err := s.SendMsg(m); err != nil {
				t.Fatalf("B48: %v", err)
			}
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		for range n {
			if err := s.RecvMsg(m); err != nil {
				t.Fatalf("B48: %v", err)
			}
		}
	})
}

// TestFirstMessageBeyond holds that one stream whose request has more than the streams may
// hold is taken, that another is refused meanwhile, and that large requests pass: nobody
// knows when the handler takes it.
func TestFirstMessageBeyond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := StreamQueue{ConnectionBytes: 1 << 20}
		p := newBubblePair(t, []ServerOpt{WithServerLimits(Limits{Queue: queue})})
		defer p.client.Close()
		takes := make(chan struct{})
		p.server.RegisterService("first", &ServiceDesc{Streams: map[string]Stream{
			"Stall": {StreamingServer: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
				<-takes
				return nil, ss.RecvMsg(new(wrapperspb.BytesValue))
			}},
		}})
		large := wrapperspb.Bytes(make([]byte, 1<<20))
		stall := func() ClientStream {
			s, err := p.client.NewStream(t.Context(), &StreamDesc{StreamingServer: true}, "first", "Stall", large)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return s
		}
		first, second := stall(), stall()
		if err := second.RecvMsg(new(wrapperspb.BytesValue)); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("B48: a second one ends with %v", err)
		}
		heldAtMost(t, "B48", p.serverConn())
		echo := new(wrapperspb.StringValue)
		if err := p.client.Call(t.Context(), "test", "Echo", wrapperspb.String(string(make([]byte, 1<<20))), echo); err != nil || len(echo.Value) != 1<<20 {
			t.Errorf("B48: a large request while the first message of a stream is not taken: %d, %v", len(echo.Value), err)
		}
		close(takes)
		if err := first.RecvMsg(new(wrapperspb.BytesValue)); err != io.EOF {
			t.Errorf("B48: the first one ended with %v", err)
		}
	})
}

// TestStreamRefusedAtOnce holds that a stream whose first message is an empty one, and which
// has ended before that is sent, is no error of NewStream: RecvMsg tells how it ended.
func TestStreamRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := &Trace{Call: func(CallInfo) func(error) {
			synctest.Wait() // until the answer has come
			return nil
		}}
		p := newBubblePair(t, nil, WithClientTrace(waits))
		defer p.client.Close()
		s, err := p.client.NewStream(t.Context(), bidi, "test", "None", new(wrapperspb.BytesValue))
		if err != nil {
			t.Fatalf("B20: %v", err)
		}
		if err := s.RecvMsg(new(wrapperspb.BytesValue)); status.Code(err) != codes.Unimplemented {
			t.Errorf("B20: the stream ended with %v", err)
		}
	})
}
