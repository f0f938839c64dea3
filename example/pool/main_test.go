// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/program"
	"github.com/containerd/ttrpc/libchan"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestDemo(t *testing.T) {
	p := program.Start(t)
	if code := p.Wait(); code != 0 {
		t.Fatalf("exits with %d and prints:\n%s%s", code, p.Stdout(), p.Stderr())
	}
	want := map[string]int{
		"demo: all 9 jobs are done\n":  1,
		"demo: asking anna to leave\n": 1,
		"anna: leaves\n":               1,
		"pool: stopped\n":              1,
	}
	for _, job := range jobNames {
		want[": begins "+job+"\n"] = 1
		want[": has done "+job+"\n"] = 1
		want["demo: "+job+" was done by "] = 1
	}
	for text, want := range want {
		if n := strings.Count(p.Stdout(), text); n != want {
			t.Errorf("L13: %q is printed %d times, want %d:\n%s", text, n, want, p.Stdout())
		}
	}
}

// A group is a pool and its workers, each a process; the tests themselves have jobs.
type group struct {
	t       *testing.T
	address string
	pool    *program.Process
	jobs    libchan.SendChan[Job]
	session *libchan.Session
}

// newGroup returns when the pool listens and its workers are there.
func newGroup(t *testing.T, names ...string) (g *group, workers []*program.Process) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ttrpc") // t.TempDir's may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	g = &group{t: t, address: filepath.Join(dir, "s")}
	g.startPool()
	for _, name := range names {
		workers = append(workers, g.startWorker(name))
	}
	return g, workers
}

func (g *group) startWorker(name string) *program.Process {
	g.t.Helper()
	w := program.Start(g.t, "work", g.address, name)
	w.Await(g.t, "connected")
	return w
}

// startPool starts a pool, and begins a session with it.
func (g *group) startPool() {
	g.t.Helper()
	g.pool = program.Start(g.t, "serve", g.address)
	g.pool.Await(g.t, "listening")
	client, err := ttrpc.Dial("unix:"+g.address, libchan.WithSessions())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { client.Close() })
	if g.session, err = libchan.Over(client); err != nil {
		g.t.Fatal(err)
	}
	s, err := g.session.OpenChannel(context.Background(), jobsChannel)
	if err != nil {
		g.t.Fatal(err)
	}
	g.jobs = libchan.Of[Job](s)
}

// manySteps is how many steps a job has that cannot end before its results are received: the
// channel holds one, and the streams on the way what fits into their windows.
const manySteps = 1_000_000

// begin submits a job that cannot end soon, and returns when it has been begun.
func (g *group) begin(name string) (results libchan.RecvChan[Result], by string) {
	g.t.Helper()
	results, out := libchan.Make[Result](1)
	if err := g.jobs.Send(context.Background(), Job{Name: name, Steps: manySteps, Results: out}); err != nil {
		g.t.Fatal(err)
	}
	first, err := results.Receive(context.Background())
	if err != nil {
		g.t.Fatalf("%s: %v", name, err)
	}
	return results, first.Worker
}

// submit has a short job done.
func (g *group) submit(name string) (by string) {
	g.t.Helper()
	by, err := submit(context.Background(), g.jobs, Job{Name: name, Steps: 3}, func() {})
	if err != nil {
		g.t.Errorf("%s: %v", name, err)
	}
	return by
}

func TestWorkerKilled(t *testing.T) {
	g, ws := newGroup(t, "anna")
	results, by := g.begin("long")
	if by != "anna" {
		t.Errorf("the job is done by %q", by)
	}
	ws[0].Signal(t, os.Kill)
	err := receive(context.Background(), results, func(Result) {})
	if !errors.Is(err, libchan.ErrSessionEnded) {
		t.Errorf("L5, L6: a job that was lost with its worker ends with %v", err)
	}
	g.startWorker("ben")
	if by := g.submit("short"); by != "ben" {
		t.Errorf("the job after that was done by %q", by)
	}
}

func TestPoolKilled(t *testing.T) {
	g, ws := newGroup(t, "anna")
	results, _ := g.begin("long")
	g.pool.Signal(t, os.Kill)
	err := receive(context.Background(), results, func(Result) {})
	if !errors.Is(err, libchan.ErrSessionEnded) {
		t.Errorf("L6: a job that was lost with the pool ends with %v", err)
	}
	ws[0].Await(t, "gives up long")
	g.startPool()
	ws[0].Await(t, "connected")
	if by := g.submit("short"); by != "anna" {
		t.Errorf("the job after that was done by %q", by)
	}
}

func TestGivenUp(t *testing.T) {
	g, ws := newGroup(t, "anna")
	results, _ := g.begin("long")
	results.Cancel(errors.New("not wanted any more"))
	ws[0].Await(t, "gives up long: not wanted any more")
	if by := g.submit("short"); by != "anna" {
		t.Errorf("the next job was done by %q", by)
	}
}

func TestNames(t *testing.T) {
	g, _ := newGroup(t)
	s, err := g.session.OpenChannel(context.Background(), "secrets")
	if err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	if err := s.Cause(); status.Code(err) != codes.NotFound {
		t.Errorf("a channel that the pool does not have ends with %v", err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"serve"}, {"work", "x"}, {"submit", "x"}, {"play"}} {
		p := program.Start(t, args...)
		if code := p.Wait(); code != 2 || !strings.HasPrefix(p.Stderr(), "usage:") {
			t.Errorf("%q exits with %d and prints %q", args, code, p.Stderr())
		}
	}
}
