// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/health"
)

// TestHealthInterrupted interrupts a watch: the last status counts.
func TestHealthInterrupted(t *testing.T) { // B155
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	states := health.New()
	states.Register(server)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	defer func() { server.Close(); <-served }()
	for _, last := range []health.Status{health.Serving, health.NotServing} {
		states.Set("", health.Unknown)
		ctx, cancel := context.WithCancel(t.Context())
		out := &lineWriter{func(line string) {
			if states.Set("", last); line == last.String()+"\n" {
				cancel()
			}
		}}
		cmd := newHealthCommand(&cli.Env{Stdout: out, Stderr: io.Discard, Getenv: func(string) string { return "" }})
		cmd.SetArgs([]string{path, "--watch"})
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err := cmd.ExecuteContext(ctx)
		exit := new(cli.Exit)
		if last == health.Serving && err != nil || last != health.Serving && (!errors.As(err, &exit) || exit.Code != cli.ExitNotServing) {
			t.Errorf("B155: a watch that is interrupted after %v ends with %v", last, err)
		}
		cancel()
	}
}

// A lineWriter is told each line that is written, which has to come in one piece.
type lineWriter struct{ told func(line string) }

func (w *lineWriter) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		w.told(string(line))
	}
	return len(p), nil
}
