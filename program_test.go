// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A program is bytes that drive both ends of a connection: a head that sets
// the scene, then instructions, each with its arguments. Any bytes are a
// program; where they end zeros follow. Random tests and fuzzers share the
// interpreter, and so the invariants that it checks.
type program struct {
	code []byte
	pos  int
}

func (p *program) more() bool { return p.pos < len(p.code) }

func (p *program) byte() int {
	if !p.more() {
		return 0
	}
	p.pos++
	return int(p.code[p.pos-1])
}

// bytes returns the next n bytes, or what is left.
func (p *program) bytes(n int) []byte {
	b := p.code[p.pos:min(p.pos+n, len(p.code))]
	p.pos += len(b)
	return bytes.ReplaceAll(b, []byte{progNoise}, []byte{progNoise + 1})
}

// pick returns one of the choices.
func pick[T any](p *program, choices ...T) T { return choices[p.byte()%len(choices)] }

const (
	progMaxCalls  = 64            // later ones are not opened
	progMaxLength = 1024          // of a program; what stands behind is not run
	progMaxJobs   = progMaxLength // for one goroutine of a call
	progService   = "program"
)

// progSizes are the sizes of messages; the last one is over the limit.
var progSizes = []int{0, 1, 10, 200, 1000, 3000, 4080, 5000, 8000, fuzzLimit + 1}

// progBurst on an opcode means that the next instruction follows at once, and
// not when all is quiet.
const progBurst = 0x80

// progOps are the instructions with their weights: how many of the opcodes
// mean them.
var progOps = []struct {
	name   string
	weight int
	run    func(w *progWorld)
}{
	{"open", 6, (*progWorld).opOpen},
	{"send", 12, (*progWorld).opSend},
	{"recv", 10, (*progWorld).opRecv},
	{"close send", 5, (*progWorld).opCloseSend},
	{"cancel", 4, (*progWorld).opCancel},
	{"handler sends", 12, (*progWorld).opHandlerSend},
	{"handler receives", 10, (*progWorld).opHandlerRecv},
	{"handler returns", 8, (*progWorld).opHandlerReturn},
	{"handler awaits", 2, (*progWorld).opHandlerAwait},
	{"stall", 5, (*progWorld).opStall},
	{"resume", 2, (*progWorld).opResume},
	{"piece", 2, (*progWorld).opPiece},
	{"advance", 5, (*progWorld).opAdvance},
	{"stir", 2, (*progWorld).opStir},
	{"raw frame", 20, (*progWorld).opRawFrame},
	{"raw bytes", 2, (*progWorld).opRawBytes},
	{"inject", 1, (*progWorld).opInject},
	{"cut", 2, (*progWorld).opCut},
	{"shutdown", 1, (*progWorld).opShutdown},
	{"close server", 1, (*progWorld).opCloseServer},
	{"close client", 1, (*progWorld).opCloseClient},
	{"end serve", 1, (*progWorld).opEndServe},
}

// progTable has an entry for each opcode: an index of progOps.
var progTable = func() (table []int) {
	for i, op := range progOps {
		for range op.weight {
			table = append(table, i)
		}
	}
	return table
}()

// runProgram runs one program in w and checks all invariants.
func runProgram(w *progWorld) {
	for w.prog.more() && w.prog.pos < progMaxLength && !w.Failed() {
		code := w.prog.byte()
		op := progOps[progTable[(code&^progBurst)%len(progTable)]]
		w.trace = append(w.trace, op.name)
		op.run(w)
		if code&progBurst == 0 {
			w.check()
		}
	}
	w.windDown()
	if w.Failed() {
		w.Logf("the program was: %v", w.trace)
	}
}

func (w *progWorld) opOpen() {
	kind := pick(w.prog, progUnary, progBidi, progUp, progDown, progUnary, progBidi, progUp, progDown, progNoMethod, progNoService)
	timeout := pick(w.prog, 0, 0, 0, 0, time.Millisecond, 500*time.Millisecond, 2*time.Second, -1)
	size := pick(w.prog, append(w.sizes, -1, -1, -1, -1)...) // -1: no message
	if len(w.calls) >= progMaxCalls {
		return
	}
	call := newProgCall(w, kind, timeout)
	if w.client != nil {
		call.start(size)
	} else {
		w.raw.request(call, size)
	}
}

// call picks a call, more often one of the last, or nil if there is none.
func (w *progWorld) call() *progCall {
	n, calls := w.prog.byte(), w.calls
	if n&1 == 0 {
		calls = calls[max(0, len(calls)-2):]
	}
	if len(calls) == 0 {
		return nil
	}
	return calls[n/2%len(calls)]
}

func (w *progWorld) opSend() {
	call, size := w.call(), pick(w.prog, w.sizes...)
	times := w.times()
	switch {
	case call == nil || call.kind == progUnary:
	case w.client != nil:
		call.sends <- func() { repeat(times, func() { call.send(size) }) }
	default:
		repeat(times, func() { w.raw.data(call, size) })
	}
}

func repeat(times int, f func()) {
	for range times {
		f()
	}
}

// times is how many times to send: once, or so often that senders must wait.
func (w *progWorld) times() int { return pick(w.prog, 1, 1, 1, 1, 2, 5, 20, 40) }

func (w *progWorld) opRecv() {
	if call := w.call(); call != nil && w.client != nil && call.kind != progUnary {
		call.recvs <- call.recv
	}
}

func (w *progWorld) opCloseSend() {
	switch call := w.call(); {
	case call == nil || call.kind == progUnary:
	case w.client != nil:
		call.sends <- call.closeSend
	default:
		w.raw.write(fuzzFrame(call.rawID(), messageTypeData, flagRemoteClosed|flagNoData, nil))
	}
}

func (w *progWorld) opCancel() {
	if call := w.call(); call != nil {
		call.cancel()
	}
}

func (w *progWorld) opHandlerSend() {
	call, size, times := w.call(), pick(w.prog, w.sizes...), w.times()
	switch {
	case call == nil:
	case w.srv != nil:
		call.handler <- func(h *progHandler) bool { h.sendLater(size, times); return true }
	default:
		repeat(times, func() { w.raw.data(call, size) })
	}
}

func (w *progWorld) opHandlerRecv() {
	if call := w.call(); call != nil && w.srv != nil {
		call.handler <- func(h *progHandler) bool { h.recv(); return true }
	}
}

// opHandlerReturn has a handler return, or a raw server answer.
func (w *progWorld) opHandlerReturn() {
	call, size := w.call(), pick(w.prog, w.sizes...)
	err := pick(w.prog, nil, nil, nil, nil,
		status.Error(codes.DataLoss, "lost"), io.EOF, errors.New("plain"), context.Canceled,
		context.DeadlineExceeded, fmt.Errorf("wrapped: %w", os.ErrNotExist), errProgPanic, errProgExit)
	switch {
	case call == nil:
	case w.srv != nil:
		call.handler <- func(h *progHandler) bool { h.size, h.err = size, err; return false }
	default:
		w.raw.respond(call, size, err)
	}
}

func (w *progWorld) opHandlerAwait() {
	if call := w.call(); call != nil && w.srv != nil {
		call.handler <- func(h *progHandler) bool { return h.await() }
	}
}

func (w *progWorld) opStall() { w.stall(w.prog.byte()%2, true) }

func (w *progWorld) opResume() { w.stall(w.prog.byte()%2, false) }

// opPiece cuts what is on its way into pieces.
func (w *progWorld) opPiece() {
	side, size := w.prog.byte()%2, pick(w.prog, 0, 1, 3, 10, 11, 100, 4096)
	if w.wire[side] != nil {
		w.wire[side].update(func(d *progDirection) { d.piece = size })
	}
}

func (w *progWorld) opAdvance() {
	d := pick(w.prog, time.Millisecond, 50*time.Millisecond, 200*time.Millisecond, 600*time.Millisecond, time.Second, 3*time.Second, time.Minute)
	w.advance(d)
}

func (w *progWorld) opStir() { stirPools(w) }

func (w *progWorld) opRawFrame() {
	if w.raw != nil {
		b := w.raw.frame(w.prog)
		w.raw.write(bytes.Repeat(b, w.times()))
	}
}

func (w *progWorld) opRawBytes() {
	if b := w.prog.bytes(w.prog.byte()); w.raw != nil {
		w.raw.write(b)
	}
}

// opInject puts bytes that nobody sent on the wire.
func (w *progWorld) opInject() {
	side, b := w.prog.byte()%2, w.prog.bytes(w.prog.byte()%16)
	if w.wire[side] != nil && len(b) > 0 {
		w.setDown(&w.forged)
		w.wire[side].update(func(d *progDirection) { d.inject = append(d.inject, b...) })
	}
}

// opCut ends the connection, or one direction of it.
func (w *progWorld) opCut() {
	how := w.prog.byte() % 4
	err := pick[error](w.prog, io.EOF, io.EOF, syscall.ECONNRESET, io.ErrUnexpectedEOF, io.ErrNoProgress, os.ErrDeadlineExceeded)
	w.cut(how, err)
}

func (w *progWorld) opShutdown() {
	timeout := pick(w.prog, 0, 0, time.Second, -1)
	if w.srv == nil {
		return
	}
	w.setDown(&w.draining)
	w.actors.Add(1)
	go func() {
		defer w.actors.Done()
		ctx, cancel := context.WithCancel(context.Background())
		if timeout != 0 {
			ctx, cancel = context.WithTimeout(ctx, timeout)
		}
		defer cancel()
		err := w.shutdown(ctx)
		switch n := w.srv.countConnection(); {
		case err == nil && n != 0:
			w.Errorf("B25: Shutdown returned nil and left %d connections", n)
		case err != nil && err != ctx.Err():
			w.Errorf("B25: Shutdown returned %v", err)
		}
	}()
}

func (w *progWorld) opCloseServer() {
	if w.served != nil {
		w.setDown(&w.draining)
		w.setDown(&w.serverClosed)
		w.srv.Close()
	}
}

func (w *progWorld) opCloseClient() {
	if w.client != nil {
		w.setDown(&w.clientClosed)
		w.client.Close()
	}
}

// opEndServe ends the context given to Serve.
func (w *progWorld) opEndServe() {
	if w.served != nil {
		w.setDown(&w.baseEnded)
		w.endServe()
	}
}
