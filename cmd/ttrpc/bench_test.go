// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
)

// benchAgainst runs ttrpc bench against a server with the method a.B/C, and returns its code and
// what it prints.
func benchAgainst(t *testing.T, terminal bool, stderr io.Writer, method func(s *ttrpc.Server) ttrpc.Method, args ...string) (code int, stdout string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "b")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	s.Register("a.B", map[string]ttrpc.Method{"C": method(s)})
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	var out bytes.Buffer
	e := &cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: stderr, Getenv: func(string) string { return "" }, StderrTerminal: terminal}
	code = cli.Run(e, newRootCommand, append([]string{"bench", "--raw", "unix:" + path, "a.B/C"}, args...))
	s.Close()
	<-served
	return code, out.String()
}

// TestBenchLost has the connection end amid the load: what was measured is told, and the loss.
func TestBenchLost(t *testing.T) {
	var calls atomic.Int64
	var errs bytes.Buffer
	code, stdout := benchAgainst(t, false, &errs, func(s *ttrpc.Server) ttrpc.Method {
		return func(context.Context, func(any) error) (any, error) {
			if calls.Add(1) == 10 {
				s.Close()
			}
			return new(emptypb.Empty), nil
		}
	}, "-z", "1m")
	stderr := errs.String()
	if code != cli.ExitLost || !strings.Contains(stdout, "1 Unavailable, the first: ttrpc: closed") || !strings.Contains(stderr, "closed") || calls.Load() != 10 {
		t.Errorf("B167: after %d calls it ends with %d and\n%s%s", calls.Load(), code, stdout, stderr)
	}
}

// TestBenchProgress shows progress on a terminal, and there alone. The last call waits until it
// was shown.
func TestBenchProgress(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		errs := &noticing{noticed: make(chan struct{})}
		var calls atomic.Int64
		method := func(*ttrpc.Server) ttrpc.Method {
			return func(context.Context, func(any) error) (any, error) {
				if calls.Add(1) == 4 && terminal {
					<-errs.noticed
				}
				return new(emptypb.Empty), nil
			}
		}
		code, stdout := benchAgainst(t, terminal, errs, method, "-n", "4")
		stderr := errs.String()
		if code != 0 || terminal != strings.Contains(stderr, "of 4") || strings.Contains(stdout, "of 4") {
			t.Errorf("B167: on a terminal %t it ends with %d and\n%q\n%q", terminal, code, stdout, stderr)
		}
		if !strings.Contains(stdout, "The server is this process itself.") {
			t.Errorf("B167: it says of the server's CPU\n%s", stdout)
		}
	}
}

// A noticing writer tells when something was written.
type noticing struct {
	bytes.Buffer
	noticed chan struct{}
	once    sync.Once
}

// Write implements io.Writer.
func (n *noticing) Write(p []byte) (int, error) {
	defer n.once.Do(func() { close(n.noticed) })
	return n.Buffer.Write(p)
}
