// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestDemo(t *testing.T) {
	p := program.Start(t)
	if code := p.Wait(); code != 0 || p.Stderr() != "" {
		t.Fatalf("exits with %d and prints:\n%s%s", code, p.Stdout(), p.Stderr())
	}
	want := ""
	for _, network := range []string{"unix", "tcp"} {
		want += fmt.Sprintf("this was typed for %[1]s\ndemo: over %[1]s cat exits with 0\nsomething is wrong\ndemo: over %[1]s sh exits with 3\n", network)
	}
	if want += "demo: all commands have run\n"; p.Stdout() != want {
		t.Errorf("L13: the demo prints %q, want %q", p.Stdout(), want)
	}
}

// startServer returns where the server listens.
func startServer(t *testing.T, address string) (p *program.Process, at string) {
	t.Helper()
	p = program.Start(t, "serve", address)
	p.Await(t, "listening on ")
	_, at, _ = strings.Cut(strings.TrimSpace(p.Stdout()), "listening on ")
	return p, at
}

// onBoth runs a test with a server over a unix socket, and one over TCP.
func onBoth(t *testing.T, test func(t *testing.T, server *program.Process, address string)) {
	t.Run("unix", func(t *testing.T) {
		dir, err := os.MkdirTemp("", "ttrpc") // t.TempDir's may be too long for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		p, at := startServer(t, "unix:"+filepath.Join(dir, "s"))
		test(t, p, at)
	})
	t.Run("tcp", func(t *testing.T) {
		p, at := startServer(t, "tcp:127.0.0.1:0")
		test(t, p, at)
	})
}

// runs has a command run with that input, and returns what it has written, and the inode of what it
// writes to.
func runs(t *testing.T, address, input string, args ...string) (output []byte, inode uint64, code int, err error) {
	t.Helper()
	in, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, printed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	info, err := printed.Stat()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		io.WriteString(typed, input)
		typed.Close()
	}()
	all := make(chan []byte)
	go func() {
		output, _ := io.ReadAll(out)
		all <- output
	}()
	code, err = runAt(context.Background(), address, args, stdio{in, printed, printed})
	printed.Close()
	return <-all, info.Sys().(*syscall.Stat_t).Ino, code, err
}

func TestInputAndOutput(t *testing.T) {
	onBoth(t, func(t *testing.T, _ *program.Process, address string) {
		input := strings.Repeat("0123456789abcdef", 100_000)
		output, _, code, err := runs(t, address, input, "cat")
		if err != nil || code != 0 || string(output) != input {
			t.Errorf("L3, L4: cat exits with %d, %v, and prints %d bytes of %d", code, err, len(output), len(input))
		}
		output, _, code, err = runs(t, address, "", "sh", "-c", "exit 7")
		if err != nil || code != 7 || len(output) > 0 {
			t.Errorf("exits with %d, %v, and prints %q", code, err, output)
		}
	})
}

// TestDescriptors holds that a command has the very file over a unix socket, and only there.
func TestDescriptors(t *testing.T) {
	onBoth(t, func(t *testing.T, _ *program.Process, address string) {
		output, inode, _, err := runs(t, address, "", "stat", "-L", "-c", "%i", "/proc/self/fd/1")
		isSame := string(bytes.TrimSpace(output)) == fmt.Sprint(inode)
		if want := strings.HasPrefix(address, "unix:"); err != nil || isSame != want {
			t.Errorf("L4: the output's inode is %s, %v, and that of ours %d", output, err, inode)
		}
	})
}

func TestNoCommand(t *testing.T) {
	onBoth(t, func(t *testing.T, _ *program.Process, address string) {
		_, _, _, err := runs(t, address, "", "/no/such/command")
		if status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "/no/such/command") {
			t.Errorf("L6: a command that is none ends with %v", err)
		}
	})
}

func TestGivenUp(t *testing.T) {
	onBoth(t, func(t *testing.T, server *program.Process, address string) {
		for _, signal := range []os.Signal{os.Interrupt, os.Kill} {
			p := program.Start(t, "run", address, "sh", "-c", "echo begun; exec sleep 1000")
			p.Await(t, "begun")
			p.Signal(t, signal)
			server.Await(t, "the command was given up")
			if code := p.Wait(); code == 0 {
				t.Error("who has given its command up exits with success")
			}
		}
	})
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"serve"}, {"run", "x"}, {"play"}} {
		p := program.Start(t, args...)
		if code := p.Wait(); code != 2 || !strings.HasPrefix(p.Stderr(), "usage:") {
			t.Errorf("%q exits with %d and prints %q", args, code, p.Stderr())
		}
	}
}
