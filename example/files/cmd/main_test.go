// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/files"
	"github.com/containerd/ttrpc/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

const wantSteps = `a pipe goes with a request, a report comes with its answer:
  $ echo hello; echo sorry >&2; exit 3
  it wrote:  hello
  exit code: 3
  report:    sorry, exit status 3, having computed for TIME
what goes through the pipe does not go through the connection:
  $ head -c 10000000 /dev/zero
  it wrote:  10000000 bytes
  exit code: 0
  report:    exit status 0, having computed for TIME
a terminal goes with a message of a stream:
  $ test -t 1 && echo this is a terminal
  it wrote:  this is a terminal
  exit code: 0
  report:    exit status 0, having computed for TIME
a pipe goes with the next:
  $ test -t 1 || echo this is none
  it wrote:  this is none
  exit code: 0
  report:    exit status 0, having computed for TIME
`

var computed = regexp.MustCompile(`computed for \S+`)

// wantDone waits for a process, which must print want and nothing else.
func wantDone(t *testing.T, p *program.Process, want string) {
	t.Helper()
	code := p.Wait()
	if got := computed.ReplaceAllString(p.Stdout(), "computed for TIME"); code != 0 || got != want || p.Stderr() != "" {
		t.Errorf("exits with %d and prints:\n%s%s\nwant:\n%s", code, got, p.Stderr(), want)
	}
}

func TestDemo(t *testing.T) { wantDone(t, program.Start(t), wantSteps) }

// startServer returns when the server listens.
func startServer(t *testing.T) (server *program.Process, address string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ttrpc") // t.TempDir's may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	address = filepath.Join(dir, "s")
	server = program.Start(t, "server", address)
	server.Await(t, "listening on "+address)
	return server, address
}

func newClient(t *testing.T, address string, opts ...ttrpc.ClientOpts) files.ExecClient {
	t.Helper()
	conn, err := net.Dial("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn, opts...)
	t.Cleanup(func() { client.Close() })
	return files.NewExecClient(client)
}

func TestHalvesApart(t *testing.T) {
	server, address := startServer(t)
	wantDone(t, program.Start(t, "client", address), wantSteps)
	server.Signal(t, os.Interrupt)
	if code := server.Wait(); code != 0 {
		t.Errorf("the server exits with %d: %s", code, server.Stderr())
	}
}

// null opens a file for commands to write into.
func null(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestReportIsSealed(t *testing.T) {
	_, address := startServer(t)
	exec := newClient(t, address, withFiles()...)
	_, reports, err := callRunner(context.Background(), exec)(&files.Command{Args: []string{"true"}}, null(t))
	if err != nil || len(reports) != 1 {
		t.Fatalf("B51: %d files came back, and the error %v", len(reports), err)
	}
	defer reports[0].Close()
	if _, err := reports[0].WriteAt([]byte("x"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("writing into a report: %v, want %v", err, unix.EPERM)
	}
}

// TestNothingLeaks lets the server have few files open at once. It must not keep those
// of calls that have ended, with success or not.
func TestNothingLeaks(t *testing.T) {
	server, address := startServer(t)
	few := &unix.Rlimit{Cur: 40, Max: 40}
	if err := unix.Prlimit(server.PID(), unix.RLIMIT_NOFILE, few, nil); err != nil {
		t.Fatal(err)
	}
	exec := newClient(t, address, withFiles()...)
	stdout := null(t)
	stream, err := exec.RunAll(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	runners := []runner{callRunner(context.Background(), exec), streamRunner(stream)}
	for i := range 60 {
		for _, run := range runners {
			exit, reports, err := run(&files.Command{Args: []string{"true"}}, stdout)
			if err != nil || exit.Code != 0 || len(reports) != 1 {
				t.Fatalf("B51: call %d: exit code %d, %d files and the error %v", i, exit.GetCode(), len(reports), err)
			}
			reports[0].Close()
		}
		ctx, passed := ttrpc.WithFiles(context.Background())
		if err := passed.Attach(stdout, stdout); err != nil {
			t.Fatal(err)
		}
		if _, err := exec.Run(ctx, &files.Command{Args: []string{"true"}}); status.Code(err) != codes.InvalidArgument {
			t.Fatalf("B51: call %d with two files: %v", i, err)
		}
	}
}

func TestNoFiles(t *testing.T) {
	_, address := startServer(t)
	command := &files.Command{Args: []string{"true"}}
	classic := newClient(t, address)
	if _, _, err := callRunner(context.Background(), classic)(command, null(t)); !errors.Is(err, ttrpc.ErrNoFiles) {
		t.Errorf("B51: a classic call with a file: %v", err)
	}
	stream, err := classic.RunAll(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := streamRunner(stream)(command, null(t)); !errors.Is(err, ttrpc.ErrNoFiles) {
		t.Errorf("B51: a classic message with a file: %v", err)
	}
	if _, err := newClient(t, address, withFiles()...).Run(context.Background(), command); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a call without a file: %v", err)
	}
}

func TestGivenUp(t *testing.T) {
	_, address := startServer(t)
	exec := newClient(t, address, withFiles()...)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, _, err := callRunner(ctx, exec)(&files.Command{Args: []string{"sh", "-c", "echo begun; exec sleep 1000000"}}, w)
		w.Close()
		done <- err
	}()
	begun := make([]byte, len("begun\n"))
	if _, err := io.ReadFull(r, begun); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("B47: a call that was given up: %v", err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 { // it ends when the command has ended
		t.Errorf("B47: a command that was given up wrote %q, %v", rest, err)
	}
}

func TestMissingProgram(t *testing.T) {
	_, address := startServer(t)
	exec := newClient(t, address, withFiles()...)
	missing := &files.Command{Args: []string{filepath.Join(t.TempDir(), "missing")}}
	if _, reports, err := callRunner(context.Background(), exec)(missing, null(t)); !strings.Contains(err.Error(), "no such file") || len(reports) != 0 {
		t.Errorf("a program that is not there: %d files and the error %v", len(reports), err)
	}
}

func TestTerminal(t *testing.T) {
	r, w, err := openTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	b := make([]byte, 10)
	if n, err := r.Read(b); err != nil || !bytes.Equal(b[:n], []byte("x")) {
		t.Errorf("out of the terminal came %q, %v", b[:n], err)
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"elsewhere"}, {"server"}, {"client", "a", "b"}} {
		p := program.Start(t, args...)
		if code := p.Wait(); code != 2 || !strings.Contains(p.Stderr(), "usage:") {
			t.Errorf("%q: exits with %d and prints %q", args, code, p.Stderr())
		}
	}
	p := program.Start(t, "client", filepath.Join(t.TempDir(), "missing"))
	if code := p.Wait(); code != 1 || !strings.Contains(p.Stderr(), "no such file") {
		t.Errorf("exits with %d and prints %q", code, p.Stderr())
	}
}
