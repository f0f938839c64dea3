// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command chat shows channels in messages, between pages in browsers, terminals and a server.
// Who joins sends a channel for what happens in the room, and gets one to speak on; what is said
// on it is an event for everybody. The room is in room.go, who joins it from a terminal in
// client.go, and the page, which does the same in JavaScript, in page/chat.js.
//
// It is a module of its own, as websockets need one.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage:
  chat                     open a room at http://127.0.0.1:8080, and on a unix socket
  chat -demo               open a room, have two come, talk and leave, and close it
  chat join ADDR NAME      join the room at ADDR, unix:/path or ws://host/session:
                           say each line of the standard input, and leave at its end
`

// errUsage says that the arguments make no sense.
var errUsage = errors.New("wrong arguments")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	switch err := run(ctx, os.Args[1:]); {
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 0:
		return serve(ctx, "127.0.0.1:8080", os.Stdout)
	case len(args) == 1 && args[0] == "-demo":
		return demo(ctx, os.Stdout)
	case len(args) == 3 && args[0] == "join":
		return join(ctx, args[1], args[2], os.Stdin, os.Stdout)
	}
	return errUsage
}
