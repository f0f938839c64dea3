// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// wantPause requires that a pause is the one before jitter, or up to half less.
func wantPause(t *testing.T, rule string, got, want time.Duration) {
	t.Helper()
	if got > want || got < want/2 {
		t.Errorf("%s: the pause is %v, want %v or up to half less", rule, got, want)
	}
}

func TestBackoff(t *testing.T) {
	b := Backoff{Min: time.Second, Max: 5 * time.Second}
	pauses := map[time.Duration]bool{}
	for range 100 {
		for n, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: b.Max, 1 << 30: b.Max} {
			wantPause(t, fmt.Sprint("B54: after ", n, " failures"), b.pause(n), want)
		}
		pauses[b.pause(1)] = true
	}
	if len(pauses) < 50 {
		t.Errorf("B54: of 100 pauses %d differ", len(pauses))
	}
	b = Backoff{Min: 1 << 62, Max: 1<<63 - 1}
	wantPause(t, "B54: the longest", b.pause(9), b.Max)
	b = Backoff{Min: time.Hour}
	if b.setDefaults(); b.Max != time.Hour {
		t.Errorf("B54: Max is %v", b.Max)
	}
	b = Backoff{Max: time.Millisecond}
	if b.setDefaults(); b.Min != time.Millisecond || b.Max != time.Millisecond {
		t.Errorf("B54: with a Max of 1 ms it is %+v", b)
	}
}

// TestDialLogs holds that the first failure in a row is a warning, each other one a line for
// who looks for it, and nothing else is either.
func TestDialLogs(t *testing.T) {
	log := new(countingLogger)
	onDialOver(t, 0, errRefused, func(t *testing.T, d *dialTest) {
		for n := range int32(3) {
			synctest.Wait()
			if w, all := log.warnings.Load(), log.others.Load(); int32(w) != 1 || int32(all) != n+1 {
				t.Errorf("B54: %d warnings of %d lines after %d failures", w, all, n+1)
			}
			d.wantPaused("B54", errRefused, EventFailed, time.Second<<n)
		}
	}, WithClientLogger(log), WithDialer(Dialer{Backoff: Backoff{Min: time.Second, Max: time.Minute}}))
}

func TestDialBacksOff(t *testing.T) {
	backoff := Backoff{Min: time.Second, Max: 5 * time.Second}
	onDialOver(t, 0, errRefused, func(t *testing.T, d *dialTest) {
		for _, want := range []time.Duration{1, 2, 4, 5, 5} {
			d.wantPaused("B54: the server is not there", errRefused, EventFailed, want*time.Second)
		}
	}, WithDialer(Dialer{Backoff: backoff}))

	onDial(t, func(t *testing.T, d *dialTest) {
		for _, want := range []time.Duration{1, 2, 4, 5} {
			p := d.accept("B54")
			ctx, cancel := context.WithTimeout(t.Context(), want*time.Second/10) // it lasts, but not long
			done := d.goCall(ctx)
			p.next("B54: a call that is not answered")
			<-ctx.Done()
			cancel()
			if err := endOf(t, "B54", done); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("B54: %v", err)
			}
			p.conn.Close()
			d.wantPaused("B54: a connection that is of no use", io.EOF, EventDisconnected, want*time.Second)
		}
		p := d.accept("B54")
		done := d.goCall(t.Context())
		p.answers("B54", 1)
		if err := endOf(t, "B54", done); err != nil {
			t.Errorf("B54: %v", err)
		}
		p.conn.Close()
		d.wantPaused("B54: one that answered is soon replaced", io.EOF, EventDisconnected, backoff.Min)
		d.accept("B54").conn.Close()
		d.wantPaused("B54: and the failures are counted anew", io.EOF, EventDisconnected, backoff.Min)
		p = d.accept("B54")
		time.Sleep(backoff.Max)
		p.conn.Close()
		d.wantPaused("B54: one that lasted is replaced at once", io.EOF, EventDisconnected, 0)
		d.accept("B54")
		time.Sleep(backoff.Min / 2)
		d.goodbye()
		d.wantPaused("B54: but none too soon", nil, EventDisconnected, backoff.Min)
	}, WithDialer(Dialer{Backoff: backoff}))
}

// wantPaused requires the last event of that kind to have that cause, and a pause
// as wantPause wants it, and waits until that is over and the next attempt was
// made, which must be just then. After no pause at all that has been made.
func (d *dialTest) wantPaused(rule string, cause error, kind ConnectionEventKind, pause time.Duration) {
	d.t.Helper()
	e := d.lastEvent(kind)
	d.mu.Lock()
	n := len(d.dials)
	d.mu.Unlock()
	if e.Kind != kind || e.Err != cause {
		d.t.Fatalf("%s: the event is %v, want %v, %v", rule, e, kind, cause)
	}
	wantPause(d.t, rule, e.Pause, pause)
	if pause == 0 {
		return
	}
	due := time.Now().Add(e.Pause)
	time.Sleep(e.Pause)
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.dials) != n+1 || !d.dials[n].Equal(due) {
		d.t.Errorf("%s: %d attempts after %v, want one", rule, len(d.dials)-n, e.Pause)
	}
}

// A refusingShaker refuses so many connections, then takes all.
type refusingShaker struct{ refuses, asked int }

func (s *refusingShaker) Handshake(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
	if s.asked++; s.asked <= s.refuses {
		return nil, nil, errRefused
	}
	return conn, nil, nil
}

func TestDialShakesHands(t *testing.T) {
	shaker := &refusingShaker{refuses: 1}
	onDial(t, func(t *testing.T, d *dialTest) {
		d.accept("B54").wantEnd("B54: refused")
		if e := d.lastEvent(); e.Kind != EventFailed || !errors.Is(e.Err, errRefused) {
			t.Errorf("B54: the event is %v", e)
		}
		for want := 2; want < 4; want++ {
			time.Sleep(defaultBackoffMax)
			p := d.accept("B54")
			done := d.goCall(t.Context())
			p.answers("B54", 1)
			if err := endOf(t, "B54", done); err != nil || shaker.asked != want {
				t.Errorf("B54: %d handshakes: %v", shaker.asked, err)
			}
			p.conn.Close()
		}
	}, WithClientHandshaker(shaker))
}

// A slow dialer is given up, and one that does not care for its context is not
// waited for by Close.
func TestDialSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialTest{t: t}
		conns := make(chan net.Conn)
		var deaf atomic.Bool
		c, err := Dial("target", WithDialer(Dialer{Dial: func(ctx context.Context, _ string) (net.Conn, error) {
			if !deaf.Load() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return <-conns, nil
		}, Events: d.note}), WithClientTimeouts(Timeouts{Handshake: time.Minute}))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute - time.Millisecond)
		deaf.Store(true)
		d.wantEvents("B54: before it is given up", ConnectionEvent{Kind: EventConnecting})
		time.Sleep(time.Millisecond)
		if e := d.lastEvent(); e.Kind != EventFailed || e.Err != context.DeadlineExceeded {
			t.Errorf("B54: the event is %v", e)
		}
		time.Sleep(defaultBackoffMin)
		conns <- nil
		if e := d.lastEvent(); e.Kind != EventFailed || e.Err == nil {
			t.Errorf("B54: a dialer that returns nothing: %v", e)
		}
		time.Sleep(2 * defaultBackoffMin)
		c.Close()
		if err := c.UserOnCloseWait(t.Context()); err != nil {
			t.Errorf("B54: %v", err)
		}
		d.lastEvent()
		a, b := memconn.Pipe(0)
		conns <- a
		newRawPeer(t, b).wantEnd("B54: a connection that comes after Close")
		d.wantEvents("B54: after Close")
	})
}

func TestDialUsesNoGoroutineWhileConnected(t *testing.T) {
	onDialOver(t, 0, errRefused, func(t *testing.T, d *dialTest) {
		redialing := func() bool {
			synctest.Wait()
			buf := make([]byte, 1<<20)
			return bytes.Contains(buf[:runtime.Stack(buf, true)], []byte("(*redialer).run"))
		}
		if !redialing() {
			t.Error("the test does not see the goroutine that waits to connect")
		}
		d.setFails(nil)
		time.Sleep(defaultBackoffMax)
		d.accept("B54")
		if redialing() {
			t.Error("B54: a goroutine is left while connected")
		}
	})
}

// The hook may use the client.
func TestDialHookClosesClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(0)
		var c *Client
		made := make(chan struct{})
		c, err := Dial("target", WithDialer(Dialer{Dial: func(context.Context, string) (net.Conn, error) { return a, nil }, Events: func(e ConnectionEvent) {
			<-made
			if e.Kind == EventConnected {
				c.Close()
			}
		}}))
		close(made)
		if err != nil {
			t.Fatal(err)
		}
		newRawPeer(t, b).wantEnd("B54")
	})
}

// What happens while the hook runs is told after it.
func TestDialHookIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialTest{t: t}
		hold := make(chan struct{})
		c, err := Dial("target", WithDialer(Dialer{Dial: d.dial, Events: func(e ConnectionEvent) {
			d.note(e)
			if e.Kind == EventConnected {
				<-hold
			}
		}}))
		if err != nil {
			t.Fatal(err)
		}
		d.accept("B54").conn.Close()
		d.wantEvents("B54: while the hook runs", ConnectionEvent{Kind: EventConnecting}, ConnectionEvent{Kind: EventConnected})
		close(hold)
		if e := d.lastEvent(); e.Kind != EventDisconnected || e.Err != io.EOF {
			t.Errorf("B54: the event is %v", e)
		}
		c.Close()
	})
}

func TestDialOptionsOfOtherClients(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		done := goCall(Repeatable(t.Context()), c, new(wrapperspb.StringValue))
		p.wantRequest("B54", 1, 0)
		p.conn.Close()
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("B1: %v", err)
		}
		if err := <-goCall(t.Context(), c, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("B1: %v", err)
		}
	})
	for name, opt := range map[string]ClientOpts{"nothing": WithDialer(Dialer{}), "fail fast": WithDialer(Dialer{FailFast: true})} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("B54: NewClient took an option of Dial: %s", name)
				}
			}()
			a, b := memconn.Pipe(0)
			defer a.Close()
			defer b.Close()
			NewClient(a, opt)
		}()
	}
}

// TestDialTellsOfFailures holds that the first failure to connect in a row is told to the
// logger as a warning, more only where they are looked for, and the last one by every call
// that has waited in vain.
func TestDialTellsOfFailures(t *testing.T) {
	log := new(countingLogger)
	onDialOver(t, 0, errRefused, func(t *testing.T, d *dialTest) {
		for outage := range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			wantTold(t, "B82: Call", d.Call(ctx, "s", "m", wrapperspb.String(""), nil),
				codes.DeadlineExceeded, "context deadline exceeded: no connection: refused", context.DeadlineExceeded)
			cancel()
			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := d.NewStream(ctx, bidi, "s", "m", nil)
			wantTold(t, "B82: NewStream", err, codes.Canceled, "context canceled: no connection: refused", context.Canceled)
			if n := log.warnings.Load(); n != int32(outage+1) {
				t.Errorf("B82: %d warnings in %d outages", n, outage+1)
			}
			d.setFails(nil)
			time.Sleep(defaultBackoffMax)
			p := d.accept("B54")
			d.setFails(errRefused)
			p.conn.Close()
			synctest.Wait()
		}
	}, WithClientLogger(log))
}

// TestDialWarnsByDefault holds that without a logger the standard log has the first failure.
func TestDialWarnsByDefault(t *testing.T) {
	var out bytes.Buffer
	log.SetOutput(&out)
	defer log.SetOutput(os.Stderr)
	onDialOver(t, 0, errRefused, func(t *testing.T, d *dialTest) { time.Sleep(time.Minute) })
	if s := out.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "cannot connect") || !strings.Contains(s, errRefused.Error()) {
		t.Errorf("B82: the log says %q", s)
	}
}

// TestDialFailFastWaitsForAttempt holds that a call waits for an attempt to connect that is
// under way, the first or a later one, and for no pause.
func TestDialFailFastWaitsForAttempt(t *testing.T) {
	synctest.Test(t, testDialFailFastWaits)
}

func testDialFailFastWaits(t *testing.T) {
	attempts := make(chan error) // ends one
	peers := make(chan net.Conn, 1)
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		select {
		case err := <-attempts:
			if err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		a, b := memconn.Pipe(0)
		peers <- b
		return a, nil
	}
	c, err := Dial("target", WithDialer(Dialer{FailFast: true, Dial: dial}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	goCall := func() <-chan error { return goCall(t.Context(), c, new(wrapperspb.StringValue)) }
	first := goCall()
	wantCallsWaiting(t, "B82: the first attempt", first)
	attempts <- errRefused
	wantNeverRan(t, "B82: the first attempt has failed", endOf(t, "B82", first))
	wantNeverRan(t, "B82: there is a pause", c.Call(t.Context(), "s", "m", wrapperspb.String(""), nil))
	time.Sleep(defaultBackoffMax)
	second := goCall()
	wantCallsWaiting(t, "B82: the second attempt", second)
	brief, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	wantTold(t, "B82: as long as its context lasts", c.Call(brief, "s", "m", wrapperspb.String(""), nil),
		codes.DeadlineExceeded, "context deadline exceeded: no connection: refused", context.DeadlineExceeded)
	attempts <- nil
	p := newRawPeer(t, <-peers)
	p.answers("B82", 1)
	if err := endOf(t, "B82", second); err != nil {
		t.Errorf("B82: the second attempt has succeeded: %v", err)
	}
	time.Sleep(defaultBackoffMin)
	p.conn.Close()
	synctest.Wait()
	third := goCall() // what is lost after it was of use is replaced at once
	wantCallsWaiting(t, "B82: the attempt after a loss", third)
	attempts <- errRefused
	wantNeverRan(t, "B82: the attempt after a loss", endOf(t, "B82", third))
}

// TestDialClosedServer holds that a call which a classic server refuses because it shuts
// down is made again, unless with FailFast.
func TestDialClosedServer(t *testing.T) {
	refusal := status.New(codes.Unavailable, ErrServerClosed.Error())
	for _, failFast := range []bool{false, true} {
		onDial(t, func(t *testing.T, d *dialTest) {
			p := d.accept("B82")
			for i, st := range []*status.Status{
				status.New(codes.Unavailable, "another reason"),
				status.New(codes.Unavailable, ErrServerClosed.Error()+"."),
				status.New(codes.Internal, ErrServerClosed.Error()),
			} {
				wantPassedOn(t, d, p, uint32(2*i+1), st)
			}
			done := d.goCall(t.Context())
			p.wantRequest("B82", 7, 0)
			p.respond(7, refusal, nil)
			if failFast {
				wantNeverRan(t, "B82", endOf(t, "B82", done))
				return
			}
			time.Sleep(defaultBackoffMax)
			p = d.accept("B82: another connection")
			p.answers("B82", 1)
			if err := endOf(t, "B82", done); err != nil {
				t.Errorf("B82: %v", err)
			}
		}, WithDialer(Dialer{FailFast: failFast}))
	}
	onDial(t, func(t *testing.T, d *dialTest) { // in extended mode a server says it otherwise
		done := d.goCall(t.Context())
		p := d.accept("B82")
		p.answersHello("B82")
		p.answers("B82", 3)
		if err := endOf(t, "B82", done); err != nil {
			t.Fatal(err)
		}
		wantPassedOn(t, d, p, 5, refusal)
	}, WithExtensions())
}

// wantPassedOn requires that the next call, which has that id, returns what it is answered.
func wantPassedOn(t *testing.T, d *dialTest, p *rawPeer, id uint32, st *status.Status) {
	t.Helper()
	done := d.goCall(t.Context())
	p.wantRequest("B82", id, 0)
	p.respond(id, st, nil)
	err := endOf(t, "B82", done)
	if got, ok := status.FromError(err); !ok || got.Code() != st.Code() || got.Message() != st.Message() || errors.Is(err, ErrNotExecuted) {
		t.Errorf("B82: %v is not from a server that shuts down, but the call returns %v", st, err)
	}
}

// TestDialStreamTellsItsEnd holds that a stream which ends with its connection says why.
func TestDialStreamTellsItsEnd(t *testing.T) {
	onDial(t, func(t *testing.T, d *dialTest) {
		p := d.accept("B82")
		s := open(t, t.Context(), d.Client, bidi, nil)
		p.conn.Close()
		wantTold(t, "B82", s.RecvMsg(nil), codes.Unavailable, "ttrpc: closed: the peer has closed the connection", ErrClosed)
		if d.Cause() != nil {
			t.Errorf("B54: the client lives, and its cause is %v", d.Cause())
		}
	})
}
