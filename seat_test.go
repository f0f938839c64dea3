// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux && go1.25

package ttrpc

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/testkit"
)

// Seats are vacated on kernel sockets only, which do not work in a bubble of
// synctest. So the tests make sure beforehand that a seat will be vacated, and then
// wait for what must happen, with a limit that only a hang reaches.

// beBusy has c take the next call for one that closely follows another.
func beBusy(c *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastCall = now() + time.Hour
}

// holdWatch has c take all calls for such, and keeps its watch from looking.
func holdWatch(c *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch, c.watching = time.AfterFunc(time.Hour, c.watchSeat), true
}

// look has a watch that is held look until it must have seen that nothing changes.
func look(c *conn) {
	c.watchSeat()
	c.watchSeat()
}

func seatOf(c *conn) seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seat
}

// queued returns how many bytes wait for c's writer.
func queued(c *conn) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.bytes
}

// awaitSeat waits until c's seat is want.
func awaitSeat(t *testing.T, rule string, c *conn, want seat) {
	t.Helper()
	await(t, rule, func() bool { return seatOf(c) == want })
}

// A seatPeer is the far end of a socket, and speaks frames.
type seatPeer struct {
	*testing.T
	nc net.Conn
	ch *channel
	id uint32 // the last that was used
}

func newSeatPeer(t *testing.T, nc net.Conn) *seatPeer {
	t.Cleanup(func() { nc.Close() })
	return &seatPeer{T: t, nc: nc, ch: newChannel(nc)}
}

func (p *seatPeer) write(b []byte) {
	p.Helper()
	if _, err := p.nc.Write(b); err != nil {
		p.Fatal(err)
	}
}

// recv returns the next frame.
func (p *seatPeer) recv(rule string) (messageHeader, []byte) {
	p.Helper()
	p.nc.SetReadDeadline(time.Now().Add(testkit.Hang))
	h, data, err := p.ch.recv()
	if err != nil {
		p.Fatalf("%s: no frame came: %v\n%s", rule, err, testkit.Stacks())
	}
	return h, data
}

// respond answers a call of a client with a number.
func (p *seatPeer) respond(id uint32, n int) {
	p.Helper()
	r := &Response{Payload: encode(p, wrapperspb.Int64(int64(n)))}
	p.write(frameBytes(id, messageTypeResponse, 0, encode(p, r)))
}

// call makes calls of a server, whose requests it writes at once.
func (p *seatPeer) call(methods ...string) {
	p.Helper()
	var all []byte
	for _, method := range methods {
		p.id += 2
		all = append(all, frameBytes(p.id-1, messageTypeRequest, 0, encode(p, &Request{Service: "seat", Method: method}))...)
	}
	p.write(all)
}

// want requires answers to the calls with the ids, in any order.
func (p *seatPeer) want(rule string, code codes.Code, ids ...uint32) {
	p.Helper()
	left := map[uint32]bool{}
	for _, id := range ids {
		left[id] = true
	}
	for range ids {
		h, data := p.recv(rule)
		var r Response
		if err := proto.Unmarshal(data, &r); err != nil || r.Status.GetCode() != int32(code) || !left[h.StreamID] {
			p.Fatalf("%s: got %v on %d, %v", rule, &r, h.StreamID, err)
		}
		delete(left, h.StreamID)
	}
}

// newSeatClient returns a client that has made a call, and its peer. The watch is
// held, and the seat vacant.
func newSeatClient(t *testing.T) (*Client, *seatPeer) {
	t.Helper()
	near, far := testkit.SocketPair(t)
	p := newSeatPeer(t, far)
	c := NewClient(near)
	t.Cleanup(func() { c.Close() })
	holdWatch(connOf(c))
	done := goNumber(context.Background(), c)
	p.recv("the first call")
	p.respond(1, 1)
	wantNumber(t, "the first call", done, 1)
	if s := seatOf(connOf(c)); s != seatVacant {
		t.Fatalf("the seat is %d after a call, want it vacant", s)
	}
	return c, p
}

// goNumber starts a call and returns where its result will be.
func goNumber(ctx context.Context, c *Client) <-chan any {
	done := make(chan any, 1)
	go func() {
		m := new(wrapperspb.Int64Value)
		if err := c.Call(ctx, "seat", "Method", wrapperspb.Int64(0), m); err != nil {
			done <- err
		} else {
			done <- int(m.Value)
		}
	}()
	return done
}

// wantNumber requires that a call returns want, which may be an error.
func wantNumber(t *testing.T, rule string, done <-chan any, want any) {
	t.Helper()
	select {
	case got := <-done:
		if got != want {
			t.Fatalf("%s: it returned %v, want %v", rule, got, want)
		}
	case <-time.After(testkit.Hang):
		t.Fatalf("%s: it hangs\n%s", rule, testkit.Stacks())
	}
}

func TestCallerReads(t *testing.T) {
	c, p := newSeatClient(t)
	for n := range 3 {
		done := goNumber(context.Background(), c)
		h, _ := p.recv("a caller alone")
		if s := seatOf(connOf(c)); s != seatWaiter {
			t.Errorf("the seat of a caller alone is %d", s)
		}
		p.respond(h.StreamID, n)
		wantNumber(t, "a caller alone", done, n)
		if s := seatOf(connOf(c)); s != seatVacant {
			t.Errorf("the seat is %d after a call", s)
		}
	}
}

// TestCrowdedSeatIsKept holds that a reader stays after calls that were under way at once,
// and leaves the seat to callers again after one that was alone.
func TestCrowdedSeatIsKept(t *testing.T) {
	c, p := newSeatClient(t)
	one := goNumber(context.Background(), c)
	h1, _ := p.recv("the first of two")
	two := goNumber(context.Background(), c)
	h2, _ := p.recv("the second of two")
	p.respond(h1.StreamID, 1)
	wantNumber(t, "the first of two", one, 1)
	p.respond(h2.StreamID, 2)
	wantNumber(t, "the second of two", two, 2)
	if s := seatOf(connOf(c)); s != seatReader {
		t.Errorf("the seat is %d after two calls at once", s)
	}
	alone := goNumber(context.Background(), c)
	h, _ := p.recv("one alone")
	p.respond(h.StreamID, 3)
	wantNumber(t, "one alone", alone, 3)
	if s := seatOf(connOf(c)); s != seatVacant {
		t.Errorf("the seat is %d after a call alone", s)
	}
}

// TestVacantSeatIsFilled holds B12: the peer's end is noticed though nobody calls.
func TestVacantSeatIsFilled(t *testing.T) {
	c, p := newSeatClient(t)
	look(connOf(c))
	if s := seatOf(connOf(c)); s != seatReader {
		t.Errorf("the seat is %d after the watch has looked", s)
	}
	p.nc.Close()
	testkit.Within(t, "B12: WithOnClose", func() { c.UserOnCloseWait(context.Background()) })
}

// TestEndBeforeCall holds B1 for an end that came while nobody read, and of which no
// write tells.
func TestEndBeforeCall(t *testing.T) {
	c, p := newSeatClient(t)
	p.nc.(*net.UnixConn).CloseWrite()
	time.Sleep(20 * time.Millisecond) // the poller may hear of it, and has nobody to tell
	done := goNumber(context.Background(), c)
	testkit.AwaitBytes(t, p.nc, 0) // to read them would wake the caller
	look(connOf(c))
	wantNumber(t, "B1: a call after the peer's end", done, ErrClosed)
	if c.Cause() != io.EOF {
		t.Errorf("B1: the cause is %v", c.Cause())
	}
}

// TestWriteBeforeRead holds that what is queued while a caller is about to write its
// request, and then to read, leaves too.
func TestWriteBeforeRead(t *testing.T) {
	c, p := newSeatClient(t)
	inner, cancel := context.WithCancel(context.Background())
	defer cancel()
	var second <-chan any
	first := goNumber(&watchedContext{Context: inner, onWatch: func() {
		second = goNumber(context.Background(), c)
		await(t, "a second request", func() bool { return queued(connOf(c)) > 0 })
	}}, c)
	p.recv("a caller who reads")
	p.recv("a caller who waits")
	p.respond(5, 5)
	p.respond(3, 3)
	wantNumber(t, "a caller who reads", first, 3)
	wantNumber(t, "a caller who waits", second, 5)
}

// TestGivesUpBeforeWrite holds B18 for a caller whose context ends when it is about
// to write and read: the next call finds both the writer and the reader.
func TestGivesUpBeforeWrite(t *testing.T) {
	for range 20 {
		c, p := newSeatClient(t)
		ctx, cancel := context.WithCancel(context.Background())
		done := goNumber(&watchedContext{Context: ctx, onWatch: cancel}, c)
		wantNumber(t, "B18: a caller who gives up", done, context.Canceled)
		done = goNumber(context.Background(), c)
		for id := uint32(0); id != 5; {
			h, _ := p.recv("B18: the next call")
			id = h.StreamID
		}
		p.respond(5, 5)
		wantNumber(t, "B18: the next call", done, 5)
	}
}

// TestWithdrawnBeforeWrite holds B18 for a caller that is woken, as its context has
// ended, before it could write: nothing is sent, and the next call is the first.
func TestWithdrawnBeforeWrite(t *testing.T) {
	c, p := newSeatClient(t)
	s := &stream{state: stateUnary, unary: true, done: make(chan struct{}, 1)}
	s.init(connOf(c))
	if reads, err := connOf(c).open(t.Context(), s, newOutFrame(0)); !reads || err != nil || connOf(c).first == nil {
		t.Fatalf("a caller alone does not write and read itself: %t, %v", reads, err)
	}
	connOf(c).fail(s, context.Canceled)
	connOf(c).mu.Lock()
	connOf(c).moveSeatLocked(seatGivenUp)
	connOf(c).mu.Unlock()
	connOf(c).readFor(context.Background(), s)
	done := goNumber(context.Background(), c)
	if h, _ := p.recv("B18: the next call"); h.StreamID != 5 {
		t.Errorf("B18: call %d is sent, though its context had ended", h.StreamID)
	}
	p.respond(5, 5)
	wantNumber(t, "B18: the next call", done, 5)
}

// TestAnswerBeforeEnd holds B19 for a caller that reads, and one that waits for it.
func TestAnswerBeforeEnd(t *testing.T) {
	c, p := newSeatClient(t)
	first := goNumber(context.Background(), c)
	p.recv("a caller who reads")
	second := goNumber(context.Background(), c)
	p.recv("a caller who waits")
	p.respond(3, 3)
	wantNumber(t, "B19: the caller who reads", first, 3)
	p.respond(5, 5)
	p.nc.Close()
	wantNumber(t, "B19: the caller who waits", second, 5)
}

// TestReadingCallerGivesUp holds B4 and B18 for a caller who reads; the next one
// gets its own answer and not the late one.
func TestReadingCallerGivesUp(t *testing.T) {
	c, p := newSeatClient(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := goNumber(ctx, c)
	p.recv("a caller who reads")
	cancel()
	wantNumber(t, "B4: a caller who reads", done, context.Canceled)
	awaitSeat(t, "who gave up leaves the seat to a goroutine", connOf(c), seatReader)
	done = goNumber(context.Background(), c)
	p.recv("the next call")
	p.respond(3, 3)
	p.respond(5, 5)
	wantNumber(t, "B22: the next call", done, 5)
}

// TestCallerIsRelieved holds that a caller does not read for others who may make
// it wait, nor for long.
func TestCallerIsRelieved(t *testing.T) {
	c, p := newSeatClient(t)
	done := goNumber(context.Background(), c)
	p.recv("a caller who reads")
	s, err := c.NewStream(context.Background(), &StreamDesc{true, true}, "seat", "Stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	p.recv("a stream")
	awaitSeat(t, "a stream was opened", connOf(c), seatReader)
	p.write(frameBytes(5, messageTypeData, flagRemoteClosed|flagNoData, nil))
	testkit.Within(t, "a stream beside a call", func() {
		if err := s.RecvMsg(new(wrapperspb.Int64Value)); err != io.EOF {
			t.Errorf("the stream ended with %v", err)
		}
	})
	p.respond(3, 3)
	wantNumber(t, "a call beside a stream", done, 3)

	c, p = newSeatClient(t)
	done = goNumber(context.Background(), c)
	p.recv("a caller who reads")
	look(connOf(c))
	awaitSeat(t, "a caller has read for long", connOf(c), seatReader)
	p.respond(3, 3)
	wantNumber(t, "a caller who was relieved", done, 3)
}

func TestCloseWhileVacant(t *testing.T) {
	c, _ := newSeatClient(t)
	c.Close()
	testkit.Within(t, "B12: WithOnClose", func() { c.UserOnCloseWait(context.Background()) })
	wantNumber(t, "B1: a call after Close", goNumber(context.Background(), c), ErrClosed)
	if connOf(c).ch.buf != nil {
		t.Error("a read buffer is kept that nobody will use")
	}

	c, p := newSeatClient(t)
	done := goNumber(context.Background(), c)
	p.recv("a caller who reads")
	c.Close()
	wantNumber(t, "B1: a caller who reads", done, ErrClosed)
}
