// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/containerd/ttrpc/internal/testkit"
)

// extProgSizes are the sizes of messages in extended mode; the last one is over the limit.
var extProgSizes = []int{0, 1, 10, 200, 3000, 8000, partSize - 1, partSize, 100000, extFuzzLimit + 1}

// An extPrograms is two worlds on one connection in extended mode: in the first one the
// dialler calls, in the second one it serves.
type extPrograms struct {
	*progWorld
	worlds [2]*progWorld
	judges [2]extTap
}

// An extTap judges what one end sends.
type extTap struct {
	w     *progWorld
	judge extJudge
	rest  []byte
}

func (p *extTap) take(b []byte) {
	p.rest = append(p.rest, b...)
	for len(p.rest) >= messageHeaderLength {
		h, _ := parseHeader(p.rest)
		n := messageHeaderLength + int(h.Length)
		if len(p.rest) < n {
			return
		}
		p.rest = p.rest[n:]
		if err := p.judge.frame(h); err != nil && !p.w.is(&p.w.forged) {
			p.w.Error(err)
		}
	}
}

func newExtPrograms(t testing.TB, kernel bool, code []byte) *extPrograms {
	p := &extPrograms{}
	mu, flags, prog := new(sync.Mutex), new(progFlags), &program{code: code}
	limit, options := pick(prog, 0, 300, 300, 5000, 70000, -1), prog.byte()
	for i := range p.worlds {
		w := &progWorld{
			TB: t, prog: prog, kernel: kernel, limit: extFuzzLimit, sizes: extProgSizes,
			winding: make(chan struct{}), handlers: map[*progHandler]bool{}, mu: mu, progFlags: flags,
		}
		if options&1 != 0 {
			w.queue = StreamQueue{Window: 10 << 10, ConnectionBytes: 48 << 10}
		}
		p.worlds[i] = w
	}
	a, b := p.worlds[0], p.worlds[1]
	p.progWorld, a.other, b.other = a, b, a
	if options&2 != 0 {
		a.maxHandlers = 3
	}
	for i, r := range []role{roleClient, roleServer} {
		p.judges[i] = extTap{w: a, judge: extJudge{role: r, begun: map[uint32]bool{}}}
		a.taps[i] = p.judges[i].take
	}
	near, far := a.pipe(limit)
	var middle [2]net.Conn
	middle[0] = far
	middle[1], far = a.pipe(limit)
	a.wire = newProgWire(a, [2]net.Conn{near, far}, middle)
	b.wire = a.wire
	a.startServer(far)
	b.newServer()
	a.startClient(near, options&4 != 0, WithClientServices(b.srv))
	if ok, err := a.client.Extended(context.Background()); !ok {
		t.Fatalf("B46: not extended: %v", err)
	}
	b.client, b.cconn, b.sconn, b.shutdown = a.sconn.client(), a.sconn, a.cconn, a.client.Shutdown
	return p
}

// runExtProgram runs a program and checks all invariants.
func runExtProgram(p *extPrograms) {
	for p.prog.more() && p.prog.pos < progMaxLength && !p.Failed() {
		side, code := p.prog.byte(), p.prog.byte()
		op := progOps[progTable[(code&^progBurst)%len(progTable)]]
		p.trace = append(p.trace, fmt.Sprint(side%2, " ", op.name))
		op.run(p.worlds[side%2])
		if code&progBurst == 0 {
			p.check()
		}
	}
	p.windDown()
	if p.Failed() {
		p.Logf("the program was: %v", p.trace)
	}
}

func (p *extPrograms) check() {
	p.Helper()
	for _, w := range p.worlds {
		w.check()
	}
	if !p.kernel && p.flowing() {
		p.checkCredit(p.cconn, p.sconn)
		p.checkCredit(p.sconn, p.cconn)
	}
}

// checkCredit holds that two ends agree on what the sender may send, and that it may if
// all was consumed (B48).
func (p *extPrograms) checkCredit(sender, receiver *conn) {
	sender.mu.Lock()
	defer sender.mu.Unlock()
	receiver.mu.Lock()
	defer receiver.mu.Unlock()
	x, calls := extOf(receiver), &extOf(sender).calls
	if calls.send.have != x.calls.recv.room || calls.line.Len() > 0 && x.parked.head == nil {
		p.Errorf("B48: a credit of %d for calls, of %d for the receiver; %d wait, %d are parked", calls.send.have, x.calls.recv.room, calls.line.Len(), x.parked.count)
	}
	if x.calls.recv.held != int64(x.costs) || x.streams.used > x.streams.size {
		p.Errorf("B48: %d are held of calls, %d of those that are parked; streams may hold %d of %d", x.calls.recv.held, x.costs, x.streams.used, x.streams.size)
	}
	used := int64(0)
	for id, s := range sender.streams {
		r := receiver.streams[id]
		if flowOf(s) == nil || flowOf(r) == nil || !s.isActive() || !r.isActive() || s.extra().unpaid || r.extra().unpaid {
			continue
		}
		from, to := flowOf(s), flowOf(r)
		r.inbox.mu.Lock()
		waits := r.inbox.waiting > 0
		r.inbox.mu.Unlock()
		if from.send.have != to.recv.room && r.call == nil || r.call != nil && to.recv.window > 0 && from.send.have != to.recv.room {
			p.Errorf("B48: a credit of %d on stream %d, of %d for the receiver, who has %d bytes", from.send.have, id, to.recv.room, to.recv.held)
		}
		if from.head != nil && waits && x.wishes.over == nil && x.loose.over == nil {
			p.Errorf("B48: on stream %d a sender waits for credit, of which it has %d, and the receiver for a message: %+v", id, from.send.have, to.recv)
		}
	}
	for _, s := range receiver.streams {
		if m := flowOf(s); m != nil {
			used += m.recv.window + m.reply
			if !m.beyond {
				used += m.first
			}
			if m.recv.isOver() && !x.isOverLocked(s) {
				p.Errorf("B48: stream %d may hold %d and has room for %d, in a window of %d", s.id, m.recv.held, m.recv.room, m.recv.window)
			}
		}
	}
	if used != x.streams.used {
		p.Errorf("B48: the shares of streams are %d, and %d are counted", used, x.streams.used)
	}
}

// lacksCredit tells whether a sender has to wait for credit.
func lacksCredit(s *stream) bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return flowOf(s) != nil && flowOf(s).head != nil || s.isInLine()
}

// answerWaits tells whether the stream's handler has returned, and the answer waits for credit.
func answerWaits(s *stream) bool {
	m := flowOf(s)
	return m != nil && m.head != nil && messageType(m.head.data[8]) == messageTypeResponse
}

// windDown ends all that a program has begun, in both directions, and checks what is left.
func (p *extPrograms) windDown() {
	a, b := p.worlds[0], p.worlds[1]
	for _, w := range p.worlds {
		close(w.winding)
		w.stall(0, false)
		w.stall(1, false)
	}
	p.check()
	calls := slices.Concat(a.calls, b.calls)
	for _, call := range calls {
		close(call.sends)
		close(call.recvs)
		close(call.handler)
	}
	p.check()
	a.advance(10e9)
	p.check()
	for _, w := range p.worlds {
		w.awaitCalls()
		w.checkIdle()
	}
	p.checkRest()
	a.endClient()
	a.endServer()
	for _, call := range calls {
		a.await("B1: a call has not ended with the connection", call.clientDone)
		call.cancel()
	}
	b.checkClean("the callback's server", b.sconn)
	b.srv.Close()
	for _, d := range a.wire {
		d.end()
	}
	for _, w := range p.worlds {
		w.await("something of the program is left", testkit.WaitFor(w.actors.Wait))
	}
	a.kept.check(a)
	stirPools(a)
}

// checkRest holds that a connection on which all has ended holds nothing.
func (p *extPrograms) checkRest() {
	if p.kernel {
		return
	}
	p.check()
	for _, c := range []*conn{p.cconn, p.sconn} {
		if p.flowing() {
			extCheckEmpty(p, c)
		}
	}
	for i := range p.judges {
		if err := p.judges[i].judge.over(); err != nil && p.flowing() {
			p.Error(err)
		}
	}
}

// TestExtendedPrograms runs random programs on two ends in extended mode.
func TestExtendedPrograms(t *testing.T) {
	for _, kernel := range []bool{false, true} {
		t.Run(fmt.Sprintf("kernel=%v", kernel), func(t *testing.T) {
			for seed := range testkit.Times(t) * map[bool]int{false: 75, true: 18}[kernel] {
				t.Run(fmt.Sprint(seed), func(t *testing.T) { runExtProgramIn(t, kernel, randomProgram(seed)) })
			}
		})
	}
}

// runExtProgramIn runs a program in a bubble, or over kernel sockets, where no goroutine
// and no file may be left.
func runExtProgramIn(t *testing.T, kernel bool, code []byte) {
	if !kernel {
		synctest.Test(t, func(t *testing.T) { runExtProgram(newExtPrograms(t, false, code)) })
		return
	}
	goroutines, files := runtime.NumGoroutine(), countFiles()
	p := newExtPrograms(t, true, code)
	runExtProgram(p)
	if !p.eventually(func() bool { return runtime.NumGoroutine() <= goroutines && countFiles() <= files }) {
		t.Errorf("there were %d goroutines and %d files, and now are %d and %d\n%s", goroutines, files, runtime.NumGoroutine(), countFiles(), testkit.Stacks())
	}
}

// FuzzExtendedPrograms runs programs on two ends in extended mode.
func FuzzExtendedPrograms(f *testing.F) {
	for seed := range 20 {
		f.Add(false, randomProgram(seed))
		f.Add(true, randomProgram(seed))
	}
	f.Fuzz(func(t *testing.T, kernel bool, code []byte) { runExtProgramIn(t, kernel, code) })
}
