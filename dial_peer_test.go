// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// A dialTest is a client made by Dial in a synctest bubble. Its connections are
// in memory, and their servers are raw peers.
type dialTest struct {
	*Client
	t     *testing.T
	limit int // how many bytes the directions of a connection hold

	mu     sync.Mutex
	fails  error // what the dialer returns, while it is not nil
	dials  []time.Time
	peers  []*rawPeer // of connections that no test has asked for yet
	events []ConnectionEvent
}

// onDial runs f in a bubble, which it may leave only if nothing is left running.
func onDial(t *testing.T, f func(t *testing.T, d *dialTest), opts ...ClientOpts) {
	t.Helper()
	onDialOver(t, 0, nil, f, opts...)
}

// onDialOver does it over connections whose directions hold limit bytes, and with
// a dialer that fails while fails is not nil.
func onDialOver(t *testing.T, limit int, fails error, f func(t *testing.T, d *dialTest), opts ...ClientOpts) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &dialTest{t: t, limit: limit, fails: fails}
		c, err := Dial("target", append([]ClientOpts{WithDialer(Dialer{Dial: d.dial, Events: d.note})}, opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		d.Client = c
		t.Cleanup(func() { c.Close() }) // after Fatal
		f(t, d)
		c.Close()
		synctest.Wait()
		if n := len(dialOf(c).links); n != 0 || dialOf(c).running {
			t.Errorf("B54: after Close there are %d connections, running %v", n, dialOf(c).running)
		}
	})
}

func (d *dialTest) dial(_ context.Context, target string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dials = append(d.dials, time.Now())
	if target != "target" {
		d.t.Errorf("B54: the dialer was given %q", target)
	}
	if d.fails != nil {
		return nil, d.fails
	}
	a, b := memconn.Pipe(d.limit)
	p := &rawPeer{t: d.t, conn: b}
	if d.limit == 0 {
		go p.receive()
	}
	d.peers = append(d.peers, p)
	return a, nil
}

func (d *dialTest) note(e ConnectionEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e)
}

// setFails sets what the dialer returns.
func (d *dialTest) setFails(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = err
}

// accept returns the peer of the next connection, which must have been made once
// all is quiet.
func (d *dialTest) accept(rule string) *rawPeer {
	d.t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.peers) == 0 {
		d.t.Fatalf("%s: there is no connection", rule)
	}
	p := d.peers[0]
	d.peers = d.peers[1:]
	return p
}

// wantEvents requires that exactly these were told since the last time.
func (d *dialTest) wantEvents(rule string, want ...ConnectionEvent) {
	d.t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.events, want) {
		d.t.Errorf("%s: the events are %v, want %v", rule, d.events, want)
	}
	d.events = nil
}

// lastEvent returns the last event of these kinds, of any kind if none is given,
// and has all events be forgotten. It returns none if there is none.
func (d *dialTest) lastEvent(kinds ...ConnectionEventKind) (last ConnectionEvent) {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events {
		if len(kinds) == 0 || slices.Contains(kinds, e.Kind) {
			last = e
		}
	}
	d.events = nil
	return last
}

// drain has the current connection take no more calls, which the client is not
// told, and returns it.
func (d *dialTest) drain() *conn {
	c := d.current()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	return c
}

// current returns the current connection.
func (d *dialTest) current() *conn {
	synctest.Wait()
	r := dialOf(d.Client)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current.conn
}

// goodbye is what becomes of the current connection when its peer says goodbye:
// it takes no more calls, and ends when those that it has have.
func (d *dialTest) goodbye() {
	c := d.drain()
	c.mu.Lock()
	c.parted = true
	c.unlock()
	c.mu.Lock()
	c.settled = true
	c.unlock()
}

// goCall starts a call and returns where its error will be.
func (d *dialTest) goCall(ctx context.Context) <-chan error {
	return goCall(ctx, d.Client, new(wrapperspb.StringValue))
}

// answers requires the request with that id and answers it.
func (p *rawPeer) answers(rule string, id uint32) {
	p.t.Helper()
	p.wantRequest(rule, id, 0)
	p.respond(id, nil, wrapperspb.String("resp"))
}

// answersHello requires a request for the extended mode and agrees.
func (p *rawPeer) answersHello(rule string) {
	p.t.Helper()
	r := p.wantRequest(rule, 1, 0)
	if r.Service != helloService {
		p.t.Errorf("%s: the first call is to %s", rule, r.Service)
	}
	h := hello{Version: helloVersion, MaxMessage: messageLengthMax, Window: 6 << 10, ConnectionWindow: 8 << 20}
	h.Serves = true
	p.send(1, messageTypeResponse, 0, encode(p.t, &Response{Payload: h.Append(nil)}))
}

// wantNeverRan requires the status of a call that may safely be made again.
func wantNeverRan(t *testing.T, rule string, err error) {
	t.Helper()
	if status.Code(err) != codes.Unavailable || !errors.Is(err, ErrNotExecuted) || errors.Is(err, ErrClosed) {
		t.Errorf("%s: %v", rule, err)
	}
}

// wantLost requires the status of a call that may or may not have run.
func wantLost(t *testing.T, rule string, err error) {
	t.Helper()
	if status.Code(err) != codes.Unavailable || errors.Is(err, ErrNotExecuted) || !errors.Is(err, ErrClosed) ||
		!strings.Contains(status.Convert(err).Message(), "may or may not have run") {
		t.Errorf("%s: %v", rule, err)
	}
}

// endOf requires that a call has ended and returns its error.
func endOf(t *testing.T, rule string, done <-chan error) error {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		return err
	default:
		t.Fatalf("%s: the call has not ended", rule)
		return nil
	}
}

// wantCallsWaiting requires that a call has not ended.
func wantCallsWaiting(t *testing.T, rule string, done <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		t.Fatalf("%s: the call has ended: %v", rule, err)
	default:
	}
}

var errRefused = errors.New("refused")
