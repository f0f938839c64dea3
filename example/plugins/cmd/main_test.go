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
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/plugins"
	"github.com/containerd/ttrpc/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestDemo(t *testing.T) {
	p := program.Start(t)
	if code := p.Wait(); code != 0 { // plugins that are there before the host warn of that
		t.Fatalf("exits with %d and prints:\n%s%s", code, p.Stdout(), p.Stderr())
	}
	for text, want := range map[string]int{
		"host: stopped\n":                       2,
		"host: anna is registered\n":            2,
		"host: ben is registered\n":             2,
		"demo: c1 has [anna=north ben=north]\n": 1,
		"demo: c2 has [anna=north ben=north]\n": 1,
	} {
		if n := strings.Count(p.Stdout(), text); n != want {
			t.Errorf("B50, B54: %q is printed %d times, want %d:\n%s", text, n, want, p.Stdout())
		}
	}
}

// A world is a host, and the tests as a client of it.
type world struct {
	t       *testing.T
	address string
	host    *program.Process
	plugins.HostService
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "ttrpc") // t.TempDir's may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{t: t, address: filepath.Join(dir, "s")}
	w.startHost()
	client, err := ttrpc.Dial("unix:" + w.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	w.HostService = plugins.NewHostClient(client)
	return w
}

func (w *world) startHost() {
	w.t.Helper()
	w.host = program.Start(w.t, "host", w.address)
	w.host.Await(w.t, "listening")
}

func (w *world) startPlugin(name string) *program.Process {
	w.t.Helper()
	p := program.Start(w.t, "plugin", w.address, name)
	w.host.Await(w.t, name+" is registered")
	return p
}

// created holds what a new container has.
func (w *world) created(want string) {
	w.t.Helper()
	c, err := w.Create(context.Background(), &plugins.Container{Name: "c"})
	if got := strings.Join(c.GetEnv(), " "); err != nil || got != want {
		w.t.Errorf("B50: a container has %q and %v, want %q", got, err, want)
	}
}

// interrupt ends a process, which must take that in order.
func interrupt(t *testing.T, p *program.Process) {
	t.Helper()
	p.Signal(t, os.Interrupt)
	if code := p.Wait(); code != 0 {
		t.Errorf("an interrupted process exits with %d, and has printed:\n%s%s", code, p.Stdout(), p.Stderr())
	}
}

func TestHostKilled(t *testing.T) {
	w := newWorld(t)
	anna := w.startPlugin("anna")
	w.created("anna=north")
	w.host.Signal(t, os.Kill)
	w.host.Wait()
	anna.Await(t, "disconnected")
	w.startHost()
	w.host.Await(t, "anna is registered")
	w.created("anna=north")
	interrupt(t, anna)
	interrupt(t, w.host)
}

func TestHostRestarted(t *testing.T) {
	w := newWorld(t)
	anna := w.startPlugin("anna")
	interrupt(t, w.host)
	w.startHost()
	w.host.Await(t, "anna is registered")
	w.created("anna=north")
	interrupt(t, anna)
	w.host.Await(t, "anna has gone")
	w.created("")
}

func TestPluginKilled(t *testing.T) {
	w := newWorld(t)
	anna := w.startPlugin("anna")
	w.startPlugin("ben")
	w.created("anna=north ben=north")
	anna.Signal(t, syscall.SIGKILL)
	w.host.Await(t, "anna has gone")
	w.created("ben=north")
	w.startPlugin("anna")
	w.created("anna=north ben=north")
}

// TestClassic: who does not ask for the extended mode can use the host, but be no plugin.
func TestClassic(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Register(context.Background(), &plugins.Registration{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a plugin without a name: %v", err)
	}
	if _, err := w.Setting(context.Background(), &plugins.Key{Name: "none"}); status.Code(err) != codes.NotFound {
		t.Errorf("a setting that there is not: %v", err)
	}
	if _, err := w.Register(context.Background(), &plugins.Registration{Name: "classic"}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("B50: a classic plugin: %v", err)
	}
	w.created("")
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"elsewhere"}, {"host"}, {"plugin", "a"}, {"create", "a"}} {
		p := program.Start(t, args...)
		if code := p.Wait(); code != 2 || !strings.Contains(p.Stderr(), "usage:") {
			t.Errorf("%q: exits with %d and prints %q", args, code, p.Stderr())
		}
	}
	p := program.Start(t, "host", filepath.Join(t.TempDir(), "missing", "s"))
	if code := p.Wait(); code != 1 || !strings.Contains(p.Stderr(), "no such file") {
		t.Errorf("exits with %d and prints %q", code, p.Stderr())
	}
	if err := runPlugin(context.Background(), "", "", nil); err == nil || errors.Is(err, ttrpc.ErrClosed) {
		t.Errorf("a plugin of no address: %v", err)
	}
}

// TestHowTo holds that docs/plugins.md shows the code of this program.
func TestHowTo(t *testing.T) {
	var code string
	for _, name := range []string{"docs/plugins.md", "example/plugins/cmd/host.go", "example/plugins/cmd/plugin.go"} {
		text, err := os.ReadFile(filepath.Join("../../..", name))
		if err != nil {
			t.Fatal(err)
		}
		code += string(text)
	}
	howTo, code, _ := strings.Cut(code, "// Copyright")
	blocks := strings.Split(howTo, "```go\n")[1:]
	if len(blocks) < 5 {
		t.Errorf("docs/plugins.md has %d pieces of code", len(blocks))
	}
	for _, block := range blocks {
		if block, _, _ := strings.Cut(block, "```"); !strings.Contains(code, block) {
			t.Errorf("docs/plugins.md shows code that is not in the program:\n%s", block)
		}
	}
}
