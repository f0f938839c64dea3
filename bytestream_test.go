// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// TestBatchesOnByteStreams holds that what is queued leaves together there, up to 64 KiB.
func TestBatchesOnByteStreams(t *testing.T) {
	const frames = 100
	onServer(t, func(t *testing.T, ts *testServer) {
		a, b := memconn.StreamPipe(0)
		c := ts.add(t, b)
		st := status.New(codes.Unavailable, strings.Repeat("x", 3000))
		c.mu.Lock()
		for i := range uint32(frames) {
			c.replyLocked(2*i, st)
		}
		c.unlock()
		p := newRawPeer(t, a)
		for i := range uint32(frames) {
			p.wantStatus("B57: a frame among others", 2*i, codes.Unavailable, st.Message())
		}
		writes := b.Writes()
		if len(writes) != 5 {
			t.Errorf("B57: 300 KB left in writes of %v bytes, want 5", writes)
		}
		for _, n := range writes {
			if n > maxPending {
				t.Errorf("B57: a write of %d bytes", n)
			}
		}
		a.Close()
	})
}

// TestByteStreamDrainsAtOnce holds that a deadline, and no grace, tells what had arrived.
func TestByteStreamDrainsAtOnce(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		ts.peer.conn.Close() // which has the grace of others
		synctest.Wait()
		const calls = 50
		a, b := memconn.StreamPipe(0)
		for i := range uint32(calls) {
			a.Write(frameBytes(2*i+1, messageTypeRequest, 0, encode(t, &Request{
				Service: "test", Method: "Echo", Payload: encode(t, wrapperspb.String("early")),
			})))
		}
		ts.accept(t.Context(), b)
		idle, idleEnd := memconn.StreamPipe(0)
		ts.accept(t.Context(), idleEnd)
		start := time.Now()
		if err := ts.Shutdown(t.Context()); err != nil {
			t.Errorf("B25: Shutdown: %v", err)
		}
		if took := time.Since(start); took != arrivalTime {
			t.Errorf("B57: Shutdown took %v, want %v", took, arrivalTime)
		}
		p := newRawPeer(t, a)
		answered := map[uint32]bool{}
		for range calls {
			answered[p.next("B25: a call that had arrived").StreamID] = true
		}
		if len(answered) != calls {
			t.Errorf("B25: %d of %d calls that had arrived were answered", len(answered), calls)
		}
		p.wantEnd("B25")
		newRawPeer(t, idle).wantEnd("B25")
	})
}

// An endlessConn always has a frame to read, but when its deadline has passed. Of what it
// has then, more comes only after an hour.
type endlessConn struct {
	*memconn.Conn
	frame, rest []byte // those of the frame that are not read
	closed      chan struct{}

	mu       sync.Mutex
	deadline time.Time
	draining bool
	left     int // how many bytes come at once
}

func (c *endlessConn) Close() error {
	close(c.closed)
	return c.Conn.Close()
}

func (c *endlessConn) SetReadDeadline(d time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = d
	return nil
}

func (c *endlessConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.deadline.IsZero() && !c.deadline.After(time.Now()) {
		c.draining = true
		return 0, os.ErrDeadlineExceeded
	}
	pause := time.Duration(0)
	if c.draining && c.left <= 0 {
		pause, c.left = time.Hour, maxArrived
	}
	c.mu.Unlock()
	select {
	case <-time.After(pause):
	case <-c.closed:
	}
	c.mu.Lock()
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	if len(c.rest) == 0 {
		c.rest = c.frame
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	if c.draining {
		c.left -= n
	}
	return n, nil
}

// TestDrainsWhatNeverEnds holds that a connection that ends reads what can have arrived, and
// no more, though more comes all the time.
func TestDrainsWhatNeverEnds(t *testing.T) {
	for _, end := range []struct {
		comes int // at once
		took  time.Duration
	}{{maxArrived + 2*readBufferSize, 0}, {maxArrived - readBufferSize, time.Hour}} {
		onServer(t, func(t *testing.T, ts *testServer) {
			ts.peer.conn.Close() // which has the grace of others
			_, b := memconn.StreamPipe(0)
			frame := frameBytes(1, messageTypeResponse, 0, make([]byte, 4086))
			ts.accept(t.Context(), &endlessConn{Conn: b, frame: frame, left: end.comes, closed: make(chan struct{})})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Hour)
			defer cancel()
			start := time.Now()
			if err := ts.Shutdown(ctx); err != nil {
				t.Errorf("B25: Shutdown: %v", err)
			}
			if took := time.Since(start); took != end.took {
				t.Errorf("B25: with %d bytes that come at once Shutdown took %v, want %v", end.comes, took, end.took)
			}
		})
	}
}

// A countingConn counts the Reads.
type countingConn struct {
	*memconn.Conn
	reads atomic.Int32
}

func (c *countingConn) Read(b []byte) (int, error) {
	c.reads.Add(1)
	return c.Conn.Read(b)
}

// TestDrainingReaderRests holds that a connection which has read what had arrived waits for
// its handlers, and does not look for more again and again.
func TestDrainingReaderRests(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		a, b := memconn.StreamPipe(0)
		nc := &countingConn{Conn: b}
		ts.accept(t.Context(), nc)
		p := newRawPeer(t, a)
		p.request(1, 0, "Wait", nil)
		<-ts.contexts
		ended := make(chan error, 1)
		go func() { ended <- ts.Shutdown(t.Context()) }()
		time.Sleep(time.Second)
		before := nc.reads.Load()
		time.Sleep(time.Hour)
		if n := nc.reads.Load() - before; n > 0 {
			t.Errorf("B25: it has read %d times within an hour in which nothing came", n)
		}
		ts.answers <- nil
		p.wantResult("B25: the call", 1, wrapperspb.String("waited"))
		if err := <-ended; err != nil {
			t.Errorf("B25: Shutdown: %v", err)
		}
		p.wantEnd("B25")
	})
}

// A noDeadlines is a conn that says what is not true.
type noDeadlines struct{ *memconn.Conn }

func (noDeadlines) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }

// TestByteStreamWithoutDeadlines holds that a conn that has no deadlines after all does
// not keep a server from ending.
func TestByteStreamWithoutDeadlines(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		a, b := memconn.StreamPipe(0)
		ts.accept(t.Context(), noDeadlines{b})
		if err := ts.Shutdown(t.Context()); err != nil {
			t.Errorf("B25: Shutdown: %v", err)
		}
		newRawPeer(t, a).wantEnd("B25")
	})
}

// TestNobodyWaitsForAByteStream holds that a caller does not wait for a peer that does
// not read beyond its deadline, and what waits behind it leaves.
func TestNobodyWaitsForAByteStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.StreamPipe(100)
		client := NewClient(a)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := client.Call(ctx, "test", "Echo", wrapperspb.String(text(1000)), new(wrapperspb.StringValue))
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
			t.Errorf("B18: %v after %v", err, took)
		}
		p := newRawPeer(t, b)
		if f := p.next("B18: a frame of which some has left is finished"); len(f.data) < 1000 {
			t.Errorf("B18: the frame has %d bytes", len(f.data))
		}
		client.Close()
		p.wantEnd("B18")
	})
}

// TestLostByteStream holds that a peer that takes nothing more is given up.
func TestLostByteStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.StreamPipe(0)
		client := NewClient(a)
		a.FailWrites(errors.New("the peer takes nothing"))
		start := time.Now()
		err := client.Call(t.Context(), "test", "Echo", wrapperspb.String("x"), new(wrapperspb.StringValue))
		if !errors.Is(err, ErrClosed) {
			t.Errorf("B19: %v", err)
		}
		<-client.Done()
		if took := time.Since(start); took != lostPeerGrace+arrivalTime {
			t.Errorf("B19: the client ended after %v, want %v", took, lostPeerGrace+arrivalTime)
		}
		b.Close()
	})
}

// A gatedConn writes half of what it is given, and the rest when the gate opens.
type gatedConn struct {
	net.Conn
	gate chan struct{}
}

func (c *gatedConn) Write(p []byte) (int, error) {
	if c.gate == nil {
		return c.Conn.Write(p)
	}
	n, err := c.Conn.Write(p[:len(p)/2])
	if err != nil {
		return n, err
	}
	<-c.gate
	m, err := c.Conn.Write(p[n:])
	return n + m, err
}

// TestDrainInsideARecord holds that what a deadline interrupts, half a TLS record here,
// goes on afterwards.
func TestDrainInsideARecord(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		low, far := memconn.StreamPipe(0)
		gated := &gatedConn{Conn: low}
		near, server := tlsOver(t, gated, far)
		ts.accept(t.Context(), server)
		p := newRawPeer(t, near)
		p.request(1, flagRemoteOpen, "Sum", wrapperspb.Int64(4))
		synctest.Wait()
		gated.gate = make(chan struct{})
		go p.send(1, messageTypeData, flagRemoteClosed, encode(t, wrapperspb.Int64(3)))
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- ts.Shutdown(t.Context()) }()
		time.Sleep(time.Minute)
		close(gated.gate)
		p.wantResult("B57: what came in two halves", 1, wrapperspb.Int64(7))
		synctest.Wait()
		wantDone(t, "B25: Shutdown", done, nil)
		p.wantEnd("B25")
		near.Close()
	})
}

// A stackConn keeps the stacks of those who write.
type stackConn struct {
	*memconn.Conn
	stacks chan string
}

func (c *stackConn) Write(p []byte) (int, error) {
	c.stacks <- string(debug.Stack())
	return c.Conn.Write(p)
}

// TestAnswersOfByteStreams holds that who has run a handler writes the answer to a byte
// stream, for which no goroutine is woken, and that nobody else waits for that.
func TestAnswersOfByteStreams(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		a, b := memconn.StreamPipe(10)
		conn := &stackConn{b, make(chan string, 10)}
		ts.accept(t.Context(), conn)
		p := &rawPeer{t: t, conn: a}
		go p.request(1, 0, "Echo", wrapperspb.String("an answer that does not fit"))
		synctest.Wait()
		if stack := <-conn.stacks; !strings.Contains(stack, "(*serverCall).finish(") {
			t.Errorf("B57: an answer was written by\n%s", stack)
		}
		go p.request(3, 0, "Wait", nil)
		<-ts.contexts // the handler runs
		ts.answers <- nil
		synctest.Wait()
		go p.receive()
		p.wantResult("B57: an answer that did not fit", 1, wrapperspb.String("an answer that does not fit"))
		p.wantResult("B57: and the one behind it", 3, wrapperspb.String("waited"))
		a.Close()
	})
}

// TestCloseOfBlockedAnswer holds that an answer that the peer does not read keeps no
// goroutine once the server is closed.
func TestCloseOfBlockedAnswer(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		a, b := memconn.StreamPipe(10)
		ts.accept(t.Context(), b)
		p := &rawPeer{t: t, conn: a}
		go p.request(1, 0, "Echo", wrapperspb.String("an answer that does not fit"))
		synctest.Wait()
		ts.Close()
		if n := ts.countConnection(); n != 0 {
			t.Errorf("B57: %d connections are left", n)
		}
		a.Close() // and the bubble ends only when all of its goroutines have
	})
}
