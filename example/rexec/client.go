// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/libchan"
)

// A stdio is what a command reads and writes.
type stdio struct{ in, out, err *os.File }

// runAt has a command run at an address, and returns what it exits with.
func runAt(ctx context.Context, address string, args []string, std stdio) (code int, err error) {
	network, where, _ := strings.Cut(address, ":")
	conn, err := new(net.Dialer).DialContext(ctx, network, where)
	if err != nil {
		return 0, err
	}
	client := ttrpc.NewClient(conn, libchan.WithSessions(), ttrpc.WithClientLimits(ttrpc.Limits{Files: maxFiles}))
	defer client.Close()
	session, err := libchan.Over(client)
	if err != nil {
		return 0, err
	}
	s, err := session.NewSendChannel()
	if err != nil {
		return 0, err
	}
	commands := libchan.Of[Command](s)
	if network == "unix" && runtime.GOOS == "linux" {
		return runWithFiles(ctx, commands, args, std)
	}
	return runWithStreams(ctx, commands, args, std)
}

// runWithFiles gives the command the files themselves.
func runWithFiles(ctx context.Context, commands libchan.SendChan[Command], args []string, std stdio) (code int, err error) {
	exits, exit := libchan.Make[int](1)
	if err := commands.Send(ctx, Command{args, std.in, std.out, std.err, exit}); err != nil {
		return 0, err
	}
	return await(ctx, exits)
}

// runWithStreams gives the command byte streams, and copies to and from them.
func runWithStreams(ctx context.Context, commands libchan.SendChan[Command], args []string, std stdio) (code int, err error) {
	in, theirIn := libchan.NewByteStream()
	out, theirOut := libchan.NewByteStream()
	errs, theirErrs := libchan.NewByteStream()
	exits, exit := libchan.Make[int](1)
	if err := commands.Send(ctx, Command{args, theirIn, theirOut, theirErrs, exit}); err != nil {
		return 0, err
	}
	go func() { // ends with the input, which may be a terminal: nobody waits for that
		_, err := io.Copy(in, std.in)
		in.CloseWithError(err)
	}()
	var copied sync.WaitGroup
	var outErr, errsErr error
	copied.Go(func() { _, outErr = io.Copy(std.out, out) })
	copied.Go(func() { _, errsErr = io.Copy(std.err, errs) })
	code, err = await(ctx, exits)
	if err != nil {
		out.Close()
		errs.Close()
	}
	copied.Wait() // up to all that the command has written
	if err == nil {
		err = errors.Join(outErr, errsErr)
	}
	return code, err
}

// await waits for the status. If ctx ends first the command is ended.
func await(ctx context.Context, exits libchan.RecvChan[int]) (code int, err error) {
	code, err = exits.Receive(ctx)
	exits.Cancel(err)
	return code, err
}
