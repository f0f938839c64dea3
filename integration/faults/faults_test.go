// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/kit"
	"github.com/containerd/ttrpc/internal/faultconn"
	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/testkit"
)

// faultDeadline is the deadline of every call while a fault happens.
const faultDeadline = 10 * time.Second

// lostPeerGrace is how long a peer that does not take what is written may yet be heard.
const lostPeerGrace = time.Second

// faultEffect is what a fault may do to calls.
type faultEffect int

const (
	faultHarmless faultEffect = iota // they succeed
	faultEnds                        // they succeed or return ttrpc.ErrClosed
	faultHangs                       // they succeed or end at their deadline
)

// A faultKind is what happens at one byte of one direction.
type faultKind struct {
	name    string
	step    func(at int) faultconn.Step
	effect  faultEffect
	err     error // what Cause tells if the client's conn has the fault
	every   bool  // try it at every byte
	options faultconn.Options
}

func faultFailure(name string, err error) faultKind {
	return faultKind{name: name, effect: faultEnds, err: err, step: func(at int) faultconn.Step { return faultconn.Fail(at, err) }}
}

var (
	errFault = errors.New("some error")

	// faultLikeNRI are the options that make a conn like that of NRI's
	// multiplexer (B43).
	faultLikeNRI = faultconn.Options{NoDeadlines: true, CloseLeavesBlocked: true}

	faultKinds = []faultKind{
		{name: "split", step: func(at int) faultconn.Step { return faultconn.Split(at, 1) }},
		{name: "delay", step: func(at int) faultconn.Step { return faultconn.Delay(at, time.Second) }},
		{name: "delay past the deadline", effect: faultHangs, step: func(at int) faultconn.Step { return faultconn.Delay(at, time.Minute) }},
		{name: "block", effect: faultHangs, every: true, step: faultconn.Block},
		{name: "block for good", effect: faultHangs, step: faultconn.Block, options: faultLikeNRI},
		{name: "lose", effect: faultHangs, step: faultconn.Lose},
		{name: "fail", effect: faultEnds, err: errFault, every: true, step: func(at int) faultconn.Step { return faultconn.Fail(at, errFault) }},
		{name: "fail with data", effect: faultEnds, err: errFault, step: func(at int) faultconn.Step { return faultconn.FailWithData(at, errFault) }},
		{name: "fail like NRI", effect: faultEnds, err: errFault, step: func(at int) faultconn.Step { return faultconn.Fail(at, errFault) }, options: faultLikeNRI},
		faultFailure("EPIPE", os.NewSyscallError("write", syscall.EPIPE)),
		faultFailure("ECONNRESET", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}),
		faultFailure("ENOTCONN", os.NewSyscallError("read", syscall.ENOTCONN)),
		faultFailure("EOF", io.EOF),
		faultFailure("unexpected EOF", io.ErrUnexpectedEOF),
		faultFailure("closed pipe", io.ErrClosedPipe),
		faultFailure("net closed", net.ErrClosed),
		faultFailure("timeout", os.ErrDeadlineExceeded),
	}
)

// A faultPlace is where a fault happens.
type faultPlace struct {
	server bool // at the server's conn, else at the client's
	writes bool // when it writes, else when it reads
}

var faultPlaces = []faultPlace{{false, false}, {false, true}, {true, false}, {true, true}}

func (p faultPlace) String() string {
	return map[bool]string{false: "client", true: "server"}[p.server] + map[bool]string{false: " reads", true: " writes"}[p.writes]
}

// A faultSide is what happens at one end of a connection.
type faultSide struct {
	reads, writes []faultconn.Step
	options       faultconn.Options
}

func (s faultSide) wrap(nc net.Conn) *faultconn.Conn {
	return faultconn.New(nc, s.reads, s.writes, s.options)
}

// A faultPlan is what happens at both ends of a connection.
type faultPlan struct{ client, server faultSide }

// at returns the plan by which the fault happens once.
func (k faultKind) at(place faultPlace, at int) faultPlan {
	side := faultSide{options: k.options}
	if steps := []faultconn.Step{k.step(at)}; place.writes {
		side.writes = steps
	} else {
		side.reads = steps
	}
	if place.server {
		return faultPlan{server: side}
	}
	return faultPlan{client: side}
}

// A faultWorld is a server with two clients, one over a connection that has
// faults.
type faultWorld struct {
	*testing.T
	srv       *kit.Server
	client    *ttrpc.Client
	near, far *faultconn.Conn // of the connection with the faults
	neighbour *ttrpc.Client
	closed    atomic.Int32

	services *ttrpc.Server // the client's, in extended mode, else nil
}

func newFaultWorld(t *testing.T, plan faultPlan, extended bool) *faultWorld {
	srv, err := ttrpc.NewServer(ttrpc.WithServerExtensions(), ttrpc.WithServerLimits(ttrpc.Limits{Queue: faultQueue}))
	if err != nil {
		t.Fatal(err)
	}
	w := &faultWorld{T: t, srv: kit.Serve(srv)}
	srv.RegisterService("test", kit.Service())
	srv.Register("fault", map[string]ttrpc.Method{"Slow": func(context.Context, func(any) error) (any, error) {
		time.Sleep(100 * time.Millisecond)
		return wrapperspb.String("slow"), nil
	}})
	near, far := memconn.Pipe(0)
	w.near, w.far = plan.client.wrap(near), plan.server.wrap(far)
	w.srv.Hand(w.far)
	opts := []ttrpc.ClientOpts{ttrpc.WithOnClose(func() { w.closed.Add(1) })}
	if extended {
		opts = append(opts, w.extend()...)
	}
	w.client = ttrpc.NewClient(w.near, opts...)
	near, far = memconn.Pipe(0)
	w.srv.Hand(far)
	w.neighbour = ttrpc.NewClient(near)
	return w
}

// passed returns how many bytes have passed at a place.
func (w *faultWorld) passed(place faultPlace) int {
	end := w.near
	if place.server {
		end = w.far
	}
	read, written := end.Passed()
	if place.writes {
		return written
	}
	return read
}

// allBegun tells whether every step has begun.
func (w *faultWorld) allBegun() bool {
	a, b := w.near.Left()
	c, d := w.far.Left()
	return a+b+c+d == 0
}

// TestFaults runs every workload under every fault, at every place and at many
// positions (B5).
func TestFaults(t *testing.T) { runFaults(t, faultWorkloads, faultKinds) }

func runFaults(t *testing.T, works []faultWorkload, kinds []faultKind) {
	var runs atomic.Int32
	t.Cleanup(func() { t.Logf("%d runs", runs.Load()) })
	for _, work := range works {
		for i, kind := range kinds {
			t.Run(work.name+"/"+kind.name, func(t *testing.T) {
				t.Parallel()
				for j, place := range faultPlaces {
					affected := false
					for _, at := range faultPositions(t, work, kind, place, i+j) {
						runs.Add(1)
						synctest.Test(t, func(t *testing.T) { affected = testFault(t, work, kind, place, at) || affected })
						if t.Failed() {
							return
						}
					}
					if !affected && kind.effect != faultHarmless {
						t.Errorf("no call failed when the %s", place)
					}
				}
			})
		}
	}
}

// faultEachByte is up to where every fault is tried at every byte: it is more than
// three headers.
const faultEachByte = 40

// faultStride is how far apart the positions are that are tried, of those that are
// worth it. testkit.Times makes it less. Different kinds and places begin at different
// ones.
const faultStride = 4

// faultPositions chooses the bytes at which a fault happens: all at the beginning,
// and fewer farther on, unless all are wanted; of those the first, the last, and every
// few, from the given one on.
func faultPositions(t *testing.T, work faultWorkload, kind faultKind, place faultPlace, from int) []int {
	total := 0
	synctest.Test(t, func(t *testing.T) {
		w := newFaultWorld(t, faultPlan{}, work.extended)
		work.run(w)
		synctest.Wait() // for what is on its way
		total = w.passed(place)
		w.end()
	})
	var all []int
	stride := max(1, faultStride/testkit.Times(t))
	worth := 0
	for at := 0; at <= total; at++ {
		near := at <= faultEachByte || at < 300 && (kind.every || at%29 == 0)
		if work.extended { // every call is preceded by Hello, so there are many
			near = near && at%5 == 0
		}
		if near || at == total || at%(1+total/max(3, work.positions)) == 0 {
			if worth++; (worth+from)%stride == 0 || at == 0 || at == total {
				all = append(all, at)
			}
		}
	}
	return all
}

// testFault runs a workload under a fault and reports whether any call failed.
func testFault(t *testing.T, work faultWorkload, kind faultKind, place faultPlace, at int) bool {
	w := newFaultWorld(t, kind.at(place, at), work.extended)
	where := fmt.Sprintf("%s at byte %d when the %s", kind.name, at, place)
	start := time.Now()
	errs := work.run(w)
	took := time.Since(start)
	hit := w.allBegun()
	for _, err := range errs {
		if !kind.allows(err, work, took) {
			t.Errorf("B5: %s: %v after %v", where, err, took)
		}
	}
	failed := slices.ContainsFunc(errs, func(err error) bool { return err != nil })
	if failed && !hit && !work.ends {
		t.Errorf("B5: %s: %v although nothing happened", where, errs)
	}
	time.Sleep(2 * lostPeerGrace)
	w.checkCause(where, kind, place, hit && !work.ends)
	w.checkNeighbour(where, work)
	w.end()
	return failed
}

// checkNeighbour holds that another connection has no part in it.
func (w *faultWorld) checkNeighbour(where string, work faultWorkload) {
	start := time.Now()
	if err := faultEcho(context.Background(), w.neighbour, 100); err != nil && !work.ends || time.Since(start) != 0 {
		w.Errorf("B41: %s: a call on another connection: %v after %v", where, err, time.Since(start))
	}
}

// allows tells whether a call of the workload may end with err.
func (k faultKind) allows(err error, work faultWorkload, took time.Duration) bool {
	switch {
	case err == nil:
		return true
	case work.ends && (errors.Is(err, ttrpc.ErrClosed) || status.Code(err) == codes.Unavailable):
		return took <= faultDeadline
	case k.effect == faultEnds:
		return errors.Is(err, ttrpc.ErrClosed) && took <= lostPeerGrace+work.takes
	case k.effect == faultHangs:
		// Both ends know the deadline, and either may be first (B4).
		return (errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded) && took == faultDeadline
	}
	return false
}

// checkCause holds that the client knows what ended the connection (B1).
func (w *faultWorld) checkCause(where string, kind faultKind, place faultPlace, hit bool) {
	cause := w.client.Cause()
	var want []error
	switch {
	case kind.effect != faultEnds || !hit:
		return // it has not ended, or was shut down
	case place.server:
		want = []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe}
	case kind.err == io.EOF:
		want = []error{io.EOF, io.ErrUnexpectedEOF}
	default:
		want = []error{kind.err}
	}
	if !slices.Contains(want, cause) {
		w.Errorf("B1: %s: the cause is %v", where, cause)
	}
	synctest.Wait()
	if n := w.closed.Load(); n != 1 {
		w.Errorf("B12: %s: the function for the end ran %d times", where, n)
	}
}

// end ends all, while what a step holds up is still held up, and checks that
// nothing is left.
func (w *faultWorld) end() {
	w.client.Close()
	w.neighbour.Close()
	synctest.Wait()
	if n := w.closed.Load(); n != 1 {
		w.Errorf("B12: the function for the end ran %d times", n)
	}
	if err := faultEcho(context.Background(), w.client, 1); !errors.Is(err, ttrpc.ErrClosed) {
		w.Errorf("B1: a call after Close: %v", err)
	}
	w.srv.End(w)
	synctest.Wait()
	w.near.Release()
	w.far.Release()
	synctest.Wait()
	kit.WantClean(w, "B21: after the end", w.client)
	if w.services != nil {
		w.services.Close()
	}
}
