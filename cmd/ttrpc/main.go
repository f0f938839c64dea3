// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command ttrpc looks into, calls and tests live ttrpc servers.
//
//	ttrpc ps
//	ttrpc list unix:/run/service.sock
//	ttrpc call unix:/run/service.sock package.Service/Method -d '{"name": "Ada"}'
//
// "ttrpc help" lists all commands, and each one's --help begins with an example.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
)

// commands makes each command, in the order in which help lists them.
var commands = []func(*cli.Env) *cobra.Command{
	newCallCommand,
	newListCommand,
	newDescribeCommand,
	newPingCommand,
	newHealthCommand,
	newPsCommand,
	newChannelsCommand,
	newProxyCommand,
	newDumpCommand,
	newBenchCommand,
	newServeCommand,
	newVersionCommand,
}

func main() { os.Exit(cli.Run(cli.System(), newRootCommand, os.Args[1:])) }

func newRootCommand(e *cli.Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "ttrpc",
		Short: "Look into, call and test live ttrpc servers",
		Example: `  ttrpc ps
  ttrpc list unix:/run/service.sock
  ttrpc call unix:/run/service.sock package.Service/Method -d '{"name": "Ada"}'`,
	}
	for _, command := range commands {
		root.AddCommand(command(e))
	}
	return root
}
