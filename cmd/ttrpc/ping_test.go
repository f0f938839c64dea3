// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
)

// An answers is a standard output that does something once the second answer is told.
type answers struct {
	bytes.Buffer
	second func()
}

func (a *answers) Write(p []byte) (int, error) {
	if strings.HasPrefix(string(p), "answer 2 ") {
		a.second()
	}
	return a.Buffer.Write(p)
}

// TestPingStops has a server end, or the person, between the answers.
func TestPingStops(t *testing.T) {
	for name, test := range map[string]struct {
		second func(*ttrpc.Server)
		code   int
		stderr string
	}{
		"lost": {func(s *ttrpc.Server) { s.Close() }, cli.ExitLost, "the connection was lost after 2 answers"},
		"interrupted": {func(*ttrpc.Server) {
			self, _ := os.FindProcess(os.Getpid())
			if err := self.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}, cli.ExitOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "interrupted" && runtime.GOOS == "windows" {
				t.Skip("a process cannot interrupt itself")
			}
			dir, err := os.MkdirTemp("", "p")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			l, err := net.Listen("unix", filepath.Join(dir, "s"))
			if err != nil {
				t.Fatal(err)
			}
			server, err := ttrpc.NewServer()
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error)
			go func() { served <- server.Serve(context.Background(), l) }()
			defer func() { server.Close(); <-served }()
			out := &answers{second: func() { test.second(server) }}
			var stderr bytes.Buffer
			e := &cli.Env{Stdin: new(bytes.Buffer), Stdout: out, Stderr: &stderr, Getenv: func(string) string { return "" }}
			code := cli.Run(e, newRootCommand, []string{"ping", "-c", "10000", "--interval", "1ms", l.Addr().String()})
			if code != test.code || !strings.Contains(stderr.String(), test.stderr) || test.stderr == "" && stderr.Len() > 0 {
				t.Errorf("B171: it ends with %d and %s, want %d and %s", code, &stderr, test.code, test.stderr)
			}
			if !strings.Contains(out.String(), " answers, least ") {
				t.Errorf("B171: what was measured is not told: %s", out)
			}
		})
	}
}
