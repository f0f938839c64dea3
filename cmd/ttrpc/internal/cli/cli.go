// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cli is what all commands share: their streams, how they end, and what they print
// on a terminal only.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// An Env is what a command has of the world outside.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string

	// Whether a person looks: progress and colours are for them alone.
	StdinTerminal, StdoutTerminal, StderrTerminal bool
}

// System returns that of this process.
func System() *Env {
	return &Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv,
		StdinTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		StdoutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		StderrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
	}
}

// Colour tells whether standard output may have colours.
func (e *Env) Colour() bool { return e.StdoutTerminal && e.Getenv("NO_COLOR") == "" }

// The codes that the program ends with, beside 64 plus a status code.
const (
	ExitOK      = 0
	ExitUsage   = 1 // called in a wrong way
	ExitConnect = 2 // no connection, or the handshake was refused
	ExitLost    = 3 // the connection was lost
	ExitInput   = 4 // bad input, or descriptors that are missing or wrong
	ExitStatus  = 64
)

// An Exit is an error with the code that the program ends with.
type Exit struct {
	Code int
	Err  error
	Hint string // what to try next; may be empty
}

func (x *Exit) Error() string { return x.Err.Error() }

// Unwrap returns the error without its code.
func (x *Exit) Unwrap() error { return x.Err }

// Run runs the program with its arguments, and returns the code to end with.
func Run(e *Env, newRoot func(*Env) *cobra.Command, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot(e)
	root.SetArgs(args)
	root.SetIn(e.Stdin)
	root.SetOut(e.Stdout)
	root.SetErr(e.Stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	return e.end(root.ExecuteContext(ctx))
}

// end tells of an error and returns the code for it.
func (e *Env) end(err error) int {
	if err == nil {
		return ExitOK
	}
	exit := &Exit{Code: ExitUsage, Err: err}
	errors.As(err, &exit)
	fmt.Fprintf(e.Stderr, "ttrpc: %v\n", exit.Err)
	if exit.Hint != "" {
		fmt.Fprintln(e.Stderr, exit.Hint)
	}
	return exit.Code
}
