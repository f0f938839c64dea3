// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/wire"
)

// onClient runs f in a bubble with a client whose server is a raw peer, and
// requires that nothing is left afterwards.
func onClient(t *testing.T, f func(t *testing.T, c *Client, p *rawPeer), opts ...ClientOpts) {
	t.Helper()
	onClientOver(t, 0, f, opts...)
}

// onClientOver does it over a connection whose directions hold limit bytes.
func onClientOver(t *testing.T, limit int, f func(t *testing.T, c *Client, p *rawPeer), opts ...ClientOpts) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(limit)
		p := &rawPeer{t: t, conn: b}
		if limit == 0 {
			go p.receive() // else the peer does not read
		}
		c := NewClient(a, opts...)
		f(t, c, p)
		if c.Cause() == nil && limit == 0 {
			wantClean(t, "after the test", connOf(c))
		}
		c.Close()
		b.Close()
		synctest.Wait()
		wantClean(t, "after Close", connOf(c))
	})
}

// goCall starts a call and returns where its error will be.
func goCall(ctx context.Context, c *Client, resp proto.Message) <-chan error {
	done := make(chan error, 1)
	go func() { done <- c.Call(ctx, "test", "Method", wrapperspb.String("req"), resp) }()
	return done
}

// respond answers id with msg, or with the status if that is not OK.
func (p *rawPeer) respond(id uint32, st *status.Status, msg proto.Message) {
	p.t.Helper()
	r := &Response{Status: st.Proto()}
	if msg != nil {
		r.Payload = encode(p.t, msg)
	}
	p.send(id, messageTypeResponse, 0, encode(p.t, r))
}

// wantRequest requires the next frame to be a request and returns it.
func (p *rawPeer) wantRequest(rule string, id uint32, flags uint8) *Request {
	p.t.Helper()
	f := p.next(rule)
	if f.StreamID != id || f.Type != messageTypeRequest || f.Flags != flags {
		p.t.Errorf("%s: got %v on %d with flags %#x, want a request on %d with %#x", rule, f.Type, f.StreamID, f.Flags, id, flags)
	}
	r := new(Request)
	if err := proto.Unmarshal(f.data, r); err != nil {
		p.t.Error(err)
	}
	return r
}

func TestClientCall(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		for id := uint32(1); id < 9; id += 2 {
			var resp wrapperspb.StringValue
			done := goCall(context.Background(), c, &resp)
			r := p.wantRequest("B36", id, 0)
			if r.Service != "test" || r.Method != "Method" || r.TimeoutNano != 0 || r.Metadata != nil {
				t.Errorf("the request is %v", r)
			}
			p.respond(id, nil, wrapperspb.String("resp"))
			if err := <-done; err != nil || resp.Value != "resp" {
				t.Errorf("%v, %v", resp.Value, err)
			}
		}
	})
}

func TestClientStatus(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		done := goCall(context.Background(), c, new(wrapperspb.StringValue))
		p.wantRequest("B11", 1, 0)
		st, _ := status.New(codes.Aborted, "no").WithDetails(wrapperspb.String("detail"))
		p.send(1, messageTypeResponse, 0, encode(t, &Response{Status: st.Proto(), Payload: []byte{0xff}}))
		err := <-done
		if got := status.Convert(err); got.Code() != codes.Aborted || got.Message() != "no" || len(got.Details()) != 1 {
			t.Errorf("B11: %v", err)
		}
		done = goCall(context.Background(), c, new(wrapperspb.StringValue))
		p.wantRequest("B3", 3, 0)
		p.respond(3, status.New(codes.Unknown, "ttrpc: closed"), nil)
		if err := <-done; errors.Is(err, ErrClosed) || status.Code(err) != codes.Unknown {
			t.Errorf("B3: %v", err)
		}
	})
}

func TestClientBadResponses(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		for i, data := range [][]byte{{0xff}, wire.Response{Payload: []byte{0xff}}.Append(nil)} {
			id := uint32(2*i + 1)
			done := goCall(context.Background(), c, new(wrapperspb.StringValue))
			p.wantRequest("", id, 0)
			p.send(id, messageTypeResponse, 0, data)
			if err := <-done; err == nil || errors.Is(err, ErrClosed) {
				t.Errorf("a response of % x: %v", data, err)
			}
		}
		for _, typ := range []messageType{messageTypeRequest, messageTypeData, 0x42} {
			done := goCall(context.Background(), c, new(wrapperspb.StringValue))
			id := p.next("").StreamID
			p.send(id, typ, 0, nil)
			if err := <-done; !errors.Is(err, ErrProtocol) {
				t.Errorf("%v on an active unary id: %v", typ, err)
			}
		}
		done := goCall(context.Background(), c, new(wrapperspb.StringValue))
		id := p.next("").StreamID
		p.send(id, messageTypeResponse, 0, make([]byte, messageLengthMax+1))
		if err := <-done; status.Code(err) != codes.ResourceExhausted {
			t.Errorf("B7: a response over the limit: %v", err)
		}
		p.wantAlive("B7")
	})
}

func TestClientLateFrames(t *testing.T) {
	log := new(countingLogger)
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		ctx, cancel := context.WithCancel(context.Background())
		done := goCall(ctx, c, new(wrapperspb.StringValue))
		p.wantRequest("B22", 1, 0)
		cancel()
		if err := <-done; err != context.Canceled {
			t.Errorf("B4: %v", err)
		}
		wantClean(t, "B21", connOf(c))
		for _, typ := range []messageType{messageTypeRequest, messageTypeResponse, messageTypeData, 0x42} {
			p.send(1, typ, 0, []byte("late"))
			p.send(99, typ, 0, []byte("never asked for"))
		}
		done = goCall(context.Background(), c, new(wrapperspb.StringValue))
		p.wantRequest("B22", 3, 0)
		p.respond(3, nil, nil)
		if err := <-done; err != nil {
			t.Errorf("B22: the next call: %v", err)
		}
	}, WithClientLogger(log))
	if log.errors.Load() != 0 {
		t.Errorf("B22: %d errors were logged", log.errors.Load())
	}
}

func TestClientDeadline(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		time.Sleep(400 * time.Millisecond)
		done := goCall(ctx, c, new(wrapperspb.StringValue))
		if r := p.wantRequest("B16", 1, 0); r.TimeoutNano != int64(600*time.Millisecond) {
			t.Errorf("B16: timeout_nano is %v", time.Duration(r.TimeoutNano))
		}
		start := time.Now()
		if err := <-done; err != context.DeadlineExceeded || time.Since(start) != 600*time.Millisecond {
			t.Errorf("B4: %v after %v", err, time.Since(start))
		}
		if err := <-goCall(ctx, c, new(wrapperspb.StringValue)); err != context.DeadlineExceeded {
			t.Errorf("B16: %v", err)
		}
		if _, err := c.NewStream(ctx, &StreamDesc{}, "test", "S", nil); err != context.DeadlineExceeded {
			t.Errorf("B16: %v", err)
		}
		p.wantNothing("B16: a deadline that has passed")
	})
}

// TestClientDeadlineAtTheServer holds that it makes no difference whose clock
// strikes first.
func TestClientDeadlineAtTheServer(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		over := status.New(codes.DeadlineExceeded, "too late")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s := open(t, ctx, c, bidi, nil)
		p.next("")
		p.respond(1, over, nil)
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		wantRecv(t, "B4", s, "", context.DeadlineExceeded)
		done := goCall(context.Background(), c, new(wrapperspb.StringValue))
		p.next("")
		p.respond(3, over, nil)
		if err := <-done; status.Convert(err).Message() != "too late" {
			t.Errorf("a deadline that is not the caller's: %v", err)
		}
	})
}

func TestClientDefaultTimeout(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		done := goCall(context.Background(), c, new(wrapperspb.StringValue))
		if r := p.wantRequest("", 1, 0); r.TimeoutNano != int64(time.Minute) {
			t.Errorf("timeout_nano is %v", time.Duration(r.TimeoutNano))
		}
		if err := <-done; err != context.DeadlineExceeded {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		goCall(ctx, c, new(wrapperspb.StringValue))
		if r := p.wantRequest("", 3, 0); r.TimeoutNano != int64(time.Hour) {
			t.Errorf("a deadline of the caller's own: %v", time.Duration(r.TimeoutNano))
		}
		p.respond(3, nil, nil)
	}, WithClientTimeouts(Timeouts{Call: time.Minute}))
}

// TestClientNeverWaitsForTheWriter holds B18: with 4 MiB stuck in front of it
// a call returns when its deadline passes, and leaves nothing in the queue.
func TestClientNeverWaitsForTheWriter(t *testing.T) {
	onClientOver(t, 1000, func(t *testing.T, c *Client, p *rawPeer) {
		long, cancelLong := context.WithCancel(context.Background())
		stuck := make(chan error, 1)
		go func() {
			stuck <- c.Call(long, "test", "Big", wrapperspb.Bytes(make([]byte, messageLengthMax-100)), new(wrapperspb.StringValue))
		}()
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		var calls []<-chan error
		for range 100 {
			calls = append(calls, goCall(ctx, c, new(wrapperspb.StringValue)))
		}
		for _, done := range calls {
			if err := <-done; err != context.DeadlineExceeded {
				t.Errorf("B18: %v", err)
			}
		}
		if d := time.Since(start); d != 100*time.Millisecond {
			t.Errorf("B18: the calls took %v", d)
		}
		connOf(c).mu.Lock()
		if connOf(c).out.count != 0 || len(connOf(c).streams) != 1 {
			t.Errorf("B18: %d frames are still queued, %d calls in the table", connOf(c).out.count, len(connOf(c).streams))
		}
		connOf(c).mu.Unlock()
		cancelLong()
		if err := <-stuck; err != context.Canceled {
			t.Errorf("B18: the call that is half written: %v", err)
		}
		if c.Cause() != nil {
			t.Errorf("B18: the connection has ended: %v", c.Cause())
		}
		go p.receive() // now the peer reads
		p.next("B18: what was half written is completed")
		p.wantNothing("B18: what was withdrawn is never written")
	})
}

func TestClientClose(t *testing.T) {
	for name, end := range map[string]func(c *Client, p *rawPeer){
		"Close":    func(c *Client, p *rawPeer) { c.Close() },
		"peer":     func(c *Client, p *rawPeer) { p.conn.Close() },
		"protocol": func(c *Client, p *rawPeer) { p.write(bytes.Repeat([]byte{0xff}, 10)) },
		"read": func(c *Client, p *rawPeer) {
			p.conn.(*memconn.Conn).FailWrites(nil)
			connOf(c).nc.(*memconn.Conn).FailReads(io.ErrNoProgress)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var ended atomic.Int32
			onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
				done := goCall(context.Background(), c, new(wrapperspb.StringValue))
				s, err := c.NewStream(context.Background(), &StreamDesc{true, true}, "test", "S", nil)
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				end(c, p)
				if err := <-done; err != ErrClosed {
					t.Errorf("B1: Call under way: %v", err)
				}
				if err := s.RecvMsg(new(wrapperspb.StringValue)); err != ErrClosed {
					t.Errorf("B1: RecvMsg: %v", err)
				}
				if err := s.SendMsg(nil); err != ErrClosed {
					t.Errorf("B1: SendMsg: %v", err)
				}
				if err := s.CloseSend(); err != ErrClosed {
					t.Errorf("B1: CloseSend: %v", err)
				}
				if err := <-goCall(context.Background(), c, new(wrapperspb.StringValue)); err != ErrClosed {
					t.Errorf("B1: Call: %v", err)
				}
				if _, err := c.NewStream(context.Background(), &StreamDesc{}, "test", "S", nil); err != ErrClosed {
					t.Errorf("B1: NewStream: %v", err)
				}
				if err := c.Close(); err != nil {
					t.Errorf("B12: Close: %v", err)
				}
				if err := c.UserOnCloseWait(context.Background()); err != nil || ended.Load() != 1 {
					t.Errorf("B12: the function ran %d times, %v", ended.Load(), err)
				}
				checkCause(t, name, c.Cause())
			}, WithOnClose(func() { ended.Add(1) }))
		})
	}
}

func checkCause(t *testing.T, name string, cause error) {
	t.Helper()
	want := map[string]error{"Close": ErrClosed, "peer": io.EOF, "protocol": ErrProtocol, "read": io.ErrNoProgress}[name]
	if !errors.Is(cause, want) {
		t.Errorf("B1: the cause is %v, want %v", cause, want)
	}
}

// TestClientOnCloseUnderLock holds that Close can be called with a lock that
// the function takes, and the function can call Close.
func TestClientOnCloseUnderLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *Client
		lock := make(chan struct{}, 1) // a mutex that synctest can see blocked
		a, _ := memconn.Pipe(0)
		c = NewClient(a, WithOnClose(func() { t.Error("B13: the first of two") }), WithOnClose(func() {
			lock <- struct{}{}
			c.Close()
			<-lock
		}))
		lock <- struct{}{}
		c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := c.UserOnCloseWait(ctx); err != context.DeadlineExceeded {
			t.Errorf("B12: UserOnCloseWait while the function runs: %v", err)
		}
		<-lock
		if err := c.UserOnCloseWait(context.Background()); err != nil {
			t.Errorf("B12: UserOnCloseWait: %v", err)
		}
	})
}

func TestClientAnswerBeforeTheEnd(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		var resp wrapperspb.StringValue
		done := goCall(context.Background(), c, &resp)
		s, err := c.NewStream(context.Background(), &StreamDesc{true, true}, "test", "S", nil)
		if err != nil {
			t.Fatal(err)
		}
		ids := map[uint8]uint32{}
		for range 2 {
			f := p.next("B19")
			ids[f.Flags] = f.StreamID
		}
		p.write(append(
			frameBytes(ids[flagRemoteOpen|flagNoData], messageTypeData, 0, encode(t, wrapperspb.String("data"))),
			frameBytes(ids[0], messageTypeResponse, 0, encode(t, &Response{Payload: encode(t, wrapperspb.String("resp"))}))...))
		p.conn.Close()
		if err := <-done; err != nil || resp.Value != "resp" {
			t.Errorf("B19: the answer that came before the end: %v, %v", resp.Value, err)
		}
		synctest.Wait()
		if err := s.RecvMsg(&resp); err != nil || resp.Value != "data" {
			t.Errorf("B19: the message that came before the end: %v, %v", resp.Value, err)
		}
		for range 2 {
			if err := s.RecvMsg(&resp); err != ErrClosed {
				t.Errorf("B21: %v", err)
			}
		}
	})
}

// TestClientAnswerAfterWriteFails holds B19 where the peer has gone, and the
// client learns of it by a write before it has read the answer.
func TestClientAnswerAfterWriteFails(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		var resp wrapperspb.StringValue
		first := goCall(context.Background(), c, &resp)
		p.wantRequest("B19", 1, 0)
		connOf(c).nc.(*memconn.Conn).FailWrites(io.ErrClosedPipe)
		second := goCall(context.Background(), c, new(wrapperspb.StringValue))
		synctest.Wait()
		if err := <-goCall(context.Background(), c, new(wrapperspb.StringValue)); err != ErrClosed {
			t.Errorf("B5: a call after a failed write: %v", err)
		}
		p.respond(1, nil, wrapperspb.String("resp"))
		if err := <-first; err != nil || resp.Value != "resp" {
			t.Errorf("B19: %v, %v", resp.Value, err)
		}
		if err := <-second; err != ErrClosed {
			t.Errorf("B5: the call whose write failed: %v", err)
		}
		if c.Cause() != io.ErrClosedPipe {
			t.Errorf("B1: the cause is %v", c.Cause())
		}
	})
}

// TestLostPeerIsHeardOut holds that an answer which has arrived is received,
// however late the reader comes to it.
func TestLostPeerIsHeardOut(t *testing.T) {
	a, b := unixPair(t)
	cfg := new(connConfig)
	cfg.setDefaults()
	c := newConn(roleClient, b, cfg)
	c.ch, c.started = newChannel(b), true
	s := &stream{state: stateUnary, unary: true, done: make(chan struct{}, 1), about: new(about)}
	s.init(c)
	if _, err := c.open(t.Context(), s, newOutFrame(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write(frameBytes(1, messageTypeResponse, 0, nil)); err != nil {
		t.Fatal(err)
	}
	c.peerLost(syscall.EPIPE)
	c.giveUp()
	c.readLoop()
	if s.result == nil || s.err != nil {
		t.Errorf("B19: the call ends with %v", s.err)
	}
	if err := c.why(); err != syscall.EPIPE {
		t.Errorf("B1: the cause is %v", err)
	}
}

func TestClientIDsUsedUp(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		connOf(c).lastID = 1<<32 - 5
		first := goCall(context.Background(), c, new(wrapperspb.StringValue))
		p.wantRequest("B45", 1<<32-3, 0)
		last := goCall(context.Background(), c, new(wrapperspb.StringValue))
		p.wantRequest("B45", 1<<32-1, 0)
		if err := <-goCall(context.Background(), c, new(wrapperspb.StringValue)); err != ErrClosed {
			t.Errorf("B45: a call without an id: %v", err)
		}
		p.wantAlive("B45: calls are in flight")
		p.respond(1<<32-3, nil, nil)
		p.respond(1<<32-1, nil, nil)
		if err := errors.Join(<-first, <-last); err != nil {
			t.Errorf("B45: %v", err)
		}
		p.wantEnd("B45")
	})
}

func TestZeroClient(t *testing.T) {
	c := &Client{}
	if *c != (Client{}) {
		t.Error("B23: clients cannot be compared")
	}
	_, err := c.NewStream(context.Background(), &StreamDesc{}, "s", "m", nil)
	if err != ErrClosed || c.Call(context.Background(), "s", "m", nil, nil) != ErrClosed || c.Cause() != ErrClosed {
		t.Error("B23: the zero Client is not closed")
	}
	if c.Close() != nil || c.UserOnCloseWait(context.Background()) != nil {
		t.Error("B23: the zero Client cannot be closed")
	}
}

// TestFrameLimits holds that a frame of the limit is sent, and none that is a byte
// longer.
func TestFrameLimits(t *testing.T) {
	msg := wrapperspb.Bytes(make([]byte, 1000))
	for name, build := range map[string]func(limit int) (*frame, error){
		"request": func(limit int) (*frame, error) {
			p, err := plain.measure(msg)
			if err != nil {
				return nil, err
			}
			return requestFrame(requestHead{service: "test", method: "Echo"}, p, 0, limit)
		},
		"response": func(limit int) (*frame, error) { return plain.resultFrame(1, msg, limit) },
		"data":     func(limit int) (*frame, error) { return plain.dataFrame(msg, limit) },
	} {
		f, err := build(messageLengthMax)
		if err != nil {
			t.Fatal(err)
		}
		size := len(f.data) - messageHeaderLength
		if _, err := build(size); err != nil {
			t.Errorf("B6: a %s of the limit: %v", name, err)
		}
		var big *OversizedMessageErr
		if _, err := build(size - 1); !errors.As(err, &big) || big.RejectedLength() != size || big.MaximumLength() != size-1 {
			t.Errorf("B6: a %s of %d bytes over a limit of %d: %v", name, size, size-1, err)
		}
	}
}
