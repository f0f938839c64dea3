// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux && go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// TestEchoesBothWays holds that handlers of both ends which wait for each other's credit do
// not stop each other: streams that are echoed end, however many there are and however few of
// them the connection's window has room for.
func TestEchoesBothWays(t *testing.T) {
	for name, test := range map[string]struct {
		q                 StreamQueue
		streams, messages int // the streams of each end
	}{
		"default windows": {StreamQueue{}, 150, 16},
		"small windows":   {StreamQueue{Window: 64 << 10, ConnectionBytes: 1 << 20}, 64, 40},
	} {
		t.Run(name, func(t *testing.T) {
			p := newExtendedPair(t, []ServerOpt{WithServerLimits(Limits{Queue: test.q})}, WithClientLimits(Limits{Queue: test.q}))
			var all sync.WaitGroup
			for _, c := range []*Client{p.client, p.serverConn().client()} {
				for range test.streams {
					all.Go(func() { echoMany(t, c, test.messages) })
				}
			}
			all.Wait()
		})
	}
}

// echoMany sends messages without waiting for their echoes.
func echoMany(t *testing.T, c *Client, messages int) {
	s, err := c.NewStream(context.Background(), bidi, "test", "Echoes", nil)
	if err != nil {
		t.Errorf("B50: %v", err)
		return
	}
	go func() {
		m := wrapperspb.Bytes(make([]byte, 16<<10))
		for range messages {
			if s.SendMsg(m) != nil {
				return
			}
		}
		s.CloseSend()
	}()
	m := new(wrapperspb.BytesValue)
	for range messages {
		if err := s.RecvMsg(m); err != nil {
			t.Errorf("B48: %v", err)
			return
		}
	}
	if err := s.RecvMsg(m); err != io.EOF {
		t.Errorf("B48: the end: %v", err)
	}
}

// TestGoodbyeFollowsHello holds that no control frame overtakes the answer to Hello.
func TestGoodbyeFollowsHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTestServer(t, WithServerExtensions())
		c := ts.conn
		synctest.Wait()
		byHand(c)
		h := peerHello()
		ts.peer.send(1, messageTypeRequest, 0, helloRequest(t, h.Append(nil)))
		synctest.Wait()
		c.mu.Lock()
		c.draining, c.settled = true, true
		c.unlock()
		go c.writeOut(nil, 0)
		if f := ts.peer.next("B46"); f.Type != messageTypeResponse {
			t.Errorf("B46: the first frame is %v", f.Type)
		}
		ts.peer.wantGoodbye("B53", 1)
	})
}

// byHand makes the test the connection's writer, who calls nextBatch.
func byHand(c *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = true
}

// writeHeaders is the writer's next write, of which it returns the headers. The frames are lost.
func writeHeaders(c *conn) (all []messageHeader) {
	f := c.nextBatch()
	if f == nil {
		return nil
	}
	defer f.release()
	for b := f.data; len(b) > 0; {
		h, _ := parseHeader(b)
		all = append(all, h)
		b = b[messageHeaderLength+int(h.Length):]
	}
	return all
}

// TestIdsRiseThoughPartsAreDropped holds that ids rise in the order of first frames, also if
// one of the messages that take turns with a new one is given up.
func TestIdsRiseThoughPartsAreDropped(t *testing.T) {
	onExtendedClient(t, peerHello(), func(t *testing.T, c *Client, _ *rawPeer) {
		synctest.Wait()
		byHand(connOf(c))
		var begun []uint32
		write := func() (goesOn bool) {
			all := writeHeaders(connOf(c))
			for _, h := range all {
				if h.StreamID != 0 && h.Flags&flagReset == 0 && !slices.Contains(begun, h.StreamID) {
					begun = append(begun, h.StreamID)
				}
			}
			return all != nil
		}
		call := func(n int) (cancel func()) {
			ctx, cancel := context.WithCancel(t.Context())
			go c.Call(ctx, "test", "Echo", wrapperspb.Bytes(make([]byte, n)), new(wrapperspb.BytesValue))
			synctest.Wait()
			return cancel
		}
		first := call(300_000)
		defer call(300_000)()
		for len(begun) < 2 {
			write()
		}
		for _, n := range []int{10, 300_000, 10, 300_000, 10} {
			defer call(n)()
		}
		write()
		first()
		synctest.Wait()
		for write() {
		}
		if !slices.IsSorted(begun) || len(begun) != 7 {
			t.Errorf("B50: the ids begin in the order %v", begun)
		}
	})
}

// TestCancelAmongLargeAnswers holds that the answer to a cancel does not count with answers
// that are not read.
func TestCancelAmongLargeAnswers(t *testing.T) {
	const large = 1 << 20
	onStalledServer(t, 1<<16, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		begin := make(chan struct{})
		ts.Register("large", map[string]Method{"Large": func(context.Context, func(any) error) (any, error) {
			<-begin
			return wrapperspb.Bytes(make([]byte, large)), nil
		}})
		for i := range uint32(4) {
			p.send(3+2*i, messageTypeRequest, 0, encode(t, &Request{Service: "large", Method: "Large"}))
		}
		p.send(11, messageTypeRequest, 0, encode(t, &Request{Service: "test", Method: "Wait"}))
		<-ts.contexts
		close(begin)
		synctest.Wait()
		p.send(11, messageTypeCancel, 0, statusBytes(t, codes.Canceled, "no more"))
		go p.receive()
		ends := map[uint32]int{}
		for len(ends) < 5 {
			if f := p.next("B47"); f.Type == messageTypeResponse {
				ends[f.StreamID]++
			}
		}
		p.wantNothing("B47")
		ts.answers <- nil
	}, WithServerLimits(Limits{Queue: StreamQueue{ConnectionBytes: large}}))
}

// TestSendAfterCloseNeedsNoCredit holds that a message after the half-close is an error at
// once, whether or not there is credit.
func TestSendAfterCloseNeedsNoCredit(t *testing.T) {
	h := peerHello()
	h.Window = messageCharge + 18
	onExtendedClient(t, h, func(t *testing.T, c *Client, p *rawPeer) {
		s := open(t, t.Context(), c, bidi, nil)
		if err := s.SendMsg(wrapperspb.String("takes all credit")); err != nil {
			t.Fatal(err)
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := s.SendMsg(wrapperspb.String("late")); !errors.Is(err, ErrStreamClosed) {
			t.Errorf("B48: %v, want ErrStreamClosed", err)
		}
		p.takeCredit(0)
	})
}

// TestFilesOfFailedCall holds that files are closed if their call fails before it is made.
func TestFilesOfFailedCall(t *testing.T) {
	p := newExtendedPair(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ctx, files := WithFiles(ctx)
	if err := files.Attach(os.Stdout); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := p.echo(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("B51: %v", err)
	}
	if n := files.take(nil).count(); n != 0 {
		t.Errorf("B51: %d files are left", n)
	}
}

// TestEmptyDataEndsBegunRequest holds that data without a message on an id that was begun
// leaves nothing of it, for which a connection that ends would wait.
func TestEmptyDataEndsBegunRequest(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		e.peer.send(e.theirs(0), messageTypePart, 0, []byte("x"))
		e.peer.send(e.theirs(0), messageTypeData, flagNoData, nil)
		synctest.Wait()
		done := e.shutdown()
		e.peer.wantGoodbye("B53", e.theirs(0))
		e.peer.wantEnd("B53: nothing is left")
		if err := <-done; err != nil {
			t.Errorf("B53: %v", err)
		}
	})
}

// TestManyLargeRequestsAtOnce holds that however many large requests wait, the peer has no
// more of them in part than it takes.
func TestManyLargeRequestsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBubblePair(t, []ServerOpt{WithServerLimits(Limits{Queue: StreamQueue{ConnectionBytes: 4 << 20}})}, WithClientLimits(Limits{MessageSize: 1 << 20}))
		c := connOf(p.client)
		synctest.Wait()
		byHand(c)
		large := strings.Repeat("x", 200_000)
		var all sync.WaitGroup
		var failed atomic.Int32
		for range 120 {
			all.Go(func() {
				if p.echo(t.Context(), large) != nil {
					failed.Add(1)
				}
			})
		}
		synctest.Wait()
		go c.writeOut(nil, 0)
		all.Wait()
		if n := failed.Load(); n != 0 {
			t.Errorf("B49: %d calls failed: %v, %v", n, p.client.Cause(), p.serverConn())
		}
	})
}

// TestStreamCalledAsUnaryAsConnectionEnds holds that nothing is left if a handler of a stream
// begins, for a unary call, when the connection has ended.
func TestStreamCalledAsUnaryAsConnectionEnds(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			ts := newTestServer(t, WithServerExtensions())
			ts.peer.agree(peerHello())
			ts.peer.request(3, 0, "Bidi", nil)
			ts.peer.conn.Close()
			wantAllClean(t, "B48", ts.conn)
		})
	}
}

// A closingShaker closes the client whose hands it shakes.
type closingShaker struct{ client chan *Client }

func (h closingShaker) Handshake(_ context.Context, nc net.Conn) (net.Conn, any, error) {
	return nc, nil, (<-h.client).Close()
}

// TestCloseWhileHandshakeEnds closes a client whose handshake ends well nevertheless.
func TestCloseWhileHandshakeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(0)
		defer b.Close()
		h := closingShaker{make(chan *Client)}
		c := NewClient(a, WithExtensions(), WithClientHandshaker(h))
		h.client <- c
		if _, err := c.Extended(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("B46: %v", err)
		}
	})
}

// TestShutdownUnderCalls holds that a server which shuts down answers each call that it runs.
func TestShutdownUnderCalls(t *testing.T) {
	for range 20 {
		p := newExtendedPair(t, nil)
		var ran, answered atomic.Int32
		p.server.Register("count", map[string]Method{"Count": func(context.Context, func(any) error) (any, error) {
			ran.Add(1)
			return new(wrapperspb.StringValue), nil
		}})
		var all sync.WaitGroup
		half := make(chan struct{})
		for range 8 {
			all.Go(func() {
				for p.client.Call(t.Context(), "count", "Count", wrapperspb.String(""), new(wrapperspb.StringValue)) == nil {
					if answered.Add(1) == 100 {
						close(half)
					}
				}
			})
		}
		<-half
		if err := p.server.Shutdown(t.Context()); err != nil {
			t.Errorf("B53: Shutdown: %v", err)
		}
		all.Wait()
		if ran.Load() != answered.Load() {
			t.Errorf("B53: %d calls ran, and %d were answered", ran.Load(), answered.Load())
		}
	}
}

// TestUnaryOpenedAsStream holds that a unary method's handler does not run without its request,
// but runs with one that comes as a stream's only message.
func TestUnaryOpenedAsStream(t *testing.T) {
	p := newExtendedPair(t, nil)
	for _, service := range []*Client{p.client, p.serverConn().client()} {
		s, err := service.NewStream(t.Context(), bidi, "test", "Echo", nil)
		if err != nil {
			t.Fatal(err)
		}
		err = s.RecvMsg(new(wrapperspb.StringValue))
		if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "method /test/Echo is unary") {
			t.Errorf("B146: without its request it is %v", err)
		}
		s, err = service.NewStream(t.Context(), &StreamDesc{StreamingServer: true}, "test", "Echo", wrapperspb.String("hello"))
		if err != nil {
			t.Fatal(err)
		}
		var got wrapperspb.StringValue
		if err := s.RecvMsg(&got); err != nil || got.Value != "hello" {
			t.Errorf("B146: with its request it is %v, %v", &got, err)
		}
	}
}
