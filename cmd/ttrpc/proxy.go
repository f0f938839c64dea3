// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
)

func newProxyCommand(e *cli.Env) *cobra.Command {
	return &cobra.Command{Use: "proxy", RunE: func(*cobra.Command, []string) error { return errors.New("to be written") }}
}
