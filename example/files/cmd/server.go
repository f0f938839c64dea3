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
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/files"
)

// serve answers calls until ctx ends.
func serve(ctx context.Context, address string, out io.Writer) error {
	// Who may have commands run is what this process may do anyway.
	server, err := ttrpc.NewServer(
		ttrpc.WithServerExtensions(),
		ttrpc.WithServerLimits(ttrpc.Limits{Files: 16}), // of each client's, until they are claimed
		ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser()))
	if err != nil {
		return err
	}
	files.RegisterExecService(server, executor{})
	l, err := net.Listen("unix", address)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "listening on", address)
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer server.Close() // ends what the limit did not suffice for
	return server.Shutdown(ctx)
}

// executor implements the generated files.ExecService.
type executor struct{}

// Run is unary: what came with the request is claimed, what goes with the answer is
// attached.
func (executor) Run(ctx context.Context, command *files.Command) (*files.Exit, error) {
	passed, err := ttrpc.FilesFromContext(ctx)
	if err != nil {
		return nil, err
	}
	exit, report, err := execute(ctx, command, passed.Claim())
	if err != nil {
		return nil, err
	}
	defer report.Close() // what is attached is a duplicate
	return exit, passed.Attach(report)
}

// RunAll is a stream: files come and go with its messages.
func (executor) RunAll(ctx context.Context, stream files.Exec_RunAllServer) error {
	for {
		command := new(files.Command)
		in := &ttrpc.FileMessage{Message: command}
		if err := stream.RecvMsg(in); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		exit, report, err := execute(ctx, command, in.Files)
		if err != nil {
			return err
		}
		err = stream.SendMsg(&ttrpc.FileMessage{Message: exit, Files: []*os.File{report}})
		report.Close()
		if err != nil {
			return err
		}
	}
}

// execute runs a command that writes into the one file that was passed, which it closes.
// The report is the caller's.
func execute(ctx context.Context, command *files.Command, passed []*os.File) (exit *files.Exit, report *os.File, err error) {
	defer func() {
		for _, f := range passed {
			f.Close()
		}
	}()
	if len(passed) != 1 || len(command.Args) == 0 {
		return nil, nil, status.Errorf(codes.InvalidArgument, "%d files and %d arguments, want one file and a program", len(passed), len(command.Args))
	}
	if err := blocking(passed[0]); err != nil {
		return nil, nil, err
	}
	fd, err := unix.MemfdCreate("report", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil, err
	}
	report = os.NewFile(uintptr(fd), "report")
	// Both are files, so the command gets them as they are, and nobody copies.
	cmd := exec.CommandContext(ctx, command.Args[0], command.Args[1:]...)
	cmd.Stdout, cmd.Stderr = passed[0], report
	err = cmd.Run()
	if cmd.ProcessState != nil { // how it ended is not our error
		err = finish(report, cmd.ProcessState)
	}
	if err != nil {
		report.Close()
		return nil, nil, err
	}
	return &files.Exit{Code: int32(cmd.ProcessState.ExitCode())}, report, nil
}

// finish writes the last line of a report, seals it so that it can be relied on never to
// change, and rewinds it: the position belongs to the file and goes along.
func finish(report *os.File, p *os.ProcessState) error {
	if _, err := fmt.Fprintf(report, "%v, having computed for %v\n", p, p.UserTime()+p.SystemTime()); err != nil {
		return err
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(report.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return err
	}
	_, err := report.Seek(0, io.SeekStart)
	return err
}

// blocking has writers to f wait while a pipe is full, as commands expect. Go opens its
// pipes otherwise, and that goes along with the file too.
func blocking(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var setErr error
	err = conn.Control(func(fd uintptr) { setErr = unix.SetNonblock(int(fd), false) })
	return errors.Join(err, setErr)
}
