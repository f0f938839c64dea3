// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/files"
)

// A runner has the server run a command that writes into stdout. It returns the files
// that come back.
type runner func(command *files.Command, stdout *os.File) (*files.Exit, []*os.File, error)

// withFiles are the options with which files pass: in extended mode, and as many as a few
// calls have reports.
func withFiles() []ttrpc.ClientOpts {
	return []ttrpc.ClientOpts{ttrpc.WithExtensions(), ttrpc.WithClientLimits(ttrpc.Limits{Files: 16})}
}

// takeSteps has the server run commands, each with a call of its own and then all on
// one stream.
func takeSteps(ctx context.Context, address string, out io.Writer) error {
	conn, err := net.Dial("unix", address)
	if err != nil {
		return err
	}
	client := ttrpc.NewClient(conn, withFiles()...)
	defer client.Close()
	exec := files.NewExecClient(client)
	unary := callRunner(ctx, exec)
	stream, err := exec.RunAll(ctx)
	if err != nil {
		return err
	}
	streamed := streamRunner(stream)
	for _, step := range []struct {
		about  string
		open   func() (r, w *os.File, err error)
		run    runner
		script string
	}{
		{"a pipe goes with a request, a report comes with its answer", os.Pipe, unary, "echo hello; echo sorry >&2; exit 3"},
		{"what goes through the pipe does not go through the connection", os.Pipe, unary, "head -c 10000000 /dev/zero"},
		{"a terminal goes with a message of a stream", openTerminal, streamed, "test -t 1 && echo this is a terminal"},
		{"a pipe goes with the next", os.Pipe, streamed, "test -t 1 || echo this is none"},
	} {
		fmt.Fprintf(out, "%s:\n  $ %s\n", step.about, step.script)
		if err := run(out, step.open, step.run, step.script); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the stream did not end, but: %v", err)
	}
	return nil
}

// callRunner makes a call for each command.
func callRunner(ctx context.Context, exec files.ExecClient) runner {
	return func(command *files.Command, stdout *os.File) (*files.Exit, []*os.File, error) {
		ctx, passed := ttrpc.WithFiles(ctx)
		if err := passed.Attach(stdout); err != nil {
			return nil, nil, err
		}
		exit, err := exec.Run(ctx, command)
		return exit, passed.Claim(), err
	}
}

// streamRunner sends all commands on one stream.
func streamRunner(stream files.Exec_RunAllClient) runner {
	return func(command *files.Command, stdout *os.File) (*files.Exit, []*os.File, error) {
		if err := stream.SendMsg(&ttrpc.FileMessage{Message: command, Files: []*os.File{stdout}}); err != nil {
			return nil, nil, err
		}
		exit := new(files.Exit)
		answer := &ttrpc.FileMessage{Message: exit}
		err := stream.RecvMsg(answer)
		return exit, answer.Files, err
	}
}

// run prints what came of a command that writes into w, and comes out of r.
func run(out io.Writer, open func() (r, w *os.File, err error), runs runner, script string) error {
	r, w, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	output := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(r) // the error is how a terminal ends
		output <- string(b)
	}()
	exit, reports, err := runs(&files.Command{Args: []string{"sh", "-c", script}}, w)
	w.Close() // others have duplicates; without ours, r ends when theirs are closed
	if err != nil {
		return err
	}
	if text := <-output; len(text) < 100 {
		fmt.Fprintf(out, "  it wrote:  %s\n", strings.TrimSpace(text))
	} else {
		fmt.Fprintf(out, "  it wrote:  %d bytes\n", len(text))
	}
	fmt.Fprintf(out, "  exit code: %d\n", exit.Code)
	for _, report := range reports {
		text, err := io.ReadAll(report)
		report.Close()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  report:    %s\n", strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", ", "))
	}
	return nil
}
