// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
)

func newPsCommand(e *cli.Env) *cobra.Command {
	return &cobra.Command{Use: "ps", RunE: func(*cobra.Command, []string) error { return errors.New("to be written") }}
}
