// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command rexec runs commands elsewhere, with the input and output of here:
//
//	go run ./example/rexec
//
// A [Command] is a message. In it are what the command reads and writes, and a channel for the
// status that it exits with. Over a unix socket its input and output are those of whoever has
// it run: the very files, the terminal too. Elsewhere they are byte streams.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/containerd/ttrpc/libchan"
)

// A Command is what is run, as it is sent. What it reads and writes is an *os.File or a
// libchan.ByteStream each.
type Command struct {
	Args   []string
	Stdin  any
	Stdout any
	Stderr any
	Exit   libchan.SendChan[int]
}

// maxFiles is how many files of a connection may be under way at once.
const maxFiles = 100

const usage = `usage:
  rexec                         run some commands over a unix socket, and over TCP
  rexec serve ADDR              run commands for others until interrupted
  rexec run ADDR COMMAND [ARG]  have a command run, and exit as it does

ADDR is unix:PATH or tcp:HOST:PORT. Over TCP nobody asks who the others are.
`

// errUsage says that the arguments make no sense.
var errUsage = errors.New("wrong arguments")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code, err := run(ctx, os.Args[1:])
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		code = 2
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string) (code int, err error) {
	switch {
	case len(args) == 0:
		return 0, demo(ctx, log.New(os.Stdout, "demo: ", 0))
	case args[0] == "serve" && len(args) == 2:
		return 0, serve(ctx, args[1], log.New(os.Stdout, "server: ", 0))
	case args[0] == "run" && len(args) > 2:
		return runAt(ctx, args[1], args[2:], stdio{os.Stdin, os.Stdout, os.Stderr})
	}
	return 0, errUsage
}
