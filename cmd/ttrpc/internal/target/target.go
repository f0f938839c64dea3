// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package target is the flags by which commands reach a server and make calls.
package target

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/address"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
)

// Flags are those flags.
type Flags struct {
	Timeout        time.Duration // travels with each call
	ConnectTimeout time.Duration
	Headers        []string // "key: value" or "key=value"
	Namespace      string   // containerd's
	Extended       bool     // asks for the extended mode
}

// Register adds the flags to a command.
func (f *Flags) Register(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.Timeout, "timeout", 0, "deadline of each call, which travels with it")
}

// Dial connects to an address. The options are in addition to those of the flags. Errors are
// of type [*cli.Exit].
func (f *Flags) Dial(ctx context.Context, text string, opts ...ttrpc.ClientOpts) (*ttrpc.Client, error) {
	a, err := address.Parse(text)
	if err != nil {
		return nil, &cli.Exit{Code: cli.ExitUsage, Err: err}
	}
	conn, err := a.Dial(ctx)
	if err != nil {
		return nil, &cli.Exit{Code: cli.ExitConnect, Err: err}
	}
	return ttrpc.NewClient(conn, opts...), nil
}

// Context returns the context of one call, with metadata and deadline.
func (f *Flags) Context(ctx context.Context) (context.Context, context.CancelFunc, error) {
	ctx, cancel := context.WithCancel(ctx)
	return ctx, cancel, nil
}
