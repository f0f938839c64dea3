// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux && go1.25

package ttrpc

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/testkit"
)

// number is a data frame with a number.
func (p *seatPeer) number(id uint32, n int) {
	p.Helper()
	p.write(frameBytes(id, messageTypeData, 0, encode(p, wrapperspb.Int64(int64(n)))))
}

// goReceive receives a number, Within a context if there is one, and returns where that, or an error, will be.
func goReceive(receive func(any) error, within ...context.Context) <-chan any {
	done := make(chan any, 1)
	go func() {
		var n wrapperspb.Int64Value
		m := any(&n)
		for _, ctx := range within {
			m = Within(ctx, m)
		}
		if err := receive(m); err != nil {
			done <- err
			return
		}
		done <- int(n.Value)
	}()
	return done
}

// awaitReceiver waits until the receiver of the stream waits.
func awaitReceiver(t *testing.T, rule string, s *stream) {
	t.Helper()
	await(t, rule, func() bool { return s.inbox.isAwaited() })
}

// newSeatStream returns a client's only stream, 3, whose receiver has got a message, and
// the seat is vacant for it.
func newSeatStream(t *testing.T, ctx context.Context) (*Client, *seatPeer, *clientStream) {
	t.Helper()
	c, p := newSeatClient(t)
	cs, err := c.NewStream(ctx, &StreamDesc{true, true}, "seat", "Stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	p.recv("a stream")
	s := cs.(*clientStream)
	done := goReceive(s.RecvMsg)
	awaitReceiver(t, "a receiver", &s.stream)
	p.number(3, 0)
	wantNumber(t, "the first message", done, 0)
	if seat := seatOf(connOf(c)); seat != seatVacant {
		t.Fatalf("the seat is %d after a message for who waited, want it vacant", seat)
	}
	return c, p, s
}

// TestReceiverReads holds that a client's receiver alone reads for itself, so that no other
// goroutine is woken for a message.
func TestReceiverReads(t *testing.T) {
	c, p, s := newSeatStream(t, context.Background())
	for n := range 3 {
		done := goReceive(s.RecvMsg)
		awaitSeat(t, "a receiver alone", connOf(c), seatWaiter)
		p.number(3, n)
		wantNumber(t, "a receiver alone", done, n)
		if seat := seatOf(connOf(c)); seat != seatVacant {
			t.Errorf("the seat is %d after a message", seat)
		}
	}
	p.number(3, 4)
	p.write(frameBytes(3, messageTypeData, flagRemoteClosed|flagNoData, nil))
	wantNumber(t, "a message that has come", goReceive(s.RecvMsg), 4)
	wantNumber(t, "the end", goReceive(s.RecvMsg), io.EOF)
	done := goNumber(context.Background(), c)
	p.recv("a call after the stream")
	p.respond(5, 5)
	wantNumber(t, "a call after the stream", done, 5)
}

// TestReceiverIsAhead holds that the seat is not vacated while more has come than the
// message, and messages stay in their order.
func TestReceiverIsAhead(t *testing.T) {
	c, p, s := newSeatStream(t, context.Background())
	var all []byte
	for n := range 3 {
		all = append(all, frameBytes(3, messageTypeData, 0, encode(p, wrapperspb.Int64(int64(n))))...)
	}
	done := goReceive(s.RecvMsg)
	awaitSeat(t, "a receiver alone", connOf(c), seatWaiter)
	p.write(all)
	wantNumber(t, "the first of three", done, 0)
	awaitSeat(t, "more has come", connOf(c), seatReader)
	for n := range 2 {
		wantNumber(t, "another", goReceive(s.RecvMsg), n+1)
	}
}

// TestReceiverGivesUp holds B18 for a receiver that reads: it returns when the context of
// the stream or of the receive ends, and leaves the seat to a goroutine.
func TestReceiverGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c, p, s := newSeatStream(t, ctx)
	done := goReceive(s.RecvMsg)
	awaitSeat(t, "a receiver alone", connOf(c), seatWaiter)
	cancel()
	wantNumber(t, "B18: the stream's context has ended", done, context.Canceled)
	awaitSeat(t, "B18: the stream's context has ended", connOf(c), seatReader)
	call := goNumber(context.Background(), c)
	p.recv("a call")
	p.respond(5, 5)
	wantNumber(t, "a call after it", call, 5)

	c, p, s = newSeatStream(t, context.Background())
	ctx, cancel = context.WithCancel(context.Background())
	done = goReceive(s.RecvMsg, ctx)
	awaitSeat(t, "a receiver alone", connOf(c), seatWaiter)
	cancel()
	wantNumber(t, "Within has ended", done, context.Canceled)
	awaitSeat(t, "Within has ended", connOf(c), seatReader)
	done = goReceive(s.RecvMsg)
	awaitReceiver(t, "a receiver", &s.stream)
	p.number(3, 1)
	wantNumber(t, "the next message", done, 1)

	if seat := seatOf(connOf(c)); seat != seatVacant {
		t.Fatalf("the seat is %d", seat)
	}
	wantNumber(t, "who only tries", goReceive(s.RecvMsg, ctx), context.Canceled)
	if seat := seatOf(connOf(c)); seat != seatReader {
		t.Errorf("the seat is %d after a receiver that only tried", seat)
	}
	p.number(3, 2)
	await(t, "a message that nobody waits for", func() bool { return s.box.size() > 0 })
	wantNumber(t, "who only tries", goReceive(s.RecvMsg, ctx), 2)
}

// TestReceiverIsRelieved holds that a receiver reads neither for other streams nor for long,
// and that calls beside it get their answers.
func TestReceiverIsRelieved(t *testing.T) {
	c, p, s := newSeatStream(t, context.Background())
	done := goReceive(s.RecvMsg)
	awaitSeat(t, "a receiver alone", connOf(c), seatWaiter)
	call := goNumber(context.Background(), c)
	p.recv("a call beside it")
	p.respond(5, 5)
	wantNumber(t, "a call beside it", call, 5)
	if _, err := c.NewStream(context.Background(), &StreamDesc{true, true}, "seat", "Stream", nil); err != nil {
		t.Fatal(err)
	}
	awaitSeat(t, "another stream", connOf(c), seatReader)
	p.number(3, 1)
	wantNumber(t, "a message beside another stream", done, 1)

	c, p, s = newSeatStream(t, context.Background())
	call = goNumber(context.Background(), c) // while the seat is vacant for the receiver
	p.recv("a call beside a stream")
	awaitSeat(t, "a call beside a stream", connOf(c), seatReader)
	p.respond(5, 5)
	wantNumber(t, "a call beside a stream", call, 5)
	done = goReceive(s.RecvMsg)
	awaitReceiver(t, "a receiver", &s.stream)
	p.number(3, 1)
	wantNumber(t, "a message after the call", done, 1)
	for _, want := range []seat{seatReader, seatVacant} { // it may be that calls come between messages
		if seat := seatOf(connOf(c)); seat != want {
			t.Errorf("the seat is %d after a message after a call, want %d", seat, want)
		}
		done = goReceive(s.RecvMsg)
		awaitReceiver(t, "a receiver", &s.stream)
		p.number(3, 1)
		wantNumber(t, "the next message", done, 1)
	}

	c, p, s = newSeatStream(t, context.Background())
	done = goReceive(s.RecvMsg)
	awaitSeat(t, "a receiver alone", connOf(c), seatWaiter)
	look(connOf(c))
	awaitSeat(t, "a receiver has read for long", connOf(c), seatReader)
	p.number(3, 1)
	wantNumber(t, "a receiver who was relieved", done, 1)
}

// TestReceiverBesideSender holds that the seat is not vacated while a sender waits for what
// somebody must read.
func TestReceiverBesideSender(t *testing.T) {
	c, p, s := newSeatStream(t, context.Background())
	conn := connOf(c)
	waited := testkit.WaitFor(func() {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		s.waitLocked()
	})
	awaitSeat(t, "a sender waits", conn, seatReader)
	for _, want := range []seat{seatReader, seatVacant} {
		done := goReceive(s.RecvMsg)
		awaitReceiver(t, "a receiver", &s.stream)
		p.number(3, 1)
		wantNumber(t, "a message beside a sender", done, 1)
		if seat := seatOf(conn); seat != want {
			t.Errorf("the seat is %d after a message, want %d", seat, want)
		}
		conn.mu.Lock()
		s.waiting.Broadcast()
		conn.mu.Unlock()
		<-waited
	}
}

// TestReceiverAndEnd holds B1 and B12 for a connection that ends while a stream's receiver
// reads, or the seat is vacant for it.
func TestReceiverAndEnd(t *testing.T) {
	c, p, s := newSeatStream(t, context.Background())
	done := goReceive(s.RecvMsg)
	awaitSeat(t, "a receiver alone", connOf(c), seatWaiter)
	p.nc.Close()
	wantNumber(t, "B1: the peer has gone", done, ErrClosed)

	c, _, s = newSeatStream(t, context.Background())
	done = goReceive(s.RecvMsg)
	awaitSeat(t, "a receiver alone", connOf(c), seatWaiter)
	c.Close()
	wantNumber(t, "B1: a receiver who reads", done, ErrClosed)

	c, _, s = newSeatStream(t, context.Background())
	c.Close()
	testkit.Within(t, "B12: WithOnClose", func() { c.UserOnCloseWait(context.Background()) })
	wantNumber(t, "B1: a receiver who comes back", goReceive(s.RecvMsg), ErrClosed)
	if connOf(c).ch.buf != nil {
		t.Error("a read buffer is kept that nobody will use")
	}
}

// A seatHandler is a server's only stream, 1, whose handler does what the test asks for.
type seatHandler struct {
	*seatServer
	call   *serverCall
	do     chan func()
	end    func()        // has the handler return
	other  chan struct{} // closed, has the method Long return
	method *streamMethod
}

func newSeatHandler(t *testing.T, holds bool, timeout time.Duration) *seatHandler {
	t.Helper()
	h := &seatHandler{do: make(chan func()), other: make(chan struct{})}
	s := newSeatServer(t, holds, seatMethods{
		"Other": nothing,
		"Long":  func(*seatServer, context.Context) { <-h.other },
	})
	h.seatServer = s
	h.end = sync.OnceFunc(func() { close(h.do) })
	t.Cleanup(h.end)
	started := make(chan *serverCall, 1)
	s.RegisterService("streams", &ServiceDesc{Streams: map[string]Stream{"Do": {
		StreamingClient: true, StreamingServer: true,
		Handler: func(_ context.Context, ss StreamServer) (any, error) {
			started <- ss.(*serverCall)
			for f := range h.do {
				f()
			}
			return nil, nil
		},
	}}})
	h.method = s.dispatcher.services.all()["streams"].streams["Do"]
	h.method.took.Store(1)
	s.id = 2
	s.write(frameBytes(1, messageTypeRequest, flagRemoteOpen|flagNoData, encode(t, &Request{Service: "streams", Method: "Do", TimeoutNano: int64(timeout)})))
	h.call = <-started
	return h
}

// receive has the handler receive.
func (h *seatHandler) receive(within ...context.Context) <-chan any {
	done := make(chan any, 1)
	h.do <- func() {
		got := goReceive(h.call.RecvMsg, within...)
		done <- <-got
	}
	return done
}

// vacate has the handler receive a message for which the seat is then vacant.
func (h *seatHandler) vacate(t *testing.T) {
	t.Helper()
	done := h.receive()
	awaitReceiver(t, "a handler", &h.call.stream)
	h.number(1, 0)
	wantNumber(t, "the first message", done, 0)
	if seat := seatOf(h.conn); seat != seatVacant {
		t.Fatalf("the seat is %d after a message for a quick handler, want it vacant", seat)
	}
}

// TestHandlerPauses holds that a handler which held the seat up for a moment must be quick
// for long before it has it again.
func TestHandlerPauses(t *testing.T) {
	h := newSeatHandler(t, true, 0)
	h.vacate(t)
	h.do <- func() { time.Sleep(stall) }
	for _, reads := range []seat{seatWaiter, seatReader} {
		done := h.receive()
		awaitReceiver(t, "a handler that paused", &h.call.stream)
		awaitSeat(t, "a handler that paused", h.conn, reads)
		h.method.took.Store(1)
		h.number(1, 1)
		wantNumber(t, "a handler that paused", done, 1)
		awaitSeat(t, "a handler that paused", h.conn, seatReader)
	}
}

// TestHandlerAndEnd holds that nothing is kept of a server's connection that ends while the
// seat is vacant for a handler.
func TestHandlerAndEnd(t *testing.T) {
	h := newSeatHandler(t, true, 0)
	h.vacate(t)
	h.conn.close(ErrServerClosed)
	if h.conn.ch.buf != nil {
		t.Error("a read buffer is kept that nobody will use")
	}
	wantNumber(t, "B26: a handler that comes back", h.receive(), context.Canceled)
}

// TestStreamHandlerReads holds that the handler of a server's only stream reads for itself,
// if it is quick, and that what it sends leaves when it receives again.
func TestStreamHandlerReads(t *testing.T) {
	h := newSeatHandler(t, true, 0)
	h.vacate(t)
	for n := range 3 {
		h.do <- func() {
			if err := h.call.SendMsg(wrapperspb.Int64(1)); err != nil {
				t.Error(err)
			}
		}
		done := h.receive()
		h.recv("what it sent")
		awaitSeat(t, "a handler alone", h.conn, seatWaiter)
		h.method.took.Store(1)
		h.method.owes.Store(0) // on a busy machine, too
		h.number(1, n)
		wantNumber(t, "a handler alone", done, n)
		if seat := seatOf(h.conn); seat != seatVacant {
			t.Fatalf("the seat is %d after a message", seat)
		}
	}
	h.do <- func() {
		for range 2 {
			if err := h.call.SendMsg(wrapperspb.Int64(1)); err != nil {
				t.Error(err)
			}
		}
	}
	h.recv("the first of two")
	h.recv("the second of two")
	h.method.took.Store(int64(seatPatience))
	done := h.receive()
	awaitSeat(t, "a slow handler", h.conn, seatWaiter)
	h.number(1, 1)
	wantNumber(t, "a slow handler", done, 1)
	awaitSeat(t, "a slow handler", h.conn, seatReader)
}

// TestCallBesideHandler holds that a handler that reads does not run the calls that come,
// and leaves the seat when one has that is still under way.
func TestCallBesideHandler(t *testing.T) {
	h := newSeatHandler(t, true, 0)
	h.vacate(t)
	done := h.receive()
	awaitSeat(t, "a handler alone", h.conn, seatWaiter)
	h.dispatcher.services.all()["seat"].methods["Long"].took.Store(1)
	h.call3("Long")
	awaitSeat(t, "a call beside a stream", h.conn, seatReader)
	close(h.other)
	h.seatPeer.want("a call beside a stream", 0, 3)
	h.wantHere(0)
	h.number(1, 1)
	wantNumber(t, "a message beside a call", done, 1)
}

// call3 makes a call, as call does, which a field hides.
func (h *seatHandler) call3(method string) {
	h.Helper()
	h.seatPeer.call(method)
}

// TestHandlerStaysAway holds that a handler which does not receive again leaves the seat
// vacant only until the watch looks, once in the life of its method; and what it sent leaves.
func TestHandlerStaysAway(t *testing.T) {
	h := newSeatHandler(t, true, 0)
	h.vacate(t)
	open := make(chan struct{})
	h.do <- func() {
		if err := h.call.SendMsg(wrapperspb.Int64(1)); err != nil {
			t.Error(err)
		}
		<-open
	}
	await(t, "a message is held", func() bool { return queued(h.conn) > 0 })
	look(h.conn)
	h.recv("what it sent")
	if seat := seatOf(h.conn); seat != seatReader {
		t.Errorf("the seat is %d after the watch has looked", seat)
	}
	close(open)
	for range 3 {
		beBusy(h.conn)
		h.method.took.Store(1)
		done := h.receive()
		awaitReceiver(t, "a handler that stayed away", &h.call.stream)
		h.number(1, 1)
		wantNumber(t, "a handler that stayed away", done, 1)
		if seat := seatOf(h.conn); seat != seatReader {
			t.Errorf("the seat is vacant for a handler that has stayed away before: %d", seat)
		}
	}
}

func isWriting(c *conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writing
}

// TestOnlyTheFirstIsHeld holds that of messages in a row no more than the first waits for the
// handler to be back, whatever their size.
func TestOnlyTheFirstIsHeld(t *testing.T) {
	for _, size := range []int{1, maxCombined + 1<<10} {
		h := newSeatHandler(t, true, 0)
		h.vacate(t)
		send := func() {
			if err := h.call.SendMsg(wrapperspb.Bytes(make([]byte, size))); err != nil {
				t.Error(err)
			}
		}
		h.do <- send
		await(t, "a message is held", func() bool { return queued(h.conn) > 0 })
		h.do <- send
		for range 2 {
			h.recv("the first of a row")
		}
		await(t, "nobody writes", func() bool { return !isWriting(h.conn) })
		h.do <- send
		h.recv("the next of a row")
		if seat := seatOf(h.conn); seat != seatVacant {
			t.Errorf("messages of %d bytes in a row: the seat is %d, and nobody has looked", size, seat)
		}
		h.end()
	}
}

// TestHandlerLeavesSeat holds that the seat is taken at once when it is clear that the
// handler for which it is vacant does not come back soon, or has to wait for it.
func TestHandlerLeavesSeat(t *testing.T) {
	for name, f := range map[string]func(h *seatHandler){
		"returns":             func(h *seatHandler) { h.end() },
		"watches its context": func(h *seatHandler) { h.do <- func() { h.call.Done() } },
		"sends much": func(h *seatHandler) {
			h.do <- func() {
				for range 100 {
					h.call.SendMsg(wrapperspb.Bytes(make([]byte, maxPending)))
				}
			}
		},
		"detaches": func(h *seatHandler) {
			h.do <- func() { Detach(h.call) }
			h.end()
		},
		"only tries": func(h *seatHandler) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			h.receive(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newSeatHandler(t, true, 0)
			h.vacate(t)
			f(h)
			awaitSeat(t, name, h.conn, seatReader)
			h.call3("Other")
			for id := uint32(0); id != 3; {
				head, _ := h.recv("a call then")
				id = head.StreamID
			}
		})
	}
}

// TestHandlerDeadline holds B18 for a stream's handler that reads when its deadline passes,
// and for one whose server shuts down.
func TestHandlerDeadline(t *testing.T) {
	h := newSeatHandler(t, true, time.Second)
	h.vacate(t)
	done := h.receive()
	wantNumber(t, "B18: a handler at its deadline", done, context.DeadlineExceeded)
	awaitSeat(t, "B18: a handler at its deadline", h.conn, seatReader)
	h.end()

	h = newSeatHandler(t, true, 0)
	h.vacate(t)
	done = h.receive()
	awaitSeat(t, "a handler alone", h.conn, seatWaiter)
	ended := make(chan error, 1)
	go func() { ended <- h.Shutdown(context.Background()) }()
	awaitSeat(t, "B25: a server that shuts down", h.conn, seatReader)
	h.number(1, 1)
	wantNumber(t, "B25: a message then", done, 1)
	h.end()
	testkit.Within(t, "B25: Shutdown", func() { <-ended })
}

// TestBufferIsLent holds that a large frame which is all that has been read has the buffer's
// memory, if it is used up at once, and that what follows is read as ever.
func TestBufferIsLent(t *testing.T) {
	near, far := testkit.SocketPair(t)
	defer near.Close()
	defer far.Close()
	if err := far.(*net.UnixConn).SetWriteBuffer(8 * readBufferSize); err != nil {
		t.Fatal(err)
	}
	ch := newChannel(near)
	ch.lends = true
	large, small := pattern(readBufferSize/2), pattern(100)
	both := append(frameBytes(3, messageTypeData, 0, small), frameBytes(5, messageTypeData, 0, large)...)
	for _, sent := range []struct {
		bytes []byte
		want  [][]byte
		lent  bool
	}{
		{frameBytes(1, messageTypeData, 0, large), [][]byte{large}, true},
		{frameBytes(1, messageTypeData, 0, large[1:]), [][]byte{large[1:]}, false},
		{append(frameBytes(5, messageTypeData, 0, large), frameBytes(3, messageTypeData, 0, small)...), [][]byte{large, small}, false},
		{both, [][]byte{small, large}, true},
		{frameBytes(1, messageTypeData, 0, small), [][]byte{small}, false},
	} {
		if _, err := far.Write(sent.bytes); err != nil {
			t.Fatal(err)
		}
		lent := false
		for i, want := range sent.want {
			f, err := ch.recvFrame(true)
			if err != nil || !bytes.Equal(f.data, want) {
				t.Fatalf("frame %d of %d bytes: %v, got %d bytes", i, len(want), err, len(f.data))
			}
			if f.whole != nil {
				lent = true
				if ch.buf != nil || f.memory() != readBufferSize {
					t.Errorf("a frame takes up %d bytes, want the buffer", f.memory())
				}
			}
			f.release()
		}
		if lent != sent.lent {
			t.Errorf("frames of %d bytes in all: the buffer is lent: %t", len(sent.bytes), lent)
		}
	}
}
