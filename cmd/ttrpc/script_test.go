// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/testpeer"
	"github.com/containerd/ttrpc/health"
	"github.com/containerd/ttrpc/internal/leak"
	"github.com/containerd/ttrpc/reflection"
)

func TestMain(m *testing.M) {
	testscript.Main(withLeakCheck{m}, map[string]func(){"ttrpc": main})
}

// withLeakCheck runs tests and looks for what they leave behind.
type withLeakCheck struct{ m *testing.M }

func (l withLeakCheck) Run() int { return leak.Check(l.m) }

// TestScripts runs the scripts of testdata/script. Each has the command ttrpc, and in the
// environment the addresses of servers with the service demo.Greeter of $PROTO/demo.proto:
//
//	$OURS      this library, in extended mode, with reflection and health
//	$RELEASED  v1.2.10
//	$RUST      in a script that says [!rust] skip: the crate ttrpc, with compat.Peer of
//	           $PROTO/compat.proto
//
// $SOCKETS is an empty directory whose path is short enough for sockets. The commands are
// those of package testscript, and
//
//	ends CODE COMMAND...   run a command, which has to end with a code
//	await ADDRESS          wait until a server answers there, which runs in the background
func TestScripts(t *testing.T) {
	peers := startPeers(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			switch name {
			case "rust":
				return peers.rust != "", nil
			case "ci":
				return os.Getenv("CI") == "true", nil
			}
			return false, fmt.Errorf("there is no condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"await": await, "ends": ends},
		Setup: func(e *testscript.Env) error {
			proto, err := filepath.Abs("testdata/proto")
			if err != nil {
				return err
			}
			sockets, err := os.MkdirTemp("", "s")
			if err != nil {
				return err
			}
			e.Defer(func() { os.RemoveAll(sockets) })
			e.Setenv("OURS", peers.ours)
			e.Setenv("RELEASED", peers.released)
			e.Setenv("RUST", peers.rust)
			e.Setenv("PROTO", proto)
			e.Setenv("SOCKETS", sockets)
			e.Setenv("GORACE", "atexit_sleep_ms=0") // a second by default
			return nil
		},
	})
}

// ends runs a command.
func ends(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: ends CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("it ends with %d, want %s", code, args[0])
	}
}

// await waits for a server. There is no event to wait for.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await ADDRESS")
	}
	path := strings.TrimPrefix(args[0], "unix:")
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := ttrpc.DialAddress(context.Background(), "unix:"+path)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("nobody listens: %v", err)
		}
	}
}

// peers are the addresses of the servers that scripts talk to.
type peers struct{ ours, released, rust string }

func startPeers(t *testing.T) *peers {
	dir, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program := filepath.Join(dir, "program")
	build(t, ".", "go", "build", "-modfile=released.mod", "-o", program, "./internal/testpeer/released")
	p := &peers{
		ours:     startOurs(t, filepath.Join(dir, "ours")),
		released: startProcess(t, program, filepath.Join(dir, "released")),
	}
	if program := buildRust(t); program != "" {
		p.rust = startProcess(t, program, "server", filepath.Join(dir, "rust"))
	}
	return p
}

// startOurs serves in this process.
func startOurs(t *testing.T, path string) string {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		t.Fatal(err)
	}
	testpeer.Register(server)
	health.New().Register(server)
	reflection.Register(server)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; !errors.Is(err, ttrpc.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return "unix:" + path
}

// startProcess starts a server that prints a line when it listens on its last argument.
func startProcess(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Process.Kill(); cmd.Wait() })
	if _, err := stdout.Read(make([]byte, 64)); err != nil {
		t.Fatalf("%s has not begun: %v", program, err)
	}
	return "unix:" + args[len(args)-1]
}

// build runs a compiler.
func build(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// buildRust builds a peer of integration/compat, where that tells what it needs, and returns
// its path, or "" if cargo or the crate are not there. In continuous integration they are.
func buildRust(t *testing.T) string {
	_, err := exec.LookPath("cargo")
	if err == nil {
		_, err = os.Stat("/usr/share/cargo/registry/ttrpc-0.5.2")
	}
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	if err != nil {
		t.Logf("NOT TESTED against a peer in Rust: %v", err)
		return ""
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(cache, "ttrpc-compat-rust")
	build(t, "../../integration/compat/rust", "cargo", "build", "--locked", "--target-dir", target)
	return filepath.Join(target, "debug", "rust-sync")
}
