// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/faultconn"
	"github.com/containerd/ttrpc/internal/testkit"
)

// faultSchedules is how many schedules TestFaultSchedules tries under each
// workload, times testkit.Times.
const faultSchedules = 25

// A faultSchedule is what happens in each direction at both ends at once.
type faultSchedule struct {
	events  [4][]faultEvent // by place, as in faultPlaces
	options [2]faultconn.Options
}

// A faultEvent is a fault and its position.
type faultEvent struct {
	faultKind
	at int
}

func (e faultEvent) String() string { return fmt.Sprintf("%s at %d", e.name, e.at) }

// randomSchedule returns the schedule of a seed. One of each three has all kinds of
// faults, one has none that end the connection, and one has only harmless ones:
// otherwise few calls would get far.
func randomSchedule(seed int) faultSchedule {
	r := rand.New(rand.NewPCG(uint64(seed), 2))
	var kinds []faultKind
	for _, kind := range faultKinds {
		if kind.effect == faultHarmless || seed%3 != 0 && kind.effect == faultHangs || seed%3 == 2 {
			kinds = append(kinds, kind)
		}
	}
	var s faultSchedule
	reach := []int{faultEachByte, 300, 30000}[r.IntN(3)]
	for i := range s.events {
		events := make([]faultEvent, 2+r.IntN(3))
		for j := range events {
			events[j] = faultEvent{kinds[r.IntN(len(kinds))], r.IntN(reach)}
		}
		slices.SortStableFunc(events, func(a, b faultEvent) int { return a.at - b.at })
		s.events[i] = events
	}
	for i := range s.options {
		if r.IntN(3) == 0 {
			s.options[i] = faultLikeNRI
		}
	}
	return s
}

func (s faultSchedule) plan() faultPlan {
	steps := func(events []faultEvent) (all []faultconn.Step) {
		for _, e := range events {
			all = append(all, e.step(e.at))
		}
		return all
	}
	return faultPlan{
		client: faultSide{steps(s.events[0]), steps(s.events[1]), s.options[0]},
		server: faultSide{steps(s.events[2]), steps(s.events[3]), s.options[1]},
	}
}

// begun returns the events that have begun, of the client's conn and of the
// server's.
func (s faultSchedule) begun(w *faultWorld) (client, server []faultEvent) {
	part := func(events []faultEvent, left int) []faultEvent { return events[:len(events)-left] }
	reads, writes := w.near.Left()
	client = slices.Concat(part(s.events[0], reads), part(s.events[1], writes))
	reads, writes = w.far.Left()
	server = slices.Concat(part(s.events[2], reads), part(s.events[3], writes))
	return client, server
}

// TestFaultSchedules runs every workload under random faults in both directions
// at both ends at once (B5). Each is named after its seed, so that one can be run
// again: go test -run TestFaultSchedules/bidi/17.
func TestFaultSchedules(t *testing.T) { runFaultSchedules(t, faultWorkloads) }

func runFaultSchedules(t *testing.T, works []faultWorkload) {
	runs, failed := 0, 0
	defer func() { t.Logf("%d runs, in %d of which calls failed", runs, failed) }()
	for _, work := range works {
		t.Run(work.name, func(t *testing.T) {
			for seed := range faultSchedules * testkit.Times(t) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					runs++
					synctest.Test(t, func(t *testing.T) {
						if testFaultSchedule(t, work, randomSchedule(seed)) {
							failed++
						}
					})
				})
			}
		})
	}
}

// testFaultSchedule runs a workload by a schedule and reports whether any call
// failed.
func testFaultSchedule(t *testing.T, work faultWorkload, s faultSchedule) bool {
	w := newFaultWorld(t, s.plan(), work.extended)
	where := fmt.Sprint(s.events)
	start := time.Now()
	errs := work.run(w)
	took := time.Since(start)
	client, server := s.begun(w)
	for _, err := range errs {
		if !explains(slices.Concat(client, server), err, work) || took > faultDeadline {
			t.Errorf("B5: %s: %v after %v, when %v and %v had begun", where, err, took, client, server)
		}
	}
	time.Sleep(2 * lostPeerGrace)
	w.checkScheduleCause(where, s, work)
	w.checkNeighbour(where, work)
	w.end()
	return slices.ContainsFunc(errs, func(err error) bool { return err != nil })
}

// explains tells whether a call of the workload may end with err when the events
// have begun.
func explains(events []faultEvent, err error, work faultWorkload) bool {
	ends, hangs := work.ends, false
	late := 2 * lostPeerGrace // both ends may give their peer up
	for _, e := range events {
		ends = ends || e.effect == faultEnds
		hangs = hangs || e.effect == faultHangs
		if e.name == "delay" {
			late += time.Second
		}
	}
	switch {
	case err == nil:
		return true
	case errors.Is(err, ttrpc.ErrClosed):
		return ends
	case status.Code(err) == codes.Unavailable:
		return work.ends
	}
	isLate := errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded
	return isLate && (hangs || late+work.takes >= faultDeadline)
}

// checkScheduleCause holds that what the client names as the cause of the end has
// happened (B1).
func (w *faultWorld) checkScheduleCause(where string, s faultSchedule, work faultWorkload) {
	want := []error{nil}
	client, server := s.begun(w)
	for _, e := range client {
		want = append(want, e.err)
	}
	if isEnding := func(e faultEvent) bool { return e.effect == faultEnds }; work.ends || slices.ContainsFunc(server, isEnding) {
		want = append(want, io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe)
	}
	if slices.Contains(want, io.EOF) {
		want = append(want, io.ErrUnexpectedEOF)
	}
	if work.ends && work.extended { // the client may have said goodbye
		want = append(want, ttrpc.ErrClosed)
	}
	if cause := w.client.Cause(); !slices.Contains(want, cause) {
		w.Errorf("B1: %s: the cause is %v, when %v and %v had begun", where, cause, client, server)
	}
}
