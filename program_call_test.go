// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/testkit"
)

// progKind is what a call calls.
type progKind int

const (
	progUnary progKind = iota
	progBidi
	progUp
	progDown
	progNoMethod
	progNoService
)

func (k progKind) desc() *StreamDesc {
	return &StreamDesc{StreamingClient: k == progBidi || k == progUp || k >= progNoMethod, StreamingServer: k == progBidi || k == progDown}
}

func (k progKind) names() (service, method string) {
	service, method = progService, [...]string{"Unary", "Bidi", "Up", "Down", "None", "None"}[k]
	if k == progNoService {
		service = "none"
	}
	return service, method
}

// A progCall is one call of a program's, and what is known of it at either
// side. Its jobs run on goroutines of their own, so that none of them can hold
// up the interpreter.
type progCall struct {
	w      *progWorld
	number int
	kind   progKind
	ctx    context.Context
	cancel context.CancelFunc

	sends, recvs chan func()
	handler      chan func(*progHandler) bool // false ends the handler
	opened       chan struct{}
	clientDone   chan struct{}
	stream       ClientStream // nil if it could not be opened

	// Guarded by w.mu.
	up, down   progLog
	pending    map[string]bool // operations of the client's that have not returned
	closed     bool            // the client has closed its side, after closedAt messages
	closedAt   int
	arrived    int     // how many messages had arrived at the client, when all was quiet
	errs       []error // of RecvMsg, from a raw server
	ended      bool    // the client knows the end
	end        error
	started    int // handlers
	returned   bool
	handlerErr error // what the handler returned
	resultSize int
}

func newProgCall(w *progWorld, kind progKind, timeout time.Duration) *progCall {
	call := &progCall{
		w: w, number: len(w.calls), kind: kind,
		sends: make(chan func(), progMaxJobs), recvs: make(chan func(), progMaxLength),
		handler: make(chan func(*progHandler) bool, progMaxLength),
		opened:  make(chan struct{}), clientDone: make(chan struct{}), pending: map[string]bool{},
	}
	call.up.name, call.down.name = fmt.Sprintf("%d up", call.number), fmt.Sprintf("%d down", call.number)
	call.ctx, call.cancel = context.WithCancel(context.Background())
	if timeout != 0 {
		call.ctx, call.cancel = context.WithTimeout(context.Background(), timeout)
	}
	call.ctx = WithMetadata(call.ctx, MD{"call": {strconv.Itoa(call.number)}})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, call)
	return call
}

// start runs the client's side. The request carries a message of that size, or
// none if the size is negative.
func (call *progCall) start(size int) {
	call.w.actors.Add(1)
	go func() {
		defer call.w.actors.Done()
		defer close(call.clientDone)
		if call.kind == progUnary {
			call.unary(max(size, 0))
			return
		}
		received := testkit.WaitFor(call.receive)
		call.open(size)
		close(call.opened)
		for job := range call.sends {
			if call.stream != nil {
				job()
			}
		}
		if call.stream != nil && call.kind.desc().StreamingClient {
			call.closeSend()
		}
		<-received
	}()
}

// receive runs the receiver's jobs, and in the end receives until the end.
func (call *progCall) receive() {
	<-call.opened
	if call.stream == nil {
		return
	}
	for job := range call.recvs {
		job()
	}
	if call.w.raw != nil {
		call.receiveRaw()
		return
	}
	for range 2 { // the end comes again (B21)
		for !call.recvOne() {
		}
	}
}

// receiveRaw receives until a raw server cannot have anything more to say. Some
// of the errors may be of messages that do not parse, the last ones are the end.
func (call *progCall) receiveRaw() {
	for range call.w.raw.countFrames(call.rawID()) + 3 {
		call.recvOne()
	}
	received := fuzzCall{errs: call.errs}
	if !received.hasOneEnd() {
		call.w.Errorf("B21: call %d has not one end: %v", call.number, call.errs)
	}
	call.w.mu.Lock()
	defer call.w.mu.Unlock()
	call.endLocked(call.errs[len(call.errs)-1])
}

// do runs an operation of the client's.
func (call *progCall) do(what string, f func() error) error {
	call.w.mu.Lock()
	call.pending[what] = true
	call.w.mu.Unlock()
	err := f()
	call.w.mu.Lock()
	delete(call.pending, what)
	call.w.mu.Unlock()
	return call.w.bare(err)
}

// unary makes a unary call.
func (call *progCall) unary(size int) {
	service, method := call.kind.names()
	resp := new(wrapperspb.BytesValue)
	req := call.up.add(call.w, size)
	err := call.do("Call", func() error { return call.w.client.Call(call.ctx, service, method, req, resp) })
	call.w.mu.Lock()
	defer call.w.mu.Unlock()
	call.endLocked(err)
	call.down.checkNoise(call.w, resp.Value)
	if err == nil && call.w.raw == nil {
		call.down.sizes = append(call.down.sizes, call.resultSize)
		call.down.takeLocked(call.w, resp.Value)
	}
}

func (call *progCall) open(size int) {
	service, method := call.kind.names()
	var req any
	if size >= 0 {
		req = call.up.add(call.w, size)
	} else if !call.kind.desc().StreamingClient {
		call.up.add(call.w, 0)
	}
	err := call.do("NewStream", func() (err error) {
		call.stream, err = call.w.client.NewStream(call.ctx, call.kind.desc(), service, method, req)
		return err
	})
	call.w.mu.Lock()
	defer call.w.mu.Unlock()
	if err != nil {
		call.stream = nil // an empty first message may have failed
		call.up.dropLocked()
		call.endLocked(err)
	}
}

func (call *progCall) send(size int) {
	msg := call.up.add(call.w, size)
	err := call.do("SendMsg", func() error { return call.stream.SendMsg(msg) })
	call.w.mu.Lock()
	defer call.w.mu.Unlock()
	if err != nil {
		call.up.dropLocked()
		call.checkSendLocked("SendMsg", size, err)
	}
}

func (call *progCall) closeSend() {
	call.w.mu.Lock()
	if !call.closed {
		call.closedAt = len(call.up.sizes)
	}
	again := call.closed
	call.closed = true
	call.w.mu.Unlock()
	err := call.do("CloseSend", call.stream.CloseSend)
	call.w.mu.Lock()
	defer call.w.mu.Unlock()
	if err != nil {
		call.checkSendLocked("CloseSend", 0, err)
	} else if again && call.kind != progDown {
		call.w.Errorf("B20: a second CloseSend succeeded")
	}
}

func (call *progCall) recv() { call.recvOne() }

// recvOne receives once, and reports whether that was the end.
func (call *progCall) recvOne() bool {
	m := new(wrapperspb.BytesValue)
	err := call.do("RecvMsg", func() error { return call.stream.RecvMsg(m) })
	call.w.mu.Lock()
	defer call.w.mu.Unlock()
	if call.w.raw != nil {
		call.errs = append(call.errs, err)
		call.down.checkNoise(call.w, m.Value)
		return err != nil
	}
	if err != nil {
		call.endLocked(err)
		return true
	}
	if call.ended {
		call.w.Errorf("B21: call %d: a message after %v", call.number, call.end)
	}
	if !call.kind.desc().StreamingServer {
		call.down.sizes = append(call.down.sizes, call.resultSize)
	}
	call.down.takeLocked(call.w, m.Value)
	return false
}

// endLocked takes note of a call's end as its client sees it.
func (call *progCall) endLocked(err error) {
	w := call.w
	if call.ended {
		if call.end != err {
			w.Errorf("B21: call %d ended with %v, then with %v", call.number, call.end, err)
		}
		return
	}
	call.ended, call.end = true, err
	call.checkEndLocked(err)
}

// A progLog is what was sent in one direction of a call: the sizes of the
// messages. Their content follows from their number.
type progLog struct {
	name  string
	sizes []int
	taken int
}

// message returns the content of a log's message.
func (l *progLog) message(i int) []byte {
	b := make([]byte, l.sizes[i])
	head := fmt.Sprintf("%s %d ", l.name, i)
	for n := 0; n < len(b); n += len(head) {
		copy(b[n:], head)
	}
	return b
}

// add returns the next message, which is about to be sent.
func (l *progLog) add(w *progWorld, size int) *wrapperspb.BytesValue {
	w.mu.Lock()
	defer w.mu.Unlock()
	l.sizes = append(l.sizes, size)
	return wrapperspb.Bytes(l.message(len(l.sizes) - 1))
}

// dropLocked forgets the last message, which was not sent after all.
func (l *progLog) dropLocked() {
	if len(l.sizes) > 0 {
		l.sizes = l.sizes[:len(l.sizes)-1]
	}
}

// takeLocked checks a message that was received: it is the next one.
func (l *progLog) takeLocked(w *progWorld, got []byte) {
	l.taken++
	switch {
	case w.forged:
	case l.taken > len(l.sizes):
		w.Errorf("%s: message %d was never sent: %.40q of %d bytes", l.name, l.taken, got, len(got))
	case !bytes.Equal(got, l.message(l.taken-1)):
		w.Errorf("%s: message %d is %.40q of %d bytes, want %d bytes", l.name, l.taken-1, got, len(got), l.sizes[l.taken-1])
	}
}

// checkNoise checks a message of a raw peer, which may be anything but what
// stirPools puts into memory that nobody owns.
func (l *progLog) checkNoise(w *progWorld, got []byte) {
	if bytes.Contains(got, bytes.Repeat([]byte{progNoise}, 16)) {
		w.Errorf("%s: a message was read from memory that had been released: %x", l.name, got)
	}
}
