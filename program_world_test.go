// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/testkit"
)

// progMode says who the two ends are.
type progMode int

const (
	progPair      progMode = iota // our client and our server
	progRawClient                 // a raw client and our server
	progRawServer                 // our client and a raw server
)

// A progWorld is what a program drives: two ends of a connection and what is
// between them. Over memory conns it is in a bubble, where each instruction
// runs until all is quiet; over kernel sockets it is not, and only what holds at
// any moment, and at the end, can be checked.
type progWorld struct {
	testing.TB
	prog        *program
	kernel      bool
	queue       StreamQueue
	maxHandlers int
	limit       int   // of messages
	streams     bool  // conns say that they are byte streams
	sizes       []int // of messages

	other *progWorld        // in extended mode, the same connection with the roles exchanged
	taps  [2]func(b []byte) // see what is on the wire

	srv      *Server
	endServe context.CancelFunc
	served   chan error // nil if the dialler serves
	shutdown func(context.Context) error
	sconn    *conn

	client  *Client
	cconn   *conn
	onClose int
	kept    keptPayloads

	wire [2]*progDirection // up, to the server, and down; nil with a raw peer
	raw  *progRaw          // nil between our client and our server

	actors  sync.WaitGroup
	winding chan struct{} // closed when the program is over
	trace   []string

	mu *sync.Mutex // the other's, too

	// Guarded by mu.
	calls    []*progCall           // by number; only the interpreter changes it, and need not lock to read
	handlers map[*progHandler]bool // those that run
	*progFlags
}

// progFlags is what has happened to a connection.
type progFlags struct {
	draining     bool // the server was told to end
	clientClosed bool
	serverClosed bool
	baseEnded    bool // the context given to Serve has ended
	disturbed    bool // the wire has lost bytes
	forged       bool // the wire has gained bytes
}

// newProgWorld reads a program's head and makes its world.
func newProgWorld(t testing.TB, mode progMode, kernel bool, code []byte) *progWorld {
	w := &progWorld{
		TB: t, prog: &program{code: code}, kernel: kernel, limit: fuzzLimit, sizes: progSizes,
		winding: make(chan struct{}), handlers: map[*progHandler]bool{}, mu: new(sync.Mutex), progFlags: new(progFlags),
	}
	limit := pick(w.prog, 0, 300, 300, 5000, 70000, -1) // 0 means any number, -1 packets
	options := w.prog.byte()
	if options&1 != 0 {
		w.queue = StreamQueue{Messages: 4, Bytes: 24 << 10, ConnectionBytes: 48 << 10}
	}
	if options&2 != 0 {
		w.maxHandlers = 3
	}
	if mode != progPair {
		limit = max(limit, 0) // a raw peer's writes are no packets
	}
	w.streams = options&8 != 0
	near, far := w.pipe(limit)
	if mode == progPair {
		var middle [2]net.Conn
		middle[0] = far
		middle[1], far = w.pipe(limit)
		w.wire = newProgWire(w, [2]net.Conn{near, far}, middle)
	}
	if mode != progRawServer {
		w.startServer(far)
	}
	if mode != progRawClient {
		w.startClient(near, options&4 != 0)
	}
	switch mode {
	case progRawClient:
		w.raw = newProgRaw(w, near)
	case progRawServer:
		w.raw = newProgRaw(w, far)
	}
	return w
}

// pipe returns two connected conns.
func (w *progWorld) pipe(limit int) (net.Conn, net.Conn) {
	switch {
	case w.kernel:
		return testkit.SocketPair(w)
	case limit < 0:
		return memconn.PacketPipe()
	case w.streams:
		return memconn.StreamPipe(limit)
	}
	return memconn.Pipe(limit)
}

// newServer makes a server that runs the world's handlers.
func (w *progWorld) newServer() {
	opts := []ServerOpt{WithServerExtensions(), WithServerLimits(Limits{MessageSize: w.limit, Queue: w.queue}), WithRecoverPanics(), WithServerLogger(new(countingLogger))}
	if w.maxHandlers > 0 {
		opts = append(opts, WithServerLimits(Limits{Handlers: w.maxHandlers}))
	}
	srv, err := NewServer(opts...)
	if err != nil {
		w.Fatal(err)
	}
	srv.RegisterService(progService, progServiceDesc(w))
	w.srv, w.shutdown = srv, srv.Shutdown
	w.queue = srv.config.limits.Queue
}

func (w *progWorld) startServer(nc net.Conn) {
	w.newServer()
	srv := w.srv
	w.served = make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	w.endServe = cancel
	l := &oneListener{conn: nc, again: make(chan struct{}), done: make(chan struct{})}
	go func() { w.served <- srv.Serve(ctx, l) }()
	<-l.again
	srv.mu.Lock()
	for w.sconn = range srv.connections {
	}
	srv.mu.Unlock()
}

func (w *progWorld) startClient(nc net.Conn, intercepted bool, opts ...ClientOpts) {
	opts = append(opts, WithClientLimits(Limits{MessageSize: w.limit, Queue: w.queue}), WithOnClose(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.onClose++
	}))
	if intercepted {
		opts = append(opts, WithUnaryClientInterceptor(w.kept.intercept))
	}
	w.client = NewClient(nc, opts...)
	w.cconn, w.queue = connOf(w.client), w.client.config.limits.Queue
}

// quiet waits until nothing happens any more; over kernel sockets nobody can
// tell when that is.
func (w *progWorld) quiet() {
	if w.kernel {
		runtime.Gosched()
		return
	}
	synctest.Wait()
}

func (w *progWorld) advance(d time.Duration) {
	if !w.kernel {
		time.Sleep(d)
	}
}

// setDown sets one of the world's flags.
func (w *progWorld) setDown(flag *bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*flag = true
}

func (w *progWorld) is(flag *bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return *flag
}

// stall stops the reader of what side sends, or has it go on.
func (w *progWorld) stall(side int, on bool) {
	switch {
	case w.wire[side] != nil:
		w.wire[side].update(func(d *progDirection) { d.stalled, d.late = on, d.late || on })
	case w.raw != nil:
		w.raw.stall(on)
	}
}

// cut ends the connection: the directions up or down, both, or at a raw peer's
// end as a whole.
func (w *progWorld) cut(how int, err error) {
	w.setDown(&w.disturbed)
	if w.raw != nil {
		w.raw.conn.Close()
		return
	}
	for side, d := range w.wire {
		if how != 1-side {
			d.cut(err)
		}
	}
}

// await waits for what must come: over memory conns it has come when all is
// quiet.
func (w *progWorld) await(what string, done <-chan struct{}) bool {
	w.Helper()
	w.quiet()
	select {
	case <-done:
		return true
	default:
	}
	if w.kernel {
		select {
		case <-done:
			return true
		case <-time.After(testkit.Hang):
		}
	}
	w.Errorf("%s; program: %v\n%s", what, w.trace, testkit.Stacks())
	return false
}

// windDown ends all that a program has begun, and checks what is left.
func (w *progWorld) windDown() {
	close(w.winding)
	w.stall(0, false)
	w.stall(1, false)
	w.check()
	for _, call := range w.calls {
		close(call.sends)
		close(call.recvs)
		close(call.handler)
	}
	if w.raw != nil && w.client == nil {
		w.raw.finish()
	}
	w.check()
	w.advance(10 * time.Second) // longer than anybody's patience
	w.check()
	w.awaitCalls()
	w.checkIdle()
	if w.client != nil {
		w.endClient()
	} else {
		w.raw.conn.Close()
	}
	if w.srv != nil {
		w.endServer()
	}
	for _, call := range w.calls {
		call.cancel()
	}
	if w.raw != nil {
		w.raw.end()
	}
	for _, d := range w.wire {
		if d != nil {
			d.end()
		}
	}
	w.await("something of the program is left", testkit.WaitFor(w.actors.Wait))
	w.kept.check(w)
	stirPools(w)
}

// awaitCalls holds that all calls have ended, as all handlers return: with
// their answers, or with the connection.
func (w *progWorld) awaitCalls() {
	if w.raw != nil || w.is(&w.forged) {
		return
	}
	for _, call := range w.calls {
		if !w.await(fmt.Sprintf("B21: call %d has not ended", call.number), call.clientDone) {
			return
		}
	}
}

// checkIdle holds that a connection that nothing has disturbed still works
// after all that was done to it.
func (w *progWorld) checkIdle() {
	if w.kernel || w.client == nil || w.srv == nil || !w.flowing() || w.is(&w.draining) {
		return
	}
	call := newProgCall(w, progUnary, 0)
	close(call.sends)
	close(call.recvs)
	close(call.handler)
	call.start(10)
	w.check()
	w.mu.Lock()
	defer w.mu.Unlock()
	full := w.maxHandlers > 0 && status.Code(call.end) == codes.ResourceExhausted
	if !call.ended || call.end != nil && !full {
		w.Errorf("B41: a last call on the connection: ended %v, %v", call.ended, call.end)
	}
}

// endClient closes the client, after which all its calls have ended.
func (w *progWorld) endClient() {
	w.setDown(&w.clientClosed)
	w.client.Close()
	ended := testkit.WaitFor(func() {
		for _, call := range w.calls {
			<-call.clientDone
		}
	})
	if !w.await("B1: a call has not ended after Close", ended) {
		return
	}
	w.await("B12: UserOnCloseWait", testkit.WaitFor(func() { w.client.UserOnCloseWait(context.Background()) }))
	w.check()
	w.checkClean("the client", w.cconn)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.onClose != 1 {
		w.Errorf("B12: the function for the end ran %d times", w.onClose)
	}
	for _, call := range w.calls {
		if !call.ended {
			w.Errorf("B21: call %d has not ended", call.number)
		}
	}
	if err := w.bare(w.client.Call(context.Background(), "s", "m", new(wrapperspb.BytesValue), new(wrapperspb.BytesValue))); err != ErrClosed {
		w.Errorf("B1: a call after Close: %v", err)
	}
}

// endServer ends the server, whose peer has gone.
func (w *progWorld) endServer() {
	for _, d := range w.wire {
		if d != nil {
			d.cut(nil)
		}
	}
	idle := testkit.WaitFor(func() { w.srv.Shutdown(context.Background()) })
	w.advance(time.Minute)
	w.await("B25: Shutdown after the last connection has gone", idle)
	w.srv.Close()
	w.await("B24: Serve", testkit.WaitFor(func() {
		if err := <-w.served; err != ErrServerClosed {
			w.Errorf("B24: Serve returned %v", err)
		}
	}))
	w.endServe()
	w.check()
	w.checkClean("the server", w.sconn)
	if n := w.srv.countConnection(); n != 0 {
		w.Errorf("%d connections are left", n)
	}
}
