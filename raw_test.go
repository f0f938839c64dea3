// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestRawCodec(t *testing.T) {
	b, err := codecEncode(plain, &RawMessage{Payload: []byte("no message at all"), EndsStream: true})
	if err != nil || string(b) != "no message at all" {
		t.Errorf("B44: a raw message is encoded as %q, %v", b, err)
	}
	if b, err := codecEncode(plain, new(RawMessage)); err != nil || len(b) != 0 {
		t.Errorf("B44: an empty raw message is encoded as %q, %v", b, err)
	}
	raw := &RawMessage{Payload: []byte("old"), EndsStream: true}
	encoded := []byte("new")
	if err := plain.unmarshal(encoded, raw); err != nil || string(raw.Payload) != "new" || raw.EndsStream {
		t.Errorf("B44: a raw message is decoded as %q, %v, %v", raw.Payload, raw.EndsStream, err)
	}
	clear(encoded)
	if string(raw.Payload) != "new" {
		t.Errorf("B44: a raw message shares memory with what it was decoded from")
	}
	var none *RawMessage
	if _, err := plain.measure(none); fmt.Sprint(err) != "ttrpc: cannot marshal a nil *ttrpc.RawMessage" {
		t.Errorf("B44: measure of nil: %v", err)
	}
	if err := plain.decode(nil, nil, none); fmt.Sprint(err) != "ttrpc: cannot unmarshal into a nil *ttrpc.RawMessage" {
		t.Errorf("B44: decode into nil: %v", err)
	}
	if _, err := plain.measure(RawMessage{}); fmt.Sprint(err) != "ttrpc: cannot marshal unknown type: ttrpc.RawMessage" {
		t.Errorf("B44: measure of a value: %v", err)
	}
}

// TestFrameTake holds when the memory of a frame is handed over, and that it is then not
// used for another frame.
func TestFrameTake(t *testing.T) {
	for _, test := range []struct {
		room, from, n int
		taken         bool
	}{
		{minTaken, 0, minTaken, true},
		{minTaken, 0, minTaken - 1, false},
		{1 << 20, 20, 1<<20 - 20, true},
		{1 << 20, 0, 1 << 19, true},
		{1 << 20, 0, 1<<19 - 1, false},
		{256, 0, 0, false},
		{1 << 25, 0, 1 << 25, true}, // of no pool
	} {
		f := newFrame(test.room)
		memory := f.data[:test.room]
		f.data = memory
		b := memory[test.from : test.from+test.n]
		got := f.take(b)
		if !bytes.Equal(got, b) || cap(got) < len(got) {
			t.Fatalf("%+v: %d bytes are taken as %d others", test, len(b), len(got))
		}
		if shared := len(got) > 0 && &got[0] == &b[0]; shared != test.taken {
			t.Errorf("%+v: the memory is handed over: %v", test, shared)
		}
		if test.taken && cap(got) != len(got) {
			t.Errorf("%+v: with the memory there goes room for %d bytes more", test, cap(got)-len(got))
		}
		if pooled := f.class >= 0; pooled == test.taken {
			t.Errorf("%+v: the frame goes back to its pool: %v", test, pooled)
		}
		f.release()
	}
}

// rawService echoes raw messages.
func rawService() *ServiceDesc {
	return &ServiceDesc{
		Methods: map[string]Method{
			"Echo": func(_ context.Context, unmarshal func(any) error) (any, error) {
				m := new(RawMessage)
				return m, unmarshal(m)
			},
			"Nil": func(_ context.Context, unmarshal func(any) error) (any, error) {
				return nil, unmarshal((*RawMessage)(nil))
			},
		},
		Streams: map[string]Stream{
			"Echoes": {StreamingClient: true, StreamingServer: true, Handler: func(_ context.Context, s StreamServer) (any, error) {
				for {
					m := new(RawMessage)
					if err := s.RecvMsg(m); err != nil {
						return nil, endOfStream(err)
					}
					if err := s.SendMsg(m); err != nil {
						return nil, err
					}
				}
			}},
			"Last": {StreamingClient: true, Handler: func(_ context.Context, s StreamServer) (any, error) {
				last := new(RawMessage)
				for {
					m := new(RawMessage)
					if err := s.RecvMsg(m); err != nil {
						return last, endOfStream(err)
					}
					last = m
				}
			}},
		},
	}
}

// passOn is an interceptor that looks at the request and lets the call go on.
func passOn(ctx context.Context, unmarshal Unmarshaler, _ *UnaryServerInfo, method Method) (any, error) {
	seen := new(RawMessage)
	if err := unmarshal(seen); err != nil {
		return nil, err
	}
	answer, err := method(ctx, unmarshal)
	if raw, ok := answer.(*RawMessage); ok && !bytes.Equal(raw.Payload, seen.Payload) {
		return nil, status.Error(codes.DataLoss, "the interceptor saw another payload than the handler")
	}
	return answer, err
}

// rawPairs connects clients of rawService in several ways.
func rawPairs(t *testing.T) map[string]*Client {
	invoke := func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, invoke Invoker) error {
		return invoke(ctx, req, resp)
	}
	clients := make(map[string]*Client)
	for name, opts := range map[string][]ClientOpts{
		"classic": nil, "extended": {WithExtensions()}, "intercepted": {WithUnaryClientInterceptor(invoke)},
	} {
		var ofServer []ServerOpt
		switch name {
		case "extended":
			ofServer = append(ofServer, WithServerExtensions())
		case "intercepted":
			ofServer = append(ofServer, WithUnaryServerInterceptor(passOn))
		}
		srv, err := NewServer(ofServer...)
		if err != nil {
			t.Fatal(err)
		}
		srv.RegisterService("raw", rawService())
		near, far := unixPair(t)
		srv.accept(context.Background(), far)
		clients[name] = NewClient(near, opts...)
		t.Cleanup(func() { clients[name].Close(); srv.Close() })
		if is, err := clients[name].Extended(context.Background()); err != nil || is != (name == "extended") {
			t.Fatalf("B46: %s: extended %v, %v", name, is, err)
		}
	}
	return clients
}

// rawSizes are below and above what is worth a frame, what leaves in parts, and what
// arrives in pieces.
var rawSizes = []int{0, 1, minTaken - 1, minTaken, 100 << 10, 4<<20 - 100}

func rawPattern(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*31 + i>>10 + seed)
	}
	return b
}

// TestRawCalls keeps what it receives while more arrives: memory that was handed over
// must not be used for that.
func TestRawCalls(t *testing.T) {
	for name, client := range rawPairs(t) {
		t.Run(name, func(t *testing.T) {
			kept := make(map[int]*RawMessage)
			for round := range 2 {
				for i, n := range rawSizes {
					answer := &RawMessage{EndsStream: true}
					if err := client.Call(context.Background(), "raw", "Echo", &RawMessage{Payload: rawPattern(n, i+round)}, answer); err != nil {
						t.Fatalf("%d bytes: %v", n, err)
					}
					if kept[i] == nil {
						kept[i] = answer
					}
					if !bytes.Equal(answer.Payload, rawPattern(n, i+round)) || answer.EndsStream {
						t.Errorf("B44: %d raw bytes came back as %d others, %v", n, len(answer.Payload), answer.EndsStream)
					}
				}
			}
			for i, answer := range kept {
				if !bytes.Equal(answer.Payload, rawPattern(rawSizes[i], i)) {
					t.Errorf("B44: %d bytes that were received have changed", rawSizes[i])
				}
			}
		})
	}
}

func TestRawStreams(t *testing.T) {
	for name, client := range rawPairs(t) {
		t.Run(name, func(t *testing.T) {
			s, err := client.NewStream(context.Background(), bidi, "raw", "Echoes", nil)
			if err != nil {
				t.Fatal(err)
			}
			var kept []*RawMessage
			for i, n := range rawSizes {
				if err := s.SendMsg(&RawMessage{Payload: rawPattern(n, i)}); err != nil {
					t.Fatal(err)
				}
				m := new(RawMessage)
				if err := s.RecvMsg(m); err != nil || m.EndsStream {
					t.Fatalf("B44: %d raw bytes on a stream: %v, %v", n, m.EndsStream, err)
				}
				kept = append(kept, m)
			}
			for i, m := range kept {
				if !bytes.Equal(m.Payload, rawPattern(rawSizes[i], i)) {
					t.Errorf("B44: %d raw bytes came back as %d others", rawSizes[i], len(m.Payload))
				}
			}
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			if err := s.RecvMsg(new(RawMessage)); err != io.EOF {
				t.Errorf("B21: the end of the stream: %v", err)
			}
		})
	}
}

// TestRawEndsStream opens streams as one that does not know what the server does: an
// answer, an empty one too, is told apart from messages.
func TestRawEndsStream(t *testing.T) {
	for name, client := range rawPairs(t) {
		for _, text := range []string{"", "answer"} {
			s, err := client.NewStream(context.Background(), bidi, "raw", "Last", &RawMessage{Payload: []byte("first")})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SendMsg(&FileMessage{Message: &RawMessage{Payload: []byte(text)}}); err != nil {
				t.Fatal(err)
			}
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			m := new(RawMessage)
			if err := s.RecvMsg(&FileMessage{Message: m}); err != nil || string(m.Payload) != text || !m.EndsStream {
				t.Errorf("B44: %s: the answer %q is received as %q, ends the stream %v, %v", name, text, m.Payload, m.EndsStream, err)
			}
			if err := s.RecvMsg(m); err != io.EOF {
				t.Errorf("B21: %s: after the answer: %v", name, err)
			}
		}
	}
}

func TestRawNil(t *testing.T) {
	for name, client := range rawPairs(t) {
		var none *RawMessage
		if err := client.Call(context.Background(), "raw", "Echo", none, new(RawMessage)); fmt.Sprint(err) != "ttrpc: cannot marshal a nil *ttrpc.RawMessage" {
			t.Errorf("B44: %s: a nil request: %v", name, err)
		}
		if err := client.Call(context.Background(), "raw", "Echo", new(RawMessage), none); fmt.Sprint(err) != "ttrpc: cannot unmarshal into a nil *ttrpc.RawMessage" {
			t.Errorf("B44: %s: a nil answer: %v", name, err)
		}
		err := client.Call(context.Background(), "raw", "Nil", new(RawMessage), new(RawMessage))
		if name != "intercepted" && fmt.Sprint(err) != "rpc error: code = Internal desc = ttrpc: error unsupported request type: *ttrpc.RawMessage" {
			t.Errorf("B10: %s: a handler that decodes into nil: %v", name, err)
		}
	}
}

// TestRawAndMessages mixes raw messages with others: the bytes are the same.
func TestRawAndMessages(t *testing.T) {
	client := rawPairs(t)["classic"]
	got, raw := new(wrapperspb.StringValue), new(RawMessage)
	if err := client.Call(context.Background(), "raw", "Echo", wrapperspb.String("text"), got); err != nil || got.Value != "text" {
		t.Errorf("B44: %q, %v", got.Value, err)
	}
	if err := client.Call(context.Background(), "raw", "Echo", wrapperspb.String("text"), raw); err != nil || string(raw.Payload) != "\x0a\x04text" {
		t.Errorf("B44: %q, %v", raw.Payload, err)
	}
}
