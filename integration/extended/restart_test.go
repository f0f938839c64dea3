// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

const (
	restarts       = 20
	restartCallers = 64
	largeEvery     = 15 // calls have a request that is sent in parts
)

var largeRest = strings.Repeat(" ", 150_000)

// TestRestartedInOrder has servers shut down: callers notice nothing.
func TestRestartedInOrder(t *testing.T) {
	r := newRestartRun(t, syscall.SIGTERM)
	r.mustEnd(t, func(c restartCall) bool { return c.err == nil && c.runs == 1 })
}

// TestRestartedInOrderFailFast has calls fail rather than wait for the next server.
func TestRestartedInOrderFailFast(t *testing.T) {
	r := newRestartRun(t, syscall.SIGTERM, ttrpc.WithDialer(ttrpc.Dialer{FailFast: true}))
	r.mustEnd(t, func(c restartCall) bool {
		return c.err == nil && c.runs == 1 || c.isRefused() && c.runs == 0
	})
}

// TestRestartedByKill kills servers. Of the calls that are lost with them, those that
// may run twice are made again.
func TestRestartedByKill(t *testing.T) {
	r := newRestartRun(t, syscall.SIGKILL)
	r.repeats = true
	var unanswered int
	r.mustEnd(t, func(c restartCall) bool {
		switch {
		case c.repeatable:
			unanswered += c.runs - 1
			return c.err == nil && c.runs >= 1
		case c.isLost():
			unanswered += c.runs
			return c.runs <= 1
		}
		return c.err == nil && c.runs == 1
	})
	if unanswered < restarts*heldCalls {
		t.Errorf("%d times a call ran and was not answered; the servers held %d when they were killed", unanswered, restarts*heldCalls)
	}
}

// A restartRun is a client that is called while one server follows the other.
type restartRun struct {
	*ttrpc.Client
	address  string
	signal   syscall.Signal // ends servers
	repeats  bool           // every second call may run twice
	left     chan error     // why connections were left, if SIGTERM ends servers
	over     chan struct{}  // closed when all servers have been restarted
	lastID   atomic.Int64
	attempts atomic.Int64

	mu    sync.Mutex
	calls []restartCall // that have ended
}

// A restartCall is what became of a call.
type restartCall struct {
	id         string
	repeatable bool
	err        error
	runs       int // in all servers
}

// isRefused tells whether the error says that the call has not run.
func (c *restartCall) isRefused() bool {
	return errors.Is(c.err, ttrpc.ErrNotExecuted) && status.Code(c.err) == codes.Unavailable
}

// isLost tells whether the error says that nobody knows.
func (c *restartCall) isLost() bool {
	return errors.Is(c.err, ttrpc.ErrClosed) && status.Code(c.err) == codes.Unavailable &&
		strings.Contains(c.err.Error(), "may or may not have run")
}

func newRestartRun(t *testing.T, signal syscall.Signal, opts ...ttrpc.ClientOpts) *restartRun {
	t.Helper()
	t.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0") // else each server's end takes a second
	r := &restartRun{
		address: socketPath(t),
		signal:  signal,
		left:    make(chan error, 2*restarts),
		over:    make(chan struct{}),
	}
	var err error
	r.Client, err = ttrpc.Dial("unix:"+r.address, append(opts,
		ttrpc.WithExtensions(),
		ttrpc.WithClientTrace(&ttrpc.Trace{Call: r.attempted}),
		ttrpc.WithDialer(ttrpc.Dialer{
			Backoff: ttrpc.Backoff{Min: time.Millisecond, Max: 10 * time.Millisecond},
			Events:  r.connectionChanged,
		}),
	)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); <-r.Done() })
	return r
}

func (r *restartRun) attempted(c ttrpc.CallInfo) func(error) {
	if c.FullMethod == "/"+serviceName+"/Run" {
		r.attempts.Add(1)
	}
	return nil
}

func (r *restartRun) connectionChanged(e ttrpc.ConnectionEvent) {
	if e.Kind == ttrpc.EventDisconnected && r.signal == syscall.SIGTERM {
		r.left <- e.Err
	}
}

// mustEnd has the callers make calls while servers are restarted. What became of each
// call must be allowed.
func (r *restartRun) mustEnd(t *testing.T, allowed func(restartCall) bool) {
	t.Helper()
	var callers sync.WaitGroup
	for range restartCallers {
		callers.Add(1)
		go func() {
			defer callers.Done()
			r.makeCalls()
		}()
	}
	last := r.restart(t)
	last.tell(t, "open")
	callers.Wait()
	last.kill()

	runs := readLedger(t, r.address)
	var answered, lost, refused, twice int
	var wrong []restartCall
	for _, c := range r.calls {
		c.runs = runs[c.id]
		switch {
		case c.err == nil:
			answered++
		case c.isLost():
			lost++
		case c.isRefused():
			refused++
		}
		if c.runs > 1 {
			twice++
		}
		if !allowed(c) {
			wrong = append(wrong, c)
		}
	}
	t.Logf("%d restarts, %d calls: %d answered, %d lost, %d refused; %d attempts; %d ran more than once",
		restarts, len(r.calls), answered, lost, refused, r.attempts.Load(), twice)
	if len(wrong) > 0 {
		c := wrong[0]
		t.Errorf("B54: %d calls ended as they must not: the first, repeatable %v, ran %d times and returned %v", len(wrong), c.repeatable, c.runs, c.err)
	}
}

// makeCalls makes one call after the other.
func (r *restartRun) makeCalls() {
	for {
		select {
		case <-r.over:
			return
		default:
		}
		n := r.lastID.Add(1)
		c := restartCall{id: strconv.FormatInt(n, 10), repeatable: r.repeats && n%2 == 0}
		ctx := context.Background()
		if c.repeatable {
			ctx = ttrpc.Repeatable(ctx)
		}
		arg := c.id
		if n%largeEvery == 0 {
			arg += largeRest
		}
		var answer string
		if answer, c.err = ask(ctx, r.Client, "Run", arg); c.err == nil && answer != c.id {
			c.err = errors.New("the answer is that of call " + answer)
		}
		r.mu.Lock()
		r.calls = append(r.calls, c)
		r.mu.Unlock()
		if c.isRefused() {
			r.Extended(ctx) // waits until there is a connection
		}
	}
}

// restart has one server follow the other and returns the last one. Every second listens
// while the old one does, which goes on with what it has begun when the new one serves.
func (r *restartRun) restart(t *testing.T) *process {
	t.Helper()
	defer close(r.over)
	p := r.startServer(t)
	p.await(t, "due")
	for i := range restarts {
		old := p
		if i%2 == 0 {
			r.end(t, old)
			r.mustHaveEnded(t, old)
			p = r.startServer(t)
			p.await(t, "due")
		} else {
			p = r.startServer(t)
			r.end(t, old)
			p.await(t, "due")
			r.mustHaveEnded(t, old)
		}
	}
	return p
}

func (r *restartRun) startServer(t *testing.T) *process {
	t.Helper()
	p := startProcess(t, notes, "", r.address)
	p.await(t, "ready")
	return p
}

// end has a server killed, or say goodbye: its end then waits for its gate.
func (r *restartRun) end(t *testing.T, p *process) {
	t.Helper()
	if err := p.cmd.Process.Signal(r.signal); err != nil {
		t.Fatal(err)
	}
	if r.signal == syscall.SIGKILL {
		return
	}
	if err := <-r.left; err != nil {
		t.Fatalf("B53: a connection has ended without a goodbye: %v", err)
	}
}

// mustHaveEnded waits for the end of a server, and before lets it answer what it has.
func (r *restartRun) mustHaveEnded(t *testing.T, p *process) {
	t.Helper()
	if r.signal == syscall.SIGKILL {
		p.kill()
		return
	}
	p.tell(t, "open")
	p.await(t, "shutdown: <nil>")
	for range p.lines {
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("a server has ended with %v: %s", err, p.stderr.String())
	}
}
