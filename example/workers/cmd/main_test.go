// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/workers"
	"github.com/containerd/ttrpc/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestDemo(t *testing.T) {
	p := program.Start(t)
	isOdd := func(line string) bool { // workers tell that there is no dispatcher yet
		return line != "" && !strings.Contains(line, "ttrpc: cannot connect")
	}
	if code := p.Wait(); code != 0 || slices.ContainsFunc(strings.Split(p.Stderr(), "\n"), isOdd) {
		t.Fatalf("exits with %d and prints:\n%s%s", code, p.Stdout(), p.Stderr())
	}
	want := map[string]int{
		"dispatcher: stopped\n":             2,
		"demo: restarting the dispatcher\n": 1,
		"demo: all 9 jobs are done\n":       1,
	}
	for _, job := range jobs {
		want[": begins "+job+"\n"] = 1
		want[": has done "+job+"\n"] = 1
		want["demo: "+job+" was done by "] = 1
	}
	for text, want := range want {
		if n := strings.Count(p.Stdout(), text); n != want {
			t.Errorf("B53, B54: %q is printed %d times, want %d:\n%s", text, n, want, p.Stdout())
		}
	}
}

// A pool is a dispatcher and those who work for it and have jobs, each a process, except
// the tests themselves, which have jobs as well.
type pool struct {
	t          *testing.T
	address    string
	dispatcher *program.Process
	workers.DispatcherClient
}

// newPool returns when all workers are there.
func newPool(t *testing.T, names ...string) (p *pool, started []*program.Process) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ttrpc") // t.TempDir's may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p = &pool{t: t, address: filepath.Join(dir, "s")}
	p.startDispatcher()
	for _, name := range names {
		started = append(started, program.Start(t, "worker", p.address, name))
		p.dispatcher.Await(t, name+" has come")
	}
	client, err := ttrpc.Dial("unix:"+p.address, ttrpc.WithExtensions())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	p.DispatcherClient = workers.NewDispatcherClient(client)
	return p, started
}

func (p *pool) startDispatcher() {
	p.t.Helper()
	p.dispatcher = program.Start(p.t, "dispatcher", p.address)
	p.dispatcher.Await(p.t, "listening")
}

// longSteps is how many steps a job has that cannot end before its progress is received:
// the windows of the two streams on its way have room for 1,000 each.
const longSteps = 5_000

// begin submits a job that cannot end before its progress is received, and returns when
// it has been begun.
func (p *pool) begin(ctx context.Context, name string) workers.Dispatcher_SubmitClient {
	p.t.Helper()
	stream, err := p.Submit(ctx, &workers.Job{Name: name, Steps: longSteps})
	if err == nil {
		_, err = stream.Recv()
	}
	if err != nil {
		p.t.Fatalf("%s: %v", name, err)
	}
	return stream
}

// receive receives progress up to the end, and returns how much that was.
func receive(stream workers.Dispatcher_SubmitClient) (n int, err error) {
	for ; ; n++ {
		if _, err := stream.Recv(); err != nil {
			return n, err
		}
	}
}

// submit has a short job done.
func (p *pool) submit(name string) (by string) {
	p.t.Helper()
	by, err := submit(context.Background(), p, &workers.Job{Name: name, Steps: 3}, func() {})
	if err != nil {
		p.t.Errorf("%s: %v", name, err)
	}
	return by
}

// interrupt ends a process, which must take that in order.
func interrupt(t *testing.T, p *program.Process) {
	t.Helper()
	p.Signal(t, os.Interrupt)
	if code := p.Wait(); code != 0 {
		t.Errorf("an interrupted process exits with %d, and has printed:\n%s%s", code, p.Stdout(), p.Stderr())
	}
}

func TestRestart(t *testing.T) {
	p, ws := newPool(t, "anna")
	stream := p.begin(context.Background(), "long")
	waiting := make(chan string)
	go func() { waiting <- p.submit("short") }()
	old := p.dispatcher
	old.Await(t, "short is submitted")

	old.Signal(t, os.Interrupt)
	old.Await(t, "stopping")
	if n, err := receive(stream); err != io.EOF || n != longSteps-1 {
		t.Errorf("B53: a job that was begun made %d more steps and ended with %v", n, err)
	}
	if code := old.Wait(); code != 0 {
		t.Errorf("the old dispatcher exits with %d: %s", code, old.Stderr())
	}
	p.startDispatcher()
	if by := <-waiting; by != "anna" {
		t.Errorf("B54: the job that waited was done by %q", by)
	}
	interrupt(t, ws[0])
	interrupt(t, p.dispatcher)
	for _, line := range []string{"the dispatcher said goodbye", "begins long", "has done long", "begins short", "has done short"} {
		if n := strings.Count(ws[0].Stdout(), "anna: "+line+"\n"); n != 1 {
			t.Errorf("B53, B54: %q was printed %d times:\n%s", line, n, ws[0].Stdout())
		}
	}
}

func TestDispatcherKilled(t *testing.T) {
	p, ws := newPool(t, "anna")
	stream := p.begin(context.Background(), "long")
	p.dispatcher.Signal(t, os.Kill)
	if _, err := receive(stream); !errors.Is(err, ttrpc.ErrClosed) {
		t.Errorf("B54: a job lost with the dispatcher ended with %v", err)
	}
	ws[0].Await(t, "gives up long")
	p.startDispatcher()
	if by := p.submit("short"); by != "anna" {
		t.Errorf("B54: the job after that was done by %q", by)
	}
}

func TestWorkerKilled(t *testing.T) {
	p, ws := newPool(t, "anna")
	stream := p.begin(context.Background(), "long")
	waiting := make(chan string)
	go func() { waiting <- p.submit("short") }()
	p.dispatcher.Await(t, "short is submitted")
	ws[0].Signal(t, os.Kill)
	if _, err := receive(stream); status.Code(err) != codes.Aborted {
		t.Errorf("a job lost with its worker ended with %v", err)
	}
	p.dispatcher.Await(t, "anna has gone")
	program.Start(t, "worker", p.address, "ben")
	if by := <-waiting; by != "ben" {
		t.Errorf("the job that waited was done by %q", by)
	}
}

func TestWorkerLeaves(t *testing.T) {
	p, ws := newPool(t, "anna")
	stream := p.begin(context.Background(), "long")
	ws[0].Signal(t, syscall.SIGTERM)
	program.Start(t, "worker", p.address, "ben")
	if by := p.submit("short"); by != "ben" {
		t.Errorf("the next job was done by %q", by)
	}
	if n, err := receive(stream); err != io.EOF || n != longSteps-1 {
		t.Errorf("B53: the job of the worker that leaves made %d more steps and ended with %v", n, err)
	}
	if code := ws[0].Wait(); code != 0 || !strings.Contains(ws[0].Stdout(), "anna: leaves\n") {
		t.Errorf("the worker exits with %d and has printed:\n%s", code, ws[0].Stdout())
	}
}

func TestGivenUp(t *testing.T) {
	p, ws := newPool(t, "anna")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := p.Submit(ctx, &workers.Job{Name: "long", Steps: 1, Step: durationpb.New(1000 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	ws[0].Await(t, "begins long")
	cancel()
	ws[0].Await(t, "gives up long")
	if _, err := stream.Recv(); !errors.Is(err, context.Canceled) {
		t.Errorf("B47: a job that was given up ended with %v", err)
	}
	if by := p.submit("short"); by != "anna" {
		t.Errorf("the next job was done by %q", by)
	}
}

func TestSubmit(t *testing.T) {
	p, _ := newPool(t, "anna", "ben")
	s := program.Start(t, "submit", p.address, "x", "y", "z")
	if code := s.Wait(); code != 0 {
		t.Errorf("exits with %d: %s", code, s.Stderr())
	}
	lines := strings.Split(strings.TrimSpace(s.Stdout()), "\n")
	slices.Sort(lines)
	for i, line := range lines {
		if want := "submit: " + string("xyz"[i]) + " was done by "; !strings.HasPrefix(line, want) {
			t.Errorf("%q is printed, want %q", line, want)
		}
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"elsewhere"}, {"dispatcher"}, {"worker", "a"}, {"submit", "a"}} {
		p := program.Start(t, args...)
		if code := p.Wait(); code != 2 || !strings.Contains(p.Stderr(), "usage:") {
			t.Errorf("%q: exits with %d and prints %q", args, code, p.Stderr())
		}
	}
	p := program.Start(t, "dispatcher", filepath.Join(t.TempDir(), "missing", "s"))
	if code := p.Wait(); code != 1 || !strings.Contains(p.Stderr(), "no such file") {
		t.Errorf("exits with %d and prints %q", code, p.Stderr())
	}
}
