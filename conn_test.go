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
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

func endOfStream(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

const (
	evenText     = "StreamID must be odd for client initiated streams"
	reusedText   = "StreamID cannot be re-used and must increment"
	inactiveText = "StreamID is no longer active"
)

// onServer runs f in a bubble with a server and a raw peer, and requires that
// nothing is left afterwards.
func onServer(t *testing.T, f func(t *testing.T, ts *testServer), opts ...ServerOpt) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ts := newTestServer(t, opts...)
		f(t, ts)
		wantClean(t, "after the test", ts.conn)
		ts.Close()
		synctest.Wait()
		if n := ts.countConnection(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// wantEcho requires that the connection still works.
func (p *rawPeer) wantEcho(rule string, id uint32) {
	p.t.Helper()
	p.request(id, 0, "Echo", wrapperspb.String("alive"))
	p.wantResult(rule, id, wrapperspb.String("alive"))
}

func TestServerIDs(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		p := ts.peer
		for _, id := range []uint32{9, 3, 9, 1<<32 - 1, 1} {
			p.wantEcho("B37: any odd id that is not active is good", id)
		}
		for _, id := range []uint32{0, 2, 1<<32 - 2} {
			for _, typ := range []messageType{messageTypeRequest, messageTypeResponse, messageTypeData, 0, 0x42} {
				p.send(id, typ, 0, []byte("x"))
				p.wantStatus("B37: an even id", id, codes.InvalidArgument, evenText)
			}
		}
		p.write(make([]byte, 10))
		p.wantStatus("B37: a health probe of ten zero bytes", 0, codes.InvalidArgument, evenText)
		p.wantEcho("B37", 5)
	})
}

func TestServerReusedID(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		p := ts.peer
		p.request(1, 0, "Wait", nil)
		p.request(1, 0, "Echo", wrapperspb.String("again"))
		p.wantStatus("B37: an active id", 1, codes.InvalidArgument, reusedText)
		p.wantEcho("B37", 3)
		ctx := <-ts.contexts
		if ctx.Err() != nil {
			t.Error("B37: the call that owns the id was disturbed")
		}
		ts.answers <- nil
		p.wantResult("B37: the owner's answer", 1, wrapperspb.String("waited"))
		p.wantNothing("B37")
	})
}

func TestServerIgnoresWhatItDoesNotKnow(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		p := ts.peer
		p.request(5, 0, "Wait", nil)
		p.request(7, flagRemoteOpen, "Bidi", nil)
		for _, id := range []uint32{1, 5, 7} {
			for _, typ := range []messageType{0, messageTypeResponse, 4, 0x42, 0xff} {
				p.send(id, typ, 0xff, []byte("what"))
			}
		}
		p.wantNothing("B38: unknown types and responses on odd ids")
		p.send(7, messageTypeData, flagRemoteClosed|flagNoData, nil)
		p.want("B38: the stream goes on", 7, messageTypeData, flagRemoteClosed|flagNoData, nil)
		ts.answers <- nil
		p.wantResult("B38: the call goes on", 5, wrapperspb.String("waited"))
	})
}

func TestServerDataWithoutStream(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		p := ts.peer
		p.send(1, messageTypeData, 0, []byte("x"))
		p.wantStatus("B38: data on an id that is not active", 1, codes.InvalidArgument, inactiveText)
		p.request(3, 0, "Wait", nil)
		p.request(3, 0, "Wait", nil)
		p.wantStatus("B37: an active id", 3, codes.InvalidArgument, reusedText)
		p.send(3, messageTypeData, 0, []byte("x"))
		p.wantStatus("B38: data on an active unary id", 3, codes.InvalidArgument, inactiveText)
		p.send(3, messageTypeData, 0, []byte("x"))
		p.wantNothing("B38: once")
		ts.answers <- nil
		p.wantResult("B38: and the call goes on", 3, wrapperspb.String("waited"))
		p.send(3, messageTypeData, 0, []byte("x"))
		p.wantStatus("B38: data after the end", 3, codes.InvalidArgument, inactiveText)
	})
}

// TestBatchesOnOtherConns holds that frames which leave together are whole and
// fit a packet where each Write may become one.
func TestBatchesOnOtherConns(t *testing.T) {
	const frames = 10
	for _, n := range []int{300, 3000} {
		onServer(t, func(t *testing.T, ts *testServer) {
			a, b := memconn.PacketPipe()
			c := ts.add(t, b)
			st := status.New(codes.Unavailable, strings.Repeat("x", n))
			size := len(responseFrame(0, st.Proto()).data)
			c.mu.Lock()
			for i := range uint32(frames) {
				c.replyLocked(2*i, st)
			}
			c.unlock()
			p := newRawPeer(t, a)
			for i := range uint32(frames) {
				p.wantStatus("B43: a frame among others", 2*i, codes.Unavailable, st.Message())
			}
			for _, written := range b.Writes() {
				if written%size != 0 || written > packetSize {
					t.Errorf("B43: a write of %d bytes where frames have %d and packets %d", written, size, packetSize)
				}
			}
			a.Close()
		})
	}
}

func TestServerDataFlags(t *testing.T) {
	five := encode(t, wrapperspb.Int64(5))
	type data struct {
		flags uint8
		b     []byte
	}
	for name, test := range map[string]struct {
		frames []data
		sum    int64
	}{
		"closed without message":          {[]data{{0, five}, {flagRemoteClosed | flagNoData, nil}}, 5},
		"closed with a message":           {[]data{{0, five}, {flagRemoteClosed, five}}, 10},
		"closed with an empty message":    {[]data{{0, five}, {flagRemoteClosed, nil}}, 5},
		"no message":                      {[]data{{flagNoData, five}, {flagRemoteClosed | flagNoData, five}}, 0},
		"empty messages count as ones":    {[]data{{0, nil}, {0, nil}, {flagRemoteClosed | flagNoData, nil}}, 0},
		"undefined flags change nothing":  {[]data{{0xf0, five}, {0xf0 | flagRemoteClosed, five}}, 10},
		"remote-open is nothing on data":  {[]data{{flagRemoteOpen, five}, {flagRemoteClosed | flagNoData, nil}}, 5},
		"nothing but the end of the side": {[]data{{flagRemoteClosed | flagNoData, nil}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			onServer(t, func(t *testing.T, ts *testServer) {
				ts.peer.request(1, flagRemoteOpen, "Sum", nil)
				for _, d := range test.frames {
					ts.peer.send(1, messageTypeData, d.flags, d.b)
				}
				ts.peer.wantResult("B39", 1, wrapperspb.Int64(test.sum))
				ts.peer.wantNothing("B40: a stream ends once")
			})
		})
	}
}

func TestServerDataAfterHalfClose(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		p := ts.peer
		p.request(1, flagRemoteOpen, "Stall", nil)
		ctx := <-ts.contexts
		p.send(1, messageTypeData, flagRemoteClosed|flagNoData, nil)
		p.wantNothing("the stream goes on")
		p.send(1, messageTypeData, 0, []byte("x"))
		p.wantStatus("data after the half-close", 1, codes.InvalidArgument, "data handling error: ttrpc: stream closed")
		<-ctx.Done()
		p.send(1, messageTypeData, 0, []byte("x"))
		p.wantNothing("what comes before the handler has returned is dropped")
		ts.answers <- nil
		p.wantNothing("B40: a stream ends once")
	})
}

func TestServerRequestPayloads(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		p := ts.peer
		p.request(1, flagRemoteClosed, "Count", nil)
		p.want("B40: an absent payload is the one, empty message", 1, messageTypeData, flagRemoteClosed|flagNoData, nil)
		p.request(3, flagRemoteClosed, "Count", wrapperspb.Int64(2))
		p.want("B40", 3, messageTypeData, 0, nil)
		p.want("B40", 3, messageTypeData, 0, encode(t, wrapperspb.Int64(1)))
		p.want("B40", 3, messageTypeData, flagRemoteClosed|flagNoData, nil)
		p.request(5, flagRemoteOpen, "Sum", wrapperspb.Int64(4))
		p.send(5, messageTypeData, flagRemoteClosed, encode(t, wrapperspb.Int64(3)))
		p.wantResult("B36: a payload with 0x2 is the first message", 5, wrapperspb.Int64(7))
		p.request(7, flagRemoteOpen|flagNoData, "Bidi", nil)
		p.send(7, messageTypeData, flagRemoteClosed|flagNoData, nil)
		p.want("B36: 0x2|0x4 opens without a message", 7, messageTypeData, flagRemoteClosed|flagNoData, nil)
		p.request(9, flagRemoteOpen, "Echo", wrapperspb.String("unary"))
		p.wantResult("a unary method opened as a stream", 9, wrapperspb.String("unary"))
	})
}

func TestServerBadEnvelopes(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		p := ts.peer
		p.send(1, messageTypeRequest, 0, []byte{0xff, 0xff, 0xff})
		f := p.next("B10")
		if st, _, _ := parseResponse(f.data); codes.Code(st.GetCode()) != codes.InvalidArgument || len(st.GetMessage()) < 30 {
			t.Errorf("B10: a garbage envelope: %v", st)
		}
		p.send(3, messageTypeRequest, 0, nil)
		p.wantStatus("B10: no service", 3, codes.Unimplemented, "service ")
		p.request(5, flagRemoteOpen, "None", nil)
		p.wantStatus("B10: no method", 5, codes.Unimplemented, "method None")
		p.wantEcho("B10", 7)
	})
}

func TestServerOversized(t *testing.T) {
	text := func(n int) string {
		return fmt.Sprintf("message length %d exceed maximum message size of %d", n, messageLengthMax)
	}
	onServer(t, func(t *testing.T, ts *testServer) {
		p := ts.peer
		big := make([]byte, messageLengthMax+1)
		p.request(1, 0, "Wait", nil)
		p.request(3, flagRemoteOpen, "Stall", nil)
		p.send(5, messageTypeRequest, 0, big)
		p.wantStatus("B7: a request", 5, codes.ResourceExhausted, text(len(big)))
		p.send(3, messageTypeData, 0, big)
		p.wantStatus("B7: data on a stream ends it", 3, codes.ResourceExhausted, text(len(big)))
		p.send(3, messageTypeData, 0, big)
		p.wantNothing("B40: a stream ends once")
		p.send(1, messageTypeData, 0, big)
		p.wantStatus("B7: data on a unary id", 1, codes.ResourceExhausted, text(len(big)))
		p.send(1, messageTypeData, 0, big)
		p.send(1, messageTypeData, 0, nil)
		p.wantNothing("B38: a unary call is told once")
		p.send(11, 9, 0, big)
		p.send(11, messageTypeResponse, 0, big)
		p.wantNothing("B38: what is ignored is ignored at any size")
		p.send(2, messageTypeRequest, 0, big)
		p.wantStatus("B37: an even id", 2, codes.InvalidArgument, evenText)
		ts.answers <- nil
		ts.answers <- nil
		p.wantResult("B7: other calls go on", 1, wrapperspb.String("waited"))
		p.request(7, 0, "Big", nil)
		p.wantStatus("B8: a response over the limit", 7, codes.ResourceExhausted, text(messageLengthMax+10))
		p.wantEcho("B8", 9)
	})
}

func TestServerImpossibleLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTestServer(t)
		other, _ := ts.connect(t, 0)
		ts.peer.request(1, 0, "Wait", nil)
		ctx := <-ts.contexts
		ts.peer.write([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 1, 0})
		ts.peer.wantEnd("B7: a length of 0xffffffff")
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, ErrProtocol) {
			t.Errorf("B26: the cause is %v", cause)
		}
		ts.answers <- nil
		other.wantEcho("B7: other connections live", 1)
		wantClean(t, "B7", ts.conn)
		other.conn.Close()
	})
}

func TestServerHandlerContext(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		p := ts.peer
		p.request(1, 0, "Wait", nil)
		ctx := <-ts.contexts
		if ctx.Err() != nil || context.Cause(ctx) != nil {
			t.Errorf("B26: the context has ended: %v", ctx.Err())
		}
		ts.answers <- nil
		p.next("B26")
		select {
		case <-ctx.Done():
		default:
			t.Error("B26: the context lives after the handler")
		}
		// A second context, which nobody waited on.
		p.request(3, 0, "Wait", nil)
		ctx = <-ts.contexts
		ts.answers <- nil
		p.next("B26")
		if ctx.Err() != context.Canceled || context.Cause(ctx) != context.Canceled {
			t.Errorf("B26: the context after the handler: %v, %v", ctx.Err(), context.Cause(ctx))
		}
	})
}

func TestServerPeerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTestServer(t)
		ts.peer.request(1, 0, "Wait", nil)
		ts.peer.request(3, flagRemoteOpen, "Bidi", nil)
		ctx := <-ts.contexts
		ts.peer.conn.Close()
		<-ctx.Done()
		if ctx.Err() != context.Canceled || context.Cause(ctx) != io.EOF {
			t.Errorf("B26: %v because of %v", ctx.Err(), context.Cause(ctx))
		}
		wantClean(t, "B26", ts.conn)
		if st, ok := ts.conn.getState(); st != connStateClosed || !ok {
			t.Errorf("the state is %v, %v", st, ok)
		}
		if n := ts.countConnection(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		ts.answers <- nil
	})
}

func TestServerDeadline(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		start := time.Now()
		for id, method := range map[uint32]string{1: "Wait", 3: "Stall"} {
			r := &Request{Service: "test", Method: method, TimeoutNano: int64(time.Minute)}
			ts.peer.send(id, messageTypeRequest, uint8(id-1)&flagRemoteOpen, encode(t, r))
		}
		for range 2 {
			ctx := <-ts.contexts
			if d, ok := ctx.Deadline(); !ok || !d.Equal(start.Add(time.Minute)) {
				t.Errorf("B26: the deadline is %v", d)
			}
			<-ctx.Done()
			if ctx.Err() != context.DeadlineExceeded || time.Since(start) != time.Minute {
				t.Errorf("B26: %v after %v", ctx.Err(), time.Since(start))
			}
		}
		ts.peer.wantStatus("B26: a stream whose handler ignores its deadline", 3, codes.DeadlineExceeded, "context deadline exceeded")
		ts.answers <- nil
		ts.answers <- nil
		ts.peer.wantResult("B26", 1, wrapperspb.String("waited"))
		ts.peer.wantNothing("B40")
	})
}

func TestServerHandlerCap(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		p := ts.peer
		p.request(1, 0, "Wait", nil)
		p.request(3, flagRemoteOpen, "Stall", nil)
		p.request(5, 0, "Echo", wrapperspb.String("x"))
		p.wantStatus("B32", 5, codes.ResourceExhausted, "ttrpc: more than 2 concurrent calls on the connection")
		other, _ := ts.connect(t, 0)
		other.wantEcho("B32: the cap is one connection's", 1)
		other.conn.Close()
		ts.answers <- nil
		p.next("B32")
		p.wantEcho("B32: below the cap again", 7)
		ts.answers <- nil
		p.next("B32")
	}, WithServerLimits(Limits{Handlers: 2}))
}

// TestServerContextEnds holds that a handler that waits in RecvMsg learns of the
// end of Serve's context.
func TestServerContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTestServer(t)
		ctx, cancel := context.WithCancel(context.Background())
		a, b := memconn.Pipe(0)
		ts.accept(ctx, b)
		p := newRawPeer(t, a)
		p.request(1, flagRemoteOpen, "Bidi", nil)
		p.wantNothing("B26")
		cancel()
		p.wantStatus("B26", 1, codes.Canceled, "context canceled")
		p.wantEcho("B24", 3)
		a.Close()
	})
}

func TestServerRecoversPanics(t *testing.T) {
	log := new(countingLogger)
	onServer(t, func(t *testing.T, ts *testServer) {
		ts.Register("panics", map[string]Method{
			"Now": func(context.Context, func(any) error) (any, error) { panic("boo") },
		})
		ts.peer.send(1, messageTypeRequest, 0, encode(t, &Request{Service: "panics", Method: "Now"}))
		ts.peer.wantStatus("B31", 1, codes.Internal, "ttrpc: panic in the handler: boo")
		ts.peer.wantEcho("B31: the server lives", 3)
	}, WithRecoverPanics(), WithServerLogger(log))
	if log.errors.Load() != 1 {
		t.Errorf("B31: %d errors were logged", log.errors.Load())
	}
}

// TestServerNilResults holds that nil answers a stream, as it always did, with
// an empty message, but not a call (B10).
func TestServerNilResults(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		ts.RegisterService("nil", &ServiceDesc{
			Methods: map[string]Method{
				"Call":  func(context.Context, func(any) error) (any, error) { return nil, nil },
				"Typed": func(context.Context, func(any) error) (any, error) { return (*wrapperspb.StringValue)(nil), nil },
			},
			Streams: map[string]Stream{"Stream": {
				StreamingClient: true,
				Handler:         func(context.Context, StreamServer) (any, error) { return nil, nil },
			}},
		})
		for id, method := range map[uint32]string{1: "Call", 3: "Typed"} {
			ts.peer.send(id, messageTypeRequest, 0, encode(t, &Request{Service: "nil", Method: method}))
			ts.peer.wantStatus("B10", id, codes.Unknown, "ttrpc: marshal called with nil")
		}
		ts.peer.send(5, messageTypeRequest, flagRemoteOpen, encode(t, &Request{Service: "nil", Method: "Stream"}))
		ts.peer.want("nil on a stream", 5, messageTypeResponse, 0, nil)
	})
}
