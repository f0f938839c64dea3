// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// TestPingAnswered holds that pings are answered at once, with their bytes.
func TestPingAnswered(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		for _, data := range []string{"00000000", "12345678", "\x00\xff\x00\xff\x00\xff\x00\xff"} {
			e.peer.send(0, messageTypePing, 0, []byte(data))
			e.peer.want("B52", 0, messageTypePing, flagAnswer, []byte(data))
		}
		e.peer.send(0, messageTypePing, 0xfe, make([]byte, 8)) // unknown flags
		e.peer.want("B52", 0, messageTypePing, flagAnswer, make([]byte, 8))
		e.peer.wantNothing("B52")
		time.Sleep(1000 * time.Hour)
		e.peer.wantNothing("B52: who was not told to ping does not")
		e.peer.wantAlive("B52")
	})
}

// TestPingOvertakes holds that a busy end answers before what it has queued, and that one
// whose answers are not read keeps a bounded number of them.
func TestPingOvertakes(t *testing.T) {
	onStalledServer(t, 1000, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		steps := make(stepper)
		steps.register(ts.Server)
		p.openSteps(3)
		steps.do(func(_ context.Context, ss StreamServer) error {
			return errors.Join(ss.SendMsg(bytesOfLength(t, 5000)), ss.SendMsg(bytesOfLength(t, 5000)))
		})
		for range 3 * maxAnswers {
			p.send(0, messageTypePing, 0, make([]byte, 8))
		}
		synctest.Wait()
		if n := extOf(ts.conn).urgent.count; n != maxAnswers {
			t.Errorf("B52: %d answers wait to be written", n)
		}
		p.readFrame()
		if f := p.readFrame(); f.Type != messageTypePing || f.Flags != flagAnswer {
			t.Errorf("B52: %v comes before the answer to a ping", f.Type)
		}
		steps.end()
	})
}

// keepAlive runs f with a raw peer of an end that pings after 10 s and waits for 4 s.
func keepAlive(t *testing.T, f func(t *testing.T, p *rawPeer, c *conn)) {
	t.Helper()
	t.Run("server", func(t *testing.T) {
		onExtendedServer(t, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) { f(t, p, ts.conn) },
			WithServerKeepalive(Keepalive{Interval: 10 * time.Second, Timeout: 4 * time.Second}))
	})
	t.Run("client", func(t *testing.T) {
		onExtendedClient(t, peerHello(), func(t *testing.T, c *Client, p *rawPeer) { f(t, p, connOf(c)) },
			WithKeepalive(Keepalive{Interval: 10 * time.Second, Timeout: 4 * time.Second}))
	})
}

// awaitFrame waits, in fake time, until a frame has come.
func (p *rawPeer) awaitFrame(rule string) {
	p.t.Helper()
	for {
		p.wantAlive(rule)
		p.mu.Lock()
		n := len(p.frames)
		p.mu.Unlock()
		if n > 0 {
			return
		}
		time.Sleep(time.Second)
	}
}

// TestKeepaliveSilentPeer holds that a peer which does not answer is given up, and when.
func TestKeepaliveSilentPeer(t *testing.T) {
	keepAlive(t, func(t *testing.T, p *rawPeer, c *conn) {
		start := time.Now()
		p.awaitFrame("B52")
		asked := time.Now()
		if idle := asked.Sub(start); idle < 10*time.Second || idle > 20*time.Second {
			t.Errorf("B52: a ping comes after %v", idle)
		}
		if f := p.next("B52"); f.StreamID != 0 || f.Type != messageTypePing || f.Flags != 0 || len(f.data) != pingLength {
			t.Errorf("B52: the ping is %v", f)
		}
		time.Sleep(4*time.Second - 1)
		p.wantAlive("B52: within the timeout")
		p.wantNothing("B52: one ping at a time")
		time.Sleep(time.Second)
		p.wantEnd("B52: after the timeout")
		if err := c.why(); err != ErrKeepalive {
			t.Errorf("B52: the cause is %v", err)
		}
	})
}

// TestKeepaliveBusyPeer holds that anything that comes is a sign of life.
func TestKeepaliveBusyPeer(t *testing.T) {
	for name, sign := range map[string]func(p *rawPeer){
		"an answer":         func(p *rawPeer) { p.send(0, messageTypePing, flagAnswer, make([]byte, 8)) },
		"an optional frame": func(p *rawPeer) { p.send(0, 0x80, 0, nil) },
		"a byte":            func(p *rawPeer) { p.write([]byte{0}) },
	} {
		t.Run(name, func(t *testing.T) {
			keepAlive(t, func(t *testing.T, p *rawPeer, c *conn) {
				pings := 0
				for range 9 { // a header has 10 bytes
					p.awaitFrame("B52: " + name)
					p.next("B52")
					pings++
					time.Sleep(3 * time.Second)
					sign(p)
				}
				if pings != 9 {
					t.Errorf("B52: %d pings", pings)
				}
				if name == "a byte" {
					return // of a header that has come in part
				}
				for range 100 {
					time.Sleep(5 * time.Second)
					sign(p)
					p.wantAlive("B52")
					p.wantNothing("B52: no pings while something comes")
				}
			})
		})
	}
}

// TestKeepaliveBothEnds holds that two ends of this library keep each other alive, for as
// long as they do nothing, and that a call that takes long is no reason to end.
func TestKeepaliveBothEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBubblePair(t, []ServerOpt{WithServerKeepalive(Keepalive{Interval: time.Second, Timeout: time.Second})}, WithKeepalive(Keepalive{Interval: time.Second, Timeout: time.Second}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		err := p.client.Call(ctx, "test", "Block", wrapperspb.String(""), new(wrapperspb.StringValue))
		if status.Code(err) != codes.DeadlineExceeded && err != context.DeadlineExceeded || time.Since(start) != time.Hour {
			t.Errorf("B52: %v after %v", err, time.Since(start))
		}
	})
}

// TestKeepaliveEndsCalls holds what the calls and handlers of a connection get.
func TestKeepaliveEndsCalls(t *testing.T) {
	onExtendedClient(t, peerHello(), func(t *testing.T, c *Client, p *rawPeer) {
		if err := <-goCall(t.Context(), c, new(wrapperspb.StringValue)); !errors.Is(err, ErrClosed) {
			t.Errorf("B52: %v", err)
		}
		<-c.Done()
		if c.Cause() != ErrKeepalive {
			t.Errorf("B52: the cause is %v", c.Cause())
		}
	}, WithKeepalive(Keepalive{Interval: time.Minute, Timeout: time.Second}))
}

// TestPingsTooOften holds whom a server parts from: two pings in a row may come too soon.
func TestPingsTooOften(t *testing.T) {
	onExtendedServer(t, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		p.request(3, 0, "Wait", nil)
		<-ts.contexts
		ping := func() { p.send(0, messageTypePing, 0, make([]byte, 8)) }
		pong := func() { p.want("B52", 0, messageTypePing, flagAnswer, make([]byte, 8)) }
		for range 100 {
			ping()
			pong()
			time.Sleep(time.Minute)
		}
		for range 100 { // two too soon, one in time
			for _, pause := range []time.Duration{time.Minute, 0, time.Minute - 1} {
				time.Sleep(pause)
				ping()
				pong()
			}
		}
		ping()
		p.want("B52: the third too soon", 0, messageTypeGoodbye, 0,
			append(number(3), statusBytes(t, codes.ResourceExhausted, "pings may come every 1m0s only")...))
		ping()
		p.request(5, 0, "Echo", nil)
		p.wantAlive("B52: what runs finishes")
		ts.answers <- nil
		for f := p.next("B52"); f.Type != messageTypeResponse; f = p.next("B52") {
			if f.StreamID == 5 {
				t.Error("B52: a call after the goodbye is answered")
			}
		}
		p.wantEnd("B52: when it has")
	}, WithServerKeepalive(Keepalive{MinInterval: time.Minute}))
}

// TestPingsTooOftenOfIdleClient holds that one without calls gets the goodbye, and the end.
func TestPingsTooOftenOfIdleClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(countingLogger)
		ts := newTestServer(t, WithServerKeepalive(Keepalive{MinInterval: time.Hour}))
		a, b := memconn.Pipe(0)
		ts.accept(t.Context(), b)
		c := NewClient(a, WithKeepalive(Keepalive{Interval: time.Second, Timeout: time.Second}), WithExtensions(), WithClientLogger(log))
		start := time.Now()
		<-c.Done()
		if err := c.Cause(); time.Since(start) < 3*time.Second || time.Since(start) > 10*time.Second || !errors.Is(err, ErrTooManyPings) {
			t.Errorf("B52: the end came after %v, with the cause %v", time.Since(start), err)
		}
		if log.errors.Load() != 1 {
			t.Errorf("B52: the client's logger was told of %d errors, want 1", log.errors.Load())
		}
		if _, err := c.NewStream(t.Context(), bidi, "test", "Bidi", nil); !errors.Is(err, ErrNotExecuted) && !errors.Is(err, ErrClosed) {
			t.Errorf("B52: %v", err)
		}
	})
}

// TestDialPingsTooOften holds that a client which reconnects learns why it lost its
// connection, and pings a quarter as often on the next, until it may.
func TestDialPingsTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval, may = 50 * time.Millisecond, 10 * time.Second
		ts := newTestServer(t, WithServerKeepalive(Keepalive{MinInterval: may}))
		var connected atomic.Int32
		c, err := Dial("", WithKeepalive(Keepalive{Interval: interval, Timeout: time.Second}), WithClientLogger(new(countingLogger)), WithDialer(Dialer{
			Dial: func(context.Context, string) (net.Conn, error) {
				a, b := memconn.Pipe(0)
				ts.accept(t.Context(), b)
				return a, nil
			},
			Events: func(e ConnectionEvent) {
				switch {
				case e.Kind == EventConnected:
					connected.Add(1)
				case e.Kind == EventDisconnected && !errors.Is(e.Err, ErrTooManyPings) && e.Err != ErrClosed: // which is the last
					t.Errorf("B52: the connection is lost by %v", e.Err)
				}
			},
		}))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if longer := 4; int(connected.Load()) != 1+longer || interval<<(2*longer) < may {
			t.Errorf("B52: %d connections in an hour of pings that come too often at first", connected.Load())
		}
		c.Close()
	})
}

// TestKeepaliveFromTheLastByte holds that the interval and the timeout count from the last
// byte that has come, whenever that was.
func TestKeepaliveFromTheLastByte(t *testing.T) {
	for _, after := range []time.Duration{0, 3 * time.Second, 9900 * time.Millisecond} {
		keepAlive(t, func(t *testing.T, p *rawPeer, c *conn) {
			time.Sleep(after)
			p.send(0, messageTypeOptional, 0, nil)
			time.Sleep(10*time.Second - 1)
			p.wantNothing("B52: before the interval has passed")
			time.Sleep(time.Nanosecond)
			if f := p.next("B52: when it has"); f.Type != messageTypePing {
				t.Errorf("B52: %v came", f.Type)
			}
			time.Sleep(4*time.Second - 1)
			p.wantAlive("B52: before the timeout has passed, too")
			time.Sleep(time.Nanosecond + settleGrace) // which what has arrived gets to be read
			p.wantEnd("B52: when it has")
			if err := c.why(); err != ErrKeepalive {
				t.Errorf("B52: the cause is %v", err)
			}
		})
	}
}

// TestKeepaliveDefaultTimeout holds that no timeout means 20 s, and not none.
func TestKeepaliveDefaultTimeout(t *testing.T) {
	onExtendedClient(t, peerHello(), func(t *testing.T, c *Client, p *rawPeer) {
		time.Sleep(20 * time.Second)
		if err := c.Cause(); err != nil {
			t.Errorf("B52: after 20 s: %v", err)
		}
		time.Sleep(2 * time.Second)
		if err := c.Cause(); err != ErrKeepalive {
			t.Errorf("B52: after 22 s: %v", err)
		}
		p.next("B52: the ping")
	}, WithKeepalive(Keepalive{Interval: time.Second}))
}

// A dozingConn is a conn whose reader does not get the processor: while it dozes, Read returns
// nothing of what has come until a deadline wakes it.
type dozingConn struct {
	net.Conn
	dozes atomic.Bool
	woken chan struct{}
}

// isByteStream tells that deadlines do what they should.
func (*dozingConn) IsByteStream() bool { return true }

func (c *dozingConn) SetReadDeadline(at time.Time) error {
	if !at.IsZero() && at.Before(time.Now()) && c.dozes.CompareAndSwap(true, false) {
		close(c.woken)
	}
	return c.Conn.SetReadDeadline(at)
}

func (c *dozingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.dozes.Load() {
		<-c.woken
	}
	return n, err
}

// TestKeepaliveLooksAtWhatHasArrived holds that a peer is not given up before what has come of
// it was read, however late the reader is, and that it is if that is nothing.
func TestKeepaliveLooksAtWhatHasArrived(t *testing.T) {
	for _, answers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			a, b := memconn.Pipe(0)
			nc := &dozingConn{Conn: a, woken: make(chan struct{})}
			p := newRawPeer(t, b)
			c := NewClient(nc, WithKeepalive(Keepalive{Interval: 10 * time.Second, Timeout: 4 * time.Second}), WithExtensions())
			defer c.Close()
			p.answerHello(peerHello())
			if ok, err := c.Extended(t.Context()); !ok || err != nil {
				t.Fatalf("B46: extended %v, %v", ok, err)
			}
			nc.dozes.Store(true)
			p.awaitFrame("B52: a ping")
			p.next("B52: a ping")
			if answers {
				p.send(0, messageTypePing, flagAnswer, make([]byte, pingLength))
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if err := c.Cause(); answers && err != nil || !answers && err != ErrKeepalive {
				t.Errorf("B52: the answer %v has come, and the cause is %v", answers, err)
			}
			if !answers {
				return
			}
			p.wantAlive("B52: it goes on")
			conn := connOf(c)
			conn.mu.Lock()
			settled := conn.settled
			conn.draining, conn.settles = true, true // and the reader is to be woken for that
			conn.mu.Unlock()
			conn.settle()
			conn.mu.Lock()
			defer conn.mu.Unlock()
			if settled || conn.settled {
				t.Error("B25: what is read for keep-alive counts as what had arrived when the connection began to end")
			}
		})
	}
}
