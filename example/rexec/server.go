// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/libchan"
)

// A received is a Command as it is received.
type received struct {
	Args   []string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Exit   libchan.SendChan[int]
}

// serve runs commands until ctx ends.
func serve(ctx context.Context, address string, log *log.Logger) error {
	network, where, _ := strings.Cut(address, ":")
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions(), ttrpc.WithServerLimits(ttrpc.Limits{Files: maxFiles}))
	if err != nil {
		return err
	}
	err = libchan.Register(server, libchan.WithHandler(func(s *libchan.Session) {
		for {
			commands, err := s.WaitReceiveChannel()
			if err != nil {
				return // the session has ended
			}
			go runAll(libchan.From[received](commands), log)
		}
	}))
	if err != nil {
		return err
	}
	l, err := net.Listen(network, where)
	if err != nil {
		return err
	}
	log.Printf("listening on %s:%s", network, l.Addr())
	context.AfterFunc(ctx, func() { server.Close() }) // whose commands end with it
	if err := server.Serve(context.Background(), l); !errors.Is(err, ttrpc.ErrServerClosed) {
		return err
	}
	return nil
}

// runAll runs the commands of a channel, all at once.
func runAll(commands libchan.RecvChan[received], log *log.Logger) {
	for c, err := range commands.All(context.Background()) {
		if err != nil {
			return
		}
		go func() {
			code, err := c.run()
			log.Printf("%q has exited: %d, %v", c.Args, code, err)
			if err == nil {
				err = c.Exit.Send(context.Background(), code)
			}
			_ = c.Exit.CloseWithError(err)
		}()
	}
}

// run runs the command to its end, or until nobody wants to know that any more. Then all that
// it has written was handed over.
func (c *received) run() (code int, err error) {
	defer c.close()
	if len(c.Args) == 0 || c.Stdin == nil || c.Stdout == nil || c.Stderr == nil {
		return 0, status.Error(codes.InvalidArgument, "a command needs arguments, and all of stdin, stdout and stderr")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	gone := c.Exit.Sender().Done()
	go func() {
		select {
		case <-gone:
			cancel()
		case <-ctx.Done():
		}
	}()
	for _, x := range []any{c.Stdin, c.Stdout, c.Stderr} {
		if err := blocking(x); err != nil {
			return 0, err
		}
	}
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Stdout, cmd.Stderr = c.Stdout, c.Stderr // a file as it is
	if _, isFile := c.Stdin.(*os.File); isFile {
		cmd.Stdin = c.Stdin
	} else {
		in, err := cmd.StdinPipe()
		if err != nil {
			return 0, err
		}
		go func() { // ends when the command does, or the stream
			_, _ = io.Copy(in, c.Stdin)
			in.Close()
		}()
	}
	var exit *exec.ExitError
	switch err := cmd.Run(); {
	case err == nil:
		return 0, nil
	case ctx.Err() != nil:
		return 0, status.Error(codes.Canceled, "the command was given up")
	case errors.As(err, &exit):
		return exit.ExitCode(), nil
	default:
		return 0, status.Error(codes.NotFound, err.Error())
	}
}

// close closes what has come with the command. Of a byte stream the other end then reads what was
// written, and io.EOF.
func (c *received) close() {
	for _, x := range []any{c.Stdin, c.Stdout, c.Stderr} {
		if closer, ok := x.(io.Closer); ok {
			closer.Close()
		}
	}
}
