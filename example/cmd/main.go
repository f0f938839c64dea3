// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command cmd shows ttrpc at work. Without arguments it runs a server and a
// client of the service in ../greenhouse.proto, and prints what they do; with
// arguments it runs one of them.
//
// The server is in server.go and greenhouse.go, the client in client.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

const usage = `usage:
  cmd                         run a server and a client on a temporary unix socket
  cmd server ADDR             serve on the unix socket ADDR until interrupted
  cmd client ADDR [STEP ...]  take the steps, or all of them, with the server at ADDR
steps:
`

func main() {
	// One Ctrl-C ends things in order, a second one at once.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, signals))
}

// errUsage says that the arguments make no sense.
var errUsage = errors.New("wrong arguments")

// run returns the code to exit with.
func run(args []string, out, errOut io.Writer, signals <-chan os.Signal) int {
	switch err := dispatch(args, out, signals); {
	case errors.Is(err, errUsage):
		fmt.Fprintln(errOut, err)
		printUsage(errOut)
		return 2
	case err != nil:
		fmt.Fprintln(errOut, "error:", err)
		return 1
	}
	return 0
}

func dispatch(args []string, out io.Writer, signals <-chan os.Signal) error {
	if len(args) == 0 {
		return demo(out, signals)
	}
	switch mode, args := args[0], args[1:]; mode {
	case "-h", "-help", "--help", "help":
		printUsage(out)
		return nil
	case "server":
		if len(args) != 1 {
			return fmt.Errorf("%w: server takes one address", errUsage)
		}
		server, l, err := newServer(args[0], out)
		if err != nil {
			return err
		}
		return serve(server, l, out, signals)
	case "client":
		if len(args) == 0 {
			return fmt.Errorf("%w: client takes an address", errUsage)
		}
		chosen, err := findSteps(args[1:])
		if err != nil {
			return err
		}
		return takeSteps(args[0], chosen, out, signals)
	default:
		return fmt.Errorf("%w: %q is neither server nor client", errUsage, mode)
	}
}

func printUsage(out io.Writer) {
	fmt.Fprint(out, usage)
	for _, s := range steps {
		fmt.Fprintf(out, "  %-10s %s\n", s.name, s.about)
	}
}

// demo runs the server and the client in one process.
func demo(out io.Writer, signals <-chan os.Signal) error {
	dir, err := os.MkdirTemp("", "ttrpc-example")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	address := filepath.Join(dir, "socket")
	server, l, err := newServer(address, out)
	if err != nil {
		return err
	}
	interrupt := make(chan os.Signal, 1)
	served := make(chan error, 1)
	go func() { served <- serve(server, l, out, interrupt) }()
	err = takeSteps(address, steps, out, signals)
	if errors.Is(err, context.Canceled) {
		err = nil // that is what the user asked for
	}
	interrupt <- os.Interrupt
	return errors.Join(err, <-served)
}
