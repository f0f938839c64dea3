// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// onParked runs f with a server whose answers the peer does not read, so that calls are
// parked. The next id is the first; counted is how many calls of Count have run.
func onParked(t *testing.T, opts []ServerOpt, f func(t *testing.T, ts *testServer, p *rawPeer, first uint32, counted *int)) {
	t.Helper()
	opts = append(opts, WithServerLimits(Limits{Queue: StreamQueue{ConnectionBytes: 400 << 10}}))
	onStalledServer(t, 1000, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		counted := 0
		ts.RegisterService("count", &ServiceDesc{Methods: map[string]Method{"Count": func(context.Context, func(any) error) (any, error) {
			counted++
			return new(wrapperspb.StringValue), nil
		}}})
		large := encode(t, wrapperspb.String(strings.Repeat("x", 60_000)))
		id := uint32(3)
		for ; id < 25 && ts.conn.snapshot().Parked == 0; id += 2 {
			p.send(id, messageTypeRequest, 0, encode(t, &Request{Service: "test", Method: "Echo", Payload: large}))
			synctest.Wait()
		}
		f(t, ts, p, id, &counted) // has p receive
		p.mu.Lock()
		p.frames = nil
		p.mu.Unlock()
	}, opts...)
}

// TestParkedCallsAreCancelled holds that a call which is cancelled while it is parked is not
// run, and takes up nothing any more.
func TestParkedCallsAreCancelled(t *testing.T) {
	onParked(t, nil, func(t *testing.T, ts *testServer, p *rawPeer, first uint32, counted *int) {
		before := extOf(ts.conn).parked
		for i := range uint32(100) {
			p.send(first+2*i, messageTypeRequest, 0, encode(t, &Request{Service: "count", Method: "Count"}))
			synctest.Wait()
		}
		if n := ts.conn.snapshot().Parked; n != before.count+100 {
			t.Fatalf("B48: %d calls are parked, want %d", n, before.count+100)
		}
		for i := range uint32(99) {
			p.send(first+2*i, messageTypeCancel, 0, nil)
		}
		synctest.Wait()
		if after := extOf(ts.conn).parked; after.count != before.count+1 || len(ts.conn.streams) != after.count {
			t.Errorf("B47: 99 of 100 parked calls were cancelled, and %d are left, %d streams", after.count-before.count, len(ts.conn.streams))
		}
		go p.receive()
		synctest.Wait()
		if *counted != 1 {
			t.Errorf("B47: of 99 calls that were cancelled while they were parked, and one that was not, %d have run", *counted)
		}
	})
}

// TestParkedCallsAge holds that the timeout of a call counts from its arrival, parked or
// not, the default one too; and that a call whose time has passed is answered and not run.
func TestParkedCallsAge(t *testing.T) {
	for name, test := range map[string]struct {
		opts    []ServerOpt
		timeout time.Duration
		late    bool
	}{
		"its own":       {nil, time.Second, true},
		"the default":   {[]ServerOpt{WithServerTimeouts(Timeouts{Call: time.Second})}, 0, true},
		"a longer one":  {nil, time.Hour, false},
		"none":          {nil, 0, false},
		"before longer": {[]ServerOpt{WithServerTimeouts(Timeouts{Call: time.Hour})}, time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			onParked(t, test.opts, func(t *testing.T, ts *testServer, p *rawPeer, first uint32, counted *int) {
				p.send(first, messageTypeRequest, 0, encode(t, &Request{Service: "count", Method: "Count", TimeoutNano: int64(test.timeout)}))
				synctest.Wait()
				time.Sleep(3 * time.Second)
				go p.receive()
				synctest.Wait()
				want, runs := codes.OK, 1
				if test.late {
					want, runs = codes.DeadlineExceeded, 0
				}
				if got := p.codeOn(t, first); got != want || *counted != runs {
					t.Errorf("B40: parked for 3 s, a call with a timeout of %v is answered with %v and has run %d times, want %v, %d", test.timeout, got, *counted, want, runs)
				}
			})
		})
	}
}

// codeOn returns the code of the answer that has come on an id.
func (p *rawPeer) codeOn(t *testing.T, id uint32) codes.Code {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.frames {
		if f.StreamID == id && f.Type == messageTypeResponse {
			st, _, err := parseResponse(f.data)
			if err != nil {
				t.Error(err)
			}
			return codes.Code(st.GetCode())
		}
	}
	t.Errorf("no answer has come on %d", id)
	return codes.Unknown
}

// TestBurstIsNotRefused holds that a client which reads all answers has no call refused,
// however many large ones it makes at once: those that come before answers have left wait.
func TestBurstIsNotRefused(t *testing.T) {
	queue := StreamQueue{ConnectionBytes: 1 << 20}
	p := newExtendedPair(t, []ServerOpt{WithServerLimits(Limits{Queue: queue})})
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			m := wrapperspb.String(strings.Repeat("x", 100_000))
			if err := p.client.Call(t.Context(), "test", "Echo", m, m); err != nil || len(m.Value) != 100_000 {
				t.Errorf("B48: a call of many: %d, %v", len(m.Value), err)
			}
		})
	}
	all.Wait()
}
