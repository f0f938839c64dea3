// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

var smallQueue = StreamQueue{Messages: 4, Bytes: 1 << 20, Patience: time.Second, ConnectionBytes: 100 << 10}

// TestQueueFull holds B41 for a receiver that takes nothing: it delays nobody,
// and fails alone when its time is over.
func TestQueueFull(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		p := ts.peer
		start := time.Now()
		p.request(1, flagRemoteOpen, "Stall", nil)
		ctx := <-ts.contexts
		for range 5 {
			p.send(1, messageTypeData, 0, nil)
		}
		p.wantEcho("B41: a call beside it", 3)
		if time.Since(start) != 0 {
			t.Errorf("B41: the call was delayed by %v", time.Since(start))
		}
		<-ctx.Done()
		if context.Cause(ctx) != ErrStreamFull || time.Since(start) != time.Second {
			t.Errorf("B41: %v after %v", context.Cause(ctx), time.Since(start))
		}
		p.wantStatus("B41", 1, codes.ResourceExhausted, "ttrpc: stream buffer full")
		ts.answers <- nil
		p.wantNothing("B40")
	}, WithServerLimits(Limits{Queue: smallQueue}))
}

// TestQueueBelowItsBounds holds that a queue that is not over its bounds may
// stay as it is for ever.
func TestQueueBelowItsBounds(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		p := ts.peer
		p.request(1, flagRemoteOpen, "Stall", nil)
		ctx := <-ts.contexts
		for range 4 {
			p.send(1, messageTypeData, 0, nil)
		}
		time.Sleep(time.Hour)
		if ctx.Err() != nil {
			t.Errorf("B41: %v", context.Cause(ctx))
		}
		p.send(1, messageTypeData, flagRemoteClosed|flagNoData, nil)
		ts.answers <- nil
		p.want("B41", 1, messageTypeData, flagRemoteClosed|flagNoData, nil)
	}, WithServerLimits(Limits{Queue: smallQueue}))
}

// TestQueueSlowReceiver holds that a receiver which takes one message within
// each patience loses nothing, however much is sent at once.
func TestQueueSlowReceiver(t *testing.T) {
	const messages = 50
	onServer(t, func(t *testing.T, ts *testServer) {
		ts.RegisterService("slow", &ServiceDesc{Streams: map[string]Stream{"Take": {
			StreamingClient: true,
			Handler: func(_ context.Context, ss StreamServer) (any, error) {
				got := new(wrapperspb.Int64Value)
				for {
					var m wrapperspb.BytesValue
					if err := ss.RecvMsg(&m); err != nil {
						return got, endOfStream(err)
					}
					got.Value++
					time.Sleep(900 * time.Millisecond)
				}
			},
		}}})
		p := ts.peer
		p.send(1, messageTypeRequest, flagRemoteOpen, encode(t, &Request{Service: "slow", Method: "Take"}))
		message := encode(t, wrapperspb.Bytes(make([]byte, 8000)))
		p.send(1, messageTypeData, 0, message)
		synctest.Wait() // the receiver has begun
		for range messages - 1 {
			p.send(1, messageTypeData, 0, message)
		}
		p.send(1, messageTypeData, flagRemoteClosed|flagNoData, nil)
		synctest.Wait()
		if n := ts.conn.total.Load(); n > int64(smallQueue.ConnectionBytes) {
			t.Errorf("B41: %d bytes are queued", n)
		}
		time.Sleep(time.Hour)
		p.wantResult("B41: nothing is lost", 1, wrapperspb.Int64(messages))
	}, WithServerLimits(Limits{Queue: smallQueue}))
}

// TestQueueStoppedReceiver holds that a receiver which has taken messages and
// then stops holds the others up no longer than its patience, and only at the
// cap of the connection.
func TestQueueStoppedReceiver(t *testing.T) {
	q := smallQueue
	q.Messages = 1000
	onServer(t, func(t *testing.T, ts *testServer) {
		ts.RegisterService("stop", &ServiceDesc{Streams: map[string]Stream{"Take": {
			StreamingClient: true,
			Handler: func(ctx context.Context, ss StreamServer) (any, error) {
				ss.RecvMsg(new(wrapperspb.BytesValue))
				ts.contexts <- ctx
				return nil, <-ts.answers
			},
		}}})
		p := ts.peer
		p.send(1, messageTypeRequest, flagRemoteOpen, encode(t, &Request{Service: "stop", Method: "Take"}))
		p.send(1, messageTypeData, 0, nil)
		ctx := <-ts.contexts
		start := time.Now()
		for range 20 {
			p.send(1, messageTypeData, 0, make([]byte, 8000))
		}
		p.request(3, 0, "Echo", wrapperspb.String("x"))
		<-ctx.Done()
		if context.Cause(ctx) != ErrStreamFull || time.Since(start) != q.Patience {
			t.Errorf("B41: %v after %v", context.Cause(ctx), time.Since(start))
		}
		p.wantStatus("B41", 1, codes.ResourceExhausted, "ttrpc: stream buffer full")
		p.wantResult("B41", 3, wrapperspb.String("x"))
		ts.answers <- nil
	}, WithServerLimits(Limits{Queue: q}))
}

// TestQueueConnectionCap holds that all queues of a connection together stay
// under the cap, and that the stream with most of it pays.
func TestQueueConnectionCap(t *testing.T) {
	q := smallQueue
	q.Messages = 1000
	onServer(t, func(t *testing.T, ts *testServer) {
		p := ts.peer
		p.request(1, flagRemoteOpen, "Stall", nil)
		p.request(3, flagRemoteOpen, "Stall", nil)
		p.send(1, messageTypeData, 0, make([]byte, 8000))
		for range 20 {
			p.send(3, messageTypeData, 0, make([]byte, 8000))
		}
		p.wantStatus("B41: the stream that holds most", 3, codes.ResourceExhausted, "ttrpc: stream buffer full")
		if n := ts.conn.total.Load(); n > int64(q.ConnectionBytes) {
			t.Errorf("B41: %d bytes are queued", n)
		}
		for range 2 {
			if ctx := <-ts.contexts; ctx.Err() != nil && context.Cause(ctx) != ErrStreamFull {
				t.Errorf("B41: %v", context.Cause(ctx))
			}
		}
		ts.answers <- nil
		ts.answers <- nil
		p.want("B41: the other stream goes on", 1, messageTypeData, flagRemoteClosed|flagNoData, nil)
	}, WithServerLimits(Limits{Queue: q}))
}

// TestQueueClient holds B41 at the client: its stream fails, alone.
func TestQueueClient(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		s := open(t, context.Background(), c, serverStreams, nil)
		p.next("")
		for range 5 {
			p.send(1, messageTypeData, 0, nil)
		}
		var resp wrapperspb.StringValue
		start := time.Now()
		done := goCall(context.Background(), c, &resp)
		p.wantRequest("B41", 3, 0)
		p.respond(3, nil, nil)
		if err := <-done; err != nil || time.Since(start) != 0 {
			t.Errorf("B41: a call beside it: %v after %v", err, time.Since(start))
		}
		time.Sleep(2 * time.Second)
		wantRecv(t, "B41", s, "", ErrStreamFull)
	}, WithClientLimits(Limits{Queue: smallQueue}))
}

// TestQueueOfAnEndedStream holds that messages of a stream that has ended are
// kept for its receiver, and count for nothing.
func TestQueueOfAnEndedStream(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		s := open(t, context.Background(), c, serverStreams, nil)
		p.next("")
		for range 10 {
			p.send(1, messageTypeData, 0, []byte("\n\x01m"))
		}
		p.send(1, messageTypeData, flagRemoteClosed|flagNoData, nil)
		wantClean(t, "B21", connOf(c))
		time.Sleep(time.Hour)
		for range 10 {
			wantRecv(t, "B21: what came before the end", s, "m", nil)
		}
	}, WithClientLimits(Limits{Queue: smallQueue}))
}

// TestAnswersNobodyReads holds that a peer which does not read its answers is
// not read from either, once they take up the memory of a connection, and that
// nothing is lost when it reads at last.
func TestAnswersNobodyReads(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		const probes = 2000
		a, b := memconn.Pipe(1000)
		ts.accept(t.Context(), b)
		var written atomic.Int32
		go func() {
			for range probes {
				a.Write(make([]byte, messageHeaderLength))
				written.Add(1)
			}
		}()
		synctest.Wait()
		for c := range ts.connectionSet() {
			c.mu.Lock()
			if c.out.bytes > smallQueue.ConnectionBytes+1000 {
				t.Errorf("%d bytes of answers are queued", c.out.bytes)
			}
			c.mu.Unlock()
		}
		if n := written.Load(); n > probes/2 {
			t.Errorf("%d frames were read from a peer that does not read", n)
		}
		p := newRawPeer(t, a)
		for range probes {
			p.wantStatus("B37", 0, codes.InvalidArgument, evenText)
		}
		a.Close()
	}, WithServerLimits(Limits{Queue: smallQueue}))
}

// TestQueueOfRequests holds that the messages that come with requests count.
func TestQueueOfRequests(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		const streams = 100
		for i := range uint32(streams) {
			ts.peer.request(2*i+1, flagRemoteOpen, "Stall", wrapperspb.Bytes(make([]byte, 8000)))
			<-ts.contexts
		}
		synctest.Wait()
		if n := ts.conn.total.Load(); n == 0 || n > int64(smallQueue.ConnectionBytes) {
			t.Errorf("B41: %d bytes are queued", n)
		}
		for range streams {
			ts.answers <- nil
		}
	}, WithServerLimits(Limits{Queue: smallQueue}))
}

// TestQueueOfWaitingRequests holds that requests of streams count before their
// handlers begin, and no longer once they have begun without a message.
func TestQueueOfWaitingRequests(t *testing.T) { synctest.Test(t, testQueueOfWaitingRequests) }

func testQueueOfWaitingRequests(t *testing.T) {
	cfg := &connConfig{limits: Limits{Queue: smallQueue}}
	cfg.setDefaults()
	c := newConn(roleServer, nil, cfg)
	c.ch = newChannel(nil)
	var calls []*serverCall
	c.host = serveFunc(func(call *serverCall) bool {
		calls = append(calls, call)
		return true
	})
	for i := range uint32(100) {
		f := newFrame(8000)
		f.header = messageHeader{Length: 8000, StreamID: 2*i + 1, Type: messageTypeRequest, Flags: flagRemoteOpen}
		c.receive(f, nil)
		if n := c.total.Load(); n == 0 || n > int64(smallQueue.ConnectionBytes) {
			t.Fatalf("B41: %d bytes are queued after %d requests", n, i+1)
		}
	}
	for _, call := range calls {
		call.inbox.start(nil)
	}
	if n := c.total.Load(); n != 0 {
		t.Errorf("B41: %d bytes are queued once handlers have begun", n)
	}
}

// TestQueueTakenMeanwhile holds that the reader does not wait for a take that
// has been done already.
func TestQueueTakenMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(stream)
		s.init(newConn(roleServer, nil, &connConfig{limits: Limits{Queue: smallQueue}}))
		s.makeInbox()
		s.put(newFrame(10))
		size := s.inbox.size()
		if _, err := s.take(context.Background()); err != nil {
			t.Fatal(err)
		}
		if !s.inbox.awaitTake(size) {
			t.Error("B41: a receiver that has taken a message is said not to")
		}
	})
}

// TestQueueNoLongerCounted holds that the reader is woken when what it waits for
// cannot come any more.
func TestQueueNoLongerCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(stream)
		s.init(newConn(roleServer, nil, &connConfig{limits: Limits{Queue: smallQueue}}))
		s.makeInbox()
		s.inbox.begun = true
		s.put(newFrame(10))
		waited := make(chan bool)
		go func() { waited <- s.inbox.awaitTake(s.inbox.size()) }()
		synctest.Wait()
		s.inbox.uncount()
		if <-waited {
			t.Error("B41: a message is said to have been taken")
		}
	})
}

// TestQueueOfAFailedStream holds that a payload which comes late is not kept.
func TestQueueOfAFailedStream(t *testing.T) {
	s := new(stream)
	s.init(newConn(roleServer, nil, &connConfig{limits: Limits{Queue: smallQueue}}))
	s.makeInbox()
	s.inbox.close(ErrStreamFull, true)
	s.inbox.start(newFrame(10))
	if n := s.conn.total.Load(); n != 0 || s.inbox.queue.head != nil {
		t.Errorf("B41: a failed stream holds %d bytes", n)
	}
}

// TestQueueFullStands holds that the receiver learns that its queue was full,
// even if its context's end comes next.
func TestQueueFullStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTestServer(t, WithServerLimits(Limits{Queue: smallQueue}))
		received := make(chan error, 1)
		ts.RegisterService("late", &ServiceDesc{Streams: map[string]Stream{"Receive": {
			StreamingClient: true,
			Handler: func(ctx context.Context, ss StreamServer) (any, error) {
				<-ctx.Done()
				synctest.Wait() // for whoever else acts on the end
				received <- ss.RecvMsg(new(wrapperspb.StringValue))
				return nil, nil
			},
		}}})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		a, b := memconn.Pipe(0)
		ts.accept(ctx, b)
		p := newRawPeer(t, a)
		p.send(1, messageTypeRequest, flagRemoteOpen|flagNoData, encode(t, &Request{Service: "late", Method: "Receive"}))
		for range smallQueue.Messages + 1 {
			p.send(1, messageTypeData, 0, nil)
		}
		if err := <-received; err != ErrStreamFull {
			t.Errorf("B41: RecvMsg: %v, want %v", err, ErrStreamFull)
		}
		a.Close()
	})
}

// TestQueueOfALostConnection holds that the reader does not wait for a receiver
// of a connection that has ended. It is the bubble that notices who still waits.
func TestQueueOfALostConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(0)
		c := NewClient(a, WithClientLimits(Limits{Queue: StreamQueue{ConnectionBytes: 64 << 10, Patience: time.Hour}}))
		p := newRawPeer(t, b)
		desc := &StreamDesc{StreamingClient: true, StreamingServer: true}
		stream, err := c.NewStream(t.Context(), desc, "test", "Bidi", nil)
		if err != nil {
			t.Fatal(err)
		}
		p.next("B36")
		message := encode(t, wrapperspb.Bytes(make([]byte, 30<<10)))
		p.send(1, messageTypeData, 0, message)
		if err := stream.RecvMsg(new(wrapperspb.BytesValue)); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			p.send(1, messageTypeData, 0, message)
		}
		synctest.Wait() // the reader waits for the next RecvMsg
		connOf(c).close(io.ErrClosedPipe)
		synctest.Wait()
		if n := connOf(c).total.Load(); n != 0 {
			t.Errorf("B41: %d bytes are counted for a connection that has ended", n)
		}
		b.Close()
	})
}

// TestQueueOfALateStream holds that a call which looked unary, and has ended before its
// handler turned out to be a stream's, receives nothing but its end.
func TestQueueOfALateStream(t *testing.T) {
	for _, end := range []struct {
		name string
		do   func(*serverCall)
		want error
	}{
		{"the call has failed", func(call *serverCall) { call.conn.fail(&call.stream, context.DeadlineExceeded) }, context.DeadlineExceeded},
		{"the connection has ended", func(call *serverCall) { call.conn.close(io.EOF) }, context.Canceled},
	} {
		cfg := &connConfig{limits: Limits{Queue: smallQueue}}
		cfg.setDefaults()
		_, nc := unixPair(t)
		c := newConn(roleServer, nc, cfg)
		c.ch, c.base = newChannel(nc), context.Background()
		var call *serverCall
		c.host = serveFunc(func(accepted *serverCall) bool {
			call = accepted
			return true
		})
		f := newFrame(0)
		f.header = messageHeader{StreamID: 1, Type: messageTypeRequest}
		c.receive(f, nil)
		end.do(call)
		call.becomeStream(true)
		if _, err := call.take(context.Background()); err != end.want {
			t.Errorf("B41: %s, and its handler receives %v, want %v", end.name, err, end.want)
		}
	}
}
