// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux && go1.25

package ttrpc

import (
	"bytes"
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/testkit"
)

// A seatServer is a server with one connection, to the peer that it embeds. Of its
// methods those whose names begin with Q count as quick, whatever happened before.
type seatServer struct {
	*seatPeer
	*Server
	conn *conn

	quick map[string]*unaryMethod
	here  atomic.Int32           // handlers that have begun in the reader's place
	began func(call *serverCall) // called by the reader after each call was begun, if set
}

// newSeatServer returns a server on whose connection calls are taken for close
// together, and whose watch does not look if holds is set.
func newSeatServer(t *testing.T, holds bool, methods map[string]func(s *seatServer, ctx context.Context), opts ...ServerOpt) *seatServer {
	t.Helper()
	server, err := NewServer(opts...)
	if err != nil {
		t.Fatal(err)
	}
	near, far := testkit.SocketPair(t)
	s := &seatServer{seatPeer: newSeatPeer(t, far), Server: server, quick: map[string]*unaryMethod{}}
	registered := map[string]Method{}
	for name, f := range methods {
		registered[name] = func(ctx context.Context, _ func(any) error) (any, error) {
			if seatOf(s.conn) == seatVacant {
				s.here.Add(1)
			}
			f(s, ctx)
			return new(wrapperspb.Int64Value), nil
		}
	}
	server.Register("seat", registered)
	for name, m := range server.dispatcher.services.all()["seat"].methods {
		if name[0] == 'Q' {
			s.quick[name] = m
			m.took.Store(1)
		}
	}
	s.conn = newConn(roleServer, near, &server.config.connConfig)
	s.conn.base = context.Background()
	s.conn.host = serveFunc(func(call *serverCall) (reads bool) {
		reads = server.serve(call)
		if s.began != nil {
			s.began(call)
		}
		return reads
	})
	s.conn.gone = server.removeConnection
	server.addConnection(s.conn)
	s.conn.start(near)
	if beBusy(s.conn); holds {
		holdWatch(s.conn)
	}
	t.Cleanup(func() { server.Close() })
	return s
}

// wantHere requires that n handlers have begun in the reader's place.
func (s *seatServer) wantHere(n int32) {
	s.Helper()
	if got := s.here.Load(); got != n {
		s.Errorf("%d handlers ran in the reader's place, want %d", got, n)
	}
}

type seatMethods = map[string]func(s *seatServer, ctx context.Context)

func nothing(*seatServer, context.Context) {}

func TestQuickMethodRunsHere(t *testing.T) {
	s := newSeatServer(t, true, seatMethods{"Quick": nothing, "New": nothing})
	s.call("Quick")
	s.want("a quick method", codes.OK, 1)
	s.wantHere(1)
	s.call("New") // who knows how long it takes?
	s.want("a new method", codes.OK, 3)
	s.wantHere(1)
	s.quick["Quick"].took.Store(int64(seatPatience))
	s.call("Quick")
	s.want("a slow method", codes.OK, 5)
	s.wantHere(1)
	awaitSeat(t, "after all", s.conn, seatReader)
}

// TestQuietReaderBeginsAnew holds that a goroutine which has run deep reads on for as
// long as calls come, and then leaves that to another, whose stack is small; and that
// one which only hands calls to others does not run deep.
func TestQuietReaderBeginsAnew(t *testing.T) {
	readers := make(chan string, 1)
	s := newSeatServer(t, true, seatMethods{"Quick": nothing, "New": nothing})
	s.began = func(*serverCall) {
		stack := make([]byte, 32)
		readers <- string(bytes.Fields(stack[:runtime.Stack(stack, false)])[1])
	}
	id := uint32(1)
	reader := func(method string) string {
		s.call(method)
		s.want(method, codes.OK, id)
		id += 2
		return <-readers
	}
	first := reader("Quick")
	s.conn.watchSeat()
	if second := reader("New"); second != first {
		t.Error("another goroutine reads though calls come")
	}
	look(s.conn)
	look(s.conn)
	awaitSeat(t, "nothing has come for long", s.conn, seatReader)
	third := reader("Quick")
	if third == first {
		t.Error("the goroutine whose stack has grown still reads")
	}

	look(s.conn)
	look(s.conn)
	awaitSeat(t, "nothing has come for long again", s.conn, seatReader)
	s.conn.mu.Lock()
	s.conn.watching, s.conn.lastCall = false, -busyGap
	s.conn.mu.Unlock()
	lone := reader("Quick")
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.conn.strained || lone == third {
		t.Errorf("the reader runs deep for a lone call: %t; the one before still reads: %t", s.conn.strained, lone == third)
	}
}

// TestGoroutinePerCall holds that handlers may leave their goroutine locked to a
// thread if the option says so: none runs on one that ran another, or that reads.
func TestGoroutinePerCall(t *testing.T) {
	var running sync.Map // by goroutine
	s := newSeatServer(t, true, seatMethods{"Quick": func(*seatServer, context.Context) {
		runtime.LockOSThread()
		stack := make([]byte, 32)
		id := bytes.Fields(stack[:runtime.Stack(stack, false)])[1]
		if _, ran := running.LoadOrStore(string(id), true); ran {
			t.Error("a goroutine runs two handlers")
		}
	}}, WithGoroutinePerCall())
	for id := range uint32(20) {
		s.call("Quick")
		s.want("a call", codes.OK, 2*id+1)
	}
	s.wantHere(0)
}

// TestQuickMethodBlocks holds that a handler which turns out to wait, for a later
// call of its connection even, delays that once, however many such calls came before.
func TestQuickMethodBlocks(t *testing.T) {
	open := make(chan struct{})
	s := newSeatServer(t, false, seatMethods{
		"QuickWait": func(*seatServer, context.Context) { <-open },
		"Open":      func(*seatServer, context.Context) { close(open) },
	})
	s.call("QuickWait", "QuickWait", "QuickWait", "QuickWait", "Open")
	s.want("calls that wait for the last", codes.OK, 1, 3, 5, 7, 9)
	s.wantHere(1)
	if s.quick["QuickWait"].mayRunHere(quickAlone) {
		t.Error("the method still counts as quick")
	}
}

// TestQuickMethodCannotBeTrained holds that a method which is quick for long, and now
// and then waits for a later call of its connection, delays that once in its life.
func TestQuickMethodCannotBeTrained(t *testing.T) {
	const rounds, training = 5, 80
	var waits atomic.Bool
	var stalls atomic.Int32
	gates := make(chan struct{})
	s := newSeatServer(t, false, seatMethods{
		"QuickMostly": func(_ *seatServer, ctx context.Context) {
			if !waits.Swap(false) {
				return
			}
			if ctx.Value(callKey{}).(*callContext).turn.isHere() {
				stalls.Add(1)
			}
			<-gates
		},
		"Open": func(*seatServer, context.Context) { gates <- struct{}{} },
	})
	for round := range rounds {
		for range training {
			s.call("QuickMostly")
			s.want("a quick call", codes.OK, s.id-1)
		}
		m := s.quick["QuickMostly"]
		if m.took.Store(1); round == 0 { // on a busy machine, too
			m.owes.Store(0)
		}
		beBusy(s.conn)
		waits.Store(true)
		s.call("QuickMostly", "Open")
		s.want("a call that waits for the next", codes.OK, s.id-3, s.id-1)
	}
	if n := stalls.Load(); n != 1 {
		t.Errorf("%d calls of a method that waits %d times ran in the reader's place, want the first", n, rounds)
	}
}

// TestShortStall holds that a method which held the reader up for a moment, too short
// for the watch to see, has to be quick for long before it runs there again; and that
// one which gave the reader's place up in time has not held it up.
func TestShortStall(t *testing.T) {
	pause := func(*seatServer, context.Context) { time.Sleep(stall) }
	s := newSeatServer(t, true, seatMethods{
		"QuickPause": pause,
		"QuickPanic": func(s *seatServer, ctx context.Context) {
			pause(s, ctx)
			panic("asked to")
		},
		"QuickYield": func(s *seatServer, ctx context.Context) {
			ctx.Done()
			pause(s, ctx)
		},
	}, WithRecoverPanics(), WithServerLogger(new(countingLogger)))
	served := make(chan struct{}, 1)
	s.began = func(*serverCall) { served <- struct{}{} }
	for method, code := range map[string]codes.Code{"QuickPause": codes.OK, "QuickPanic": codes.Internal, "QuickYield": codes.OK} {
		s.here.Store(0)
		for range 2 {
			s.quick[method].took.Store(1) // as after many quick calls
			s.call(method)
			s.want(method, code, s.id-1)
			testkit.Within(t, method, func() { <-served })
			awaitSeat(t, method, s.conn, seatReader)
		}
		s.wantHere(map[bool]int32{false: 1, true: 2}[method == "QuickYield"])
	}
}

// TestHandlerWatchesContext holds that a handler that asks for its context's channel
// gives up the reader's place at once, for it is about to wait; and B26.
func TestHandlerWatchesContext(t *testing.T) {
	open, ended := make(chan struct{}), make(chan struct{})
	s := newSeatServer(t, true, seatMethods{
		"QuickWatch": func(_ *seatServer, ctx context.Context) {
			select {
			case <-ctx.Done():
				t.Error("B26: the context has ended")
			case <-open:
			}
		},
		"Open": func(*seatServer, context.Context) { close(open) },
		"QuickEnd": func(_ *seatServer, ctx context.Context) {
			<-ctx.Done()
			close(ended)
		},
	})
	s.call("QuickWatch", "Open")
	s.want("a handler that watches its context", codes.OK, 1, 3)
	s.wantHere(1)
	s.call("QuickEnd")
	s.nc.Close()
	testkit.Within(t, "B26: the peer has gone", func() { <-ended })
}

// TestHandlerExitsHere holds B31 for a handler in the reader's place.
func TestHandlerExitsHere(t *testing.T) {
	s := newSeatServer(t, true, seatMethods{
		"QuickExit":  func(*seatServer, context.Context) { runtime.Goexit() },
		"QuickPanic": func(*seatServer, context.Context) { panic("asked to") },
		"Echo":       nothing,
	}, WithRecoverPanics(), WithServerLogger(new(countingLogger)))
	s.call("QuickExit")
	s.want("B31: Goexit", codes.Internal, 1)
	s.call("QuickPanic")
	s.want("B31: a panic", codes.Internal, 3)
	s.wantHere(2)
	s.call("Echo")
	s.want("B31: the connection lives", codes.OK, 5)
}

// TestHeldAnswers holds that answers which the reader holds back leave together, and
// before it waits.
func TestHeldAnswers(t *testing.T) {
	var held atomic.Int32
	s := newSeatServer(t, true, seatMethods{"Quick": func(s *seatServer, _ context.Context) {
		held.Store(max(held.Load(), int32(s.conn.held)))
		s.quick["Quick"].took.Store(-1 << 40) // or a busy machine makes it slow
	}})
	var calls []string
	var ids []uint32
	for i := range uint32(2 * maxHeld) {
		calls, ids = append(calls, "Quick"), append(ids, 2*i+1)
	}
	s.began = func(*serverCall) { s.quick["Quick"].owes.Store(0) } // nor one that stalls
	s.call(calls...)
	s.want("calls that came together", codes.OK, ids...)
	s.wantHere(2 * maxHeld)
	if held := held.Load(); held != maxHeld-1 {
		t.Errorf("%d answers were held back, want all but the last of %d", held, maxHeld)
	}
	s.call("Quick")
	s.want("a call alone", codes.OK, 4*maxHeld+1)
}

// TestReaderMakesRoom holds that the reader writes what it holds back before it waits
// for room among the outgoing frames, which nobody else would make.
func TestReaderMakesRoom(t *testing.T) {
	one := newOutFrame(0).cost()
	s := newSeatServer(t, true, seatMethods{"Quick": nothing, "Other": nothing})
	s.conn.mu.Lock()
	s.conn.cfg.limits.Queue.ConnectionBytes = one // less than an option may say
	s.conn.mu.Unlock()
	s.began = func(call *serverCall) {
		if call.id == 3 {
			await(t, "a second answer", func() bool { return queued(s.conn) > one })
		}
	}
	s.call("Quick", "Other", "Quick") // the first answer is held while the second comes
	s.want("more answers than there is room for", codes.OK, 1, 3, 5)
}
