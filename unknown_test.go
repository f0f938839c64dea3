// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// onUnknown is onServer with a handler of unknown services.
func onUnknown(t *testing.T, h UnknownServiceHandler, f func(t *testing.T, ts *testServer), opts ...ServerOpt) {
	t.Helper()
	onServer(t, f, append(opts, WithUnknownServiceHandler(h))...)
}

func unknownRequest(t *testing.T, service, method, payload string) []byte {
	t.Helper()
	return encode(t, &Request{Service: service, Method: method, Payload: []byte(payload)})
}

// TestUnknownCalls holds what the handler is told of each kind of request, which messages
// it receives, and with which frame its answer leaves.
func TestUnknownCalls(t *testing.T) {
	type seen struct {
		UnknownCall
		messages string
	}
	var got seen
	handler := func(_ context.Context, call *UnknownCall, s StreamServer) (any, error) {
		got = seen{UnknownCall: *call}
		for {
			m := new(RawMessage)
			if err := s.RecvMsg(m); err != nil {
				return &RawMessage{Payload: []byte("answer")}, endOfStream(err)
			}
			got.messages += string(m.Payload) + ";"
		}
	}
	answer := encode(t, &Response{Payload: []byte("answer")})
	onUnknown(t, handler, func(t *testing.T, ts *testServer) {
		for i, test := range []struct {
			flags   uint8
			payload string
			then    []string // data frames; the last closes
			want    seen
		}{
			{0, "request", nil, seen{UnknownCall{"a.B", "C", true, false}, "request;"}},
			{0, "", nil, seen{UnknownCall{"a.B", "C", true, false}, ";"}},
			{flagRemoteClosed, "request", nil, seen{UnknownCall{"a.B", "C", false, false}, "request;"}},
			{flagRemoteClosed, "", nil, seen{UnknownCall{"a.B", "C", false, false}, ";"}},
			{flagRemoteOpen | flagNoData, "", []string{"one", "two"}, seen{UnknownCall{"a.B", "C", false, true}, "one;two;"}},
			{flagRemoteOpen, "first", []string{"last"}, seen{UnknownCall{"a.B", "C", false, true}, "first;last;"}},
		} {
			id := uint32(2*i + 1)
			ts.peer.send(id, messageTypeRequest, test.flags, unknownRequest(t, "a.B", "C", test.payload))
			for j, data := range test.then {
				var flags uint8
				if j == len(test.then)-1 {
					flags = flagRemoteClosed
				}
				ts.peer.send(id, messageTypeData, flags, []byte(data))
			}
			ts.peer.want("B10: the answer", id, messageTypeResponse, 0, answer)
			if got != test.want {
				t.Errorf("B10: a request with flags %#x: the handler saw %+v, want %+v", test.flags, got, test.want)
			}
		}
		ts.peer.send(101, messageTypeRequest, 0, unknownRequest(t, "test", "None", "")) // the service is known
		ts.peer.want("B10: an unknown method", 101, messageTypeResponse, 0, answer)
		ts.peer.wantEcho("B10: a known one", 103)
	})
}

// TestUnknownEnds holds how calls end that have no answer.
func TestUnknownEnds(t *testing.T) {
	type ends struct {
		result any
		err    error
	}
	next := make(chan ends, 1)
	handler := func(_ context.Context, call *UnknownCall, s StreamServer) (any, error) {
		if err := s.SendMsg(&RawMessage{Payload: []byte("m")}); call.Unary != errors.Is(err, ErrProtocol) || !call.Unary && err != nil {
			t.Errorf("SendMsg, of a unary call %v: %v", call.Unary, err)
		}
		e := <-next
		return e.result, e.err
	}
	onUnknown(t, handler, func(t *testing.T, ts *testServer) {
		ask := func(id uint32, flags uint8, result any, err error) {
			next <- ends{result, err}
			ts.peer.send(id, messageTypeRequest, flags, unknownRequest(t, "a", "b", ""))
			if flags != 0 {
				ts.peer.want("a message", id, messageTypeData, 0, []byte("m"))
			}
		}
		ask(1, 0, nil, nil)
		ts.peer.wantStatus("B10: a unary call without an answer", 1, codes.Unknown, "ttrpc: marshal called with nil")
		ask(3, flagRemoteClosed, nil, nil)
		ts.peer.want("B10: a stream without an answer", 3, messageTypeData, flagRemoteClosed|flagNoData, nil)
		ask(5, flagRemoteClosed, (*RawMessage)(nil), nil)
		ts.peer.want("B10: a stream with a nil answer", 5, messageTypeData, flagRemoteClosed|flagNoData, nil)
		ask(7, flagRemoteOpen|flagNoData, new(RawMessage), nil)
		ts.peer.want("B10: a stream with an empty answer", 7, messageTypeResponse, 0, nil)
		for i, flags := range []uint8{0, flagRemoteClosed, flagRemoteOpen | flagNoData} {
			id := uint32(9 + 2*i)
			ask(id, flags, new(RawMessage), io.EOF)
			ts.peer.wantStatus("B9: an error", id, codes.OutOfRange, "EOF")
		}
	})
}

// TestUnknownHello holds that a Hello to a server that does not take it reaches no handler:
// what would be agreed on is about another connection.
func TestUnknownHello(t *testing.T) {
	handler := func(context.Context, *UnknownCall, StreamServer) (any, error) {
		t.Error("B46: a Hello has reached the handler")
		return new(RawMessage), nil
	}
	onUnknown(t, handler, func(t *testing.T, ts *testServer) {
		ts.peer.send(1, messageTypeRequest, 0, unknownRequest(t, helloService, helloMethod, ""))
		ts.peer.wantStatus("B46: Hello", 1, codes.Unimplemented, "service "+helloService)
	})
}

// TestUnknownInterceptors holds that interceptors run around the handler, and that what
// they put in the place of the request or the stream reaches it.
func TestUnknownInterceptors(t *testing.T) {
	var ran []string
	unary := func(ctx context.Context, unmarshal Unmarshaler, info *UnaryServerInfo, method Method) (any, error) {
		ran = append(ran, fmt.Sprint("unary ", info.FullMethod, " ", info.Unknown))
		return method(ctx, unmarshal)
	}
	stream := func(ctx context.Context, s StreamServer, info *StreamServerInfo, handler StreamHandler) (any, error) {
		ran = append(ran, fmt.Sprint("stream ", info.FullMethod, " ", info.StreamingClient, " ", info.StreamingServer, " ", info.Unknown))
		return handler(ctx, s)
	}
	handler := func(_ context.Context, call *UnknownCall, s StreamServer) (any, error) {
		m := new(wrapperspb.StringValue) // a message of a known type
		if err := s.RecvMsg(m); err != nil {
			return nil, err
		}
		ran = append(ran, m.Value)
		return m, nil
	}
	onUnknown(t, handler, func(t *testing.T, ts *testServer) {
		text := wrapperspb.String("text")
		request := encode(t, &Request{Service: "a.B", Method: "C", Payload: encode(t, text)})
		ts.peer.send(1, messageTypeRequest, 0, request)
		ts.peer.wantResult("B27", 1, text)
		ts.peer.send(3, messageTypeRequest, flagRemoteClosed, request)
		ts.peer.wantResult("B27", 3, text)
		if got, want := strings.Join(ran, ";"), "unary /a.B/C true;text;stream /a.B/C false true true;text"; got != want {
			t.Errorf("B27: what ran is %s, want %s", got, want)
		}

		ran = nil
		ts.peer.wantEcho("B27: a known one", 7)
		if len(ran) != 1 || !strings.HasSuffix(ran[0], " false") {
			t.Errorf("B27: for a method that is registered %q ran", ran)
		}

		ts.peer.send(9, messageTypeRequest, 0, unknownRequest(t, "a.B", "C", "\xff"))
		ts.peer.wantStatus("B10: what does not parse", 9, codes.Internal, "ttrpc: error unmarshalling payload: "+protoError)
	}, WithUnaryServerInterceptor(unary), WithChainStreamServerInterceptor(stream))
}

// protoError is what protobuf says of bytes that are no message.
var protoError = plain.unmarshal([]byte("\xff"), new(wrapperspb.StringValue)).Error()

// TestUnknownReceiverLeft has a goroutine receive when the handler returns: it gets an error.
func TestUnknownReceiverLeft(t *testing.T) {
	var received, returns chan error // made in the bubble
	handler := func(_ context.Context, _ *UnknownCall, s StreamServer) (any, error) {
		go func() { received <- s.RecvMsg(new(RawMessage)) }()
		return nil, <-returns
	}
	onUnknown(t, handler, func(t *testing.T, ts *testServer) {
		received, returns = make(chan error, 1), make(chan error)
		ts.peer.send(1, messageTypeRequest, flagRemoteOpen|flagNoData, unknownRequest(t, "a", "b", ""))
		synctest.Wait()
		close(returns)
		ts.peer.want("the end", 1, messageTypeData, flagRemoteClosed|flagNoData, nil)
		if err := <-received; err != context.Canceled {
			t.Errorf("a RecvMsg that waits when the handler returns: %v", err)
		}
	})
}

func TestUnknownDefaultTimeout(t *testing.T) {
	var has bool
	handler := func(ctx context.Context, _ *UnknownCall, s StreamServer) (any, error) {
		_, has = ctx.Deadline()
		return new(RawMessage), nil
	}
	onUnknown(t, handler, func(t *testing.T, ts *testServer) {
		for id, flags := range map[uint32]uint8{1: 0, 3: flagRemoteClosed} {
			ts.peer.send(id, messageTypeRequest, flags, unknownRequest(t, "a", "b", ""))
			ts.peer.want("the answer", id, messageTypeResponse, 0, nil)
			if unary := flags == 0; has != unary {
				t.Errorf("with a default timeout, a unary call %v has a deadline: %v", unary, has)
			}
		}
	}, WithServerTimeouts(Timeouts{Call: 1e9}))
}
