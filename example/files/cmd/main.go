// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command cmd shows how open files go along with calls: pipes and terminals to the
// server, where commands write into them, and reports back. Without arguments it runs
// the server, as a process of its own, and a client; with arguments it runs one of them.
//
// The server is in server.go, the client in client.go.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

const usage = `usage:
  cmd              run a server and a client
  cmd server ADDR  serve on the unix socket ADDR until interrupted
  cmd client ADDR  have the server at ADDR run some commands
`

// errUsage says that the arguments make no sense.
var errUsage = errors.New("wrong arguments")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	switch err := dispatch(ctx, os.Args[1:], os.Stdout); {
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string, out io.Writer) error {
	switch {
	case len(args) == 0:
		return demo(ctx, out)
	case len(args) == 2 && args[0] == "server":
		return serve(ctx, args[1], out)
	case len(args) == 2 && args[0] == "client":
		return takeSteps(ctx, args[1], out)
	}
	return errUsage
}

// demo runs the server as a process of its own, and the client.
func demo(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	address := filepath.Join(dir, "socket")
	server := exec.Command("/proc/self/exe", "server", address)
	server.Stderr = os.Stderr
	stdout, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	// Its first line says that it listens.
	_, err = bufio.NewReader(stdout).ReadString('\n')
	if err == nil {
		err = takeSteps(ctx, address, out)
	}
	server.Process.Signal(os.Interrupt)
	return errors.Join(err, server.Wait())
}
