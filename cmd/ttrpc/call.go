// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/target"
)

func newCallCommand(e *cli.Env) *cobra.Command {
	c := &caller{env: e}
	cmd := &cobra.Command{
		Use:   "call [flags] ADDRESS SERVICE/METHOD",
		Short: "Call a method, with messages as JSON",
		Long: `Calls a method and prints what it answers. Messages are JSON, one after the other; without -d
a method takes one empty message, or, if its client streams, those on standard input, each of
which is sent when it is there, while answers print. Descriptions of methods are taken
from --proto and --protoset, the server's reflection, and what is built in; --raw does without.`,
		Example: `  ttrpc call unix:/run/service.sock package.Service/Method -d '{"name": "Ada"}'
  ttrpc call -n k8s.io shim:ID containerd.task.v2.Task/State -d '{"id": "ID"}'
  ttrpc call --proto service.proto unix:/run/service.sock package.Service/Chat <messages.json
  ttrpc call --raw unix:/run/service.sock package.Service/Method -d '0a03416461'`,
		Args: cobra.ExactArgs(2),
		RunE: c.run,
	}
	cmd.ValidArgsFunction = completeSymbol(&c.target, &c.schema, true)
	c.target.Register(cmd)
	c.schema.Register(cmd)
	c.format.Register(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&c.data, "data", "d", "", "`MESSAGES` as JSON, @FILE with them, or @- for standard input")
	flags.BoolVar(&c.raw, "raw", false, "no descriptions: messages are hex, or base64 behind \"base64:\", each in a line; answers are trees of fields, or hex with --compact")
	flags.StringVar(&c.kind, "stream", "", "who streams, with --raw: `client|server|both`")
	cmd.RegisterFlagCompletionFunc("stream", cobra.FixedCompletions([]string{"client", "server", "both"}, cobra.ShellCompDirectiveNoFileComp))
	flags.BoolVar(&c.copyLine, "copy", false, "write the command line that repeats the call to standard error")
	flags.StringArrayVar(&c.files, "file", nil, "have an open file come with message N, as `N=PATH`, or N=fd:3 for a descriptor that the shell has opened, in extended mode; may be repeated")
	flags.StringVar(&c.saveFiles, "save-files", "", "save what the open files of answers hold in `DIR`, in extended mode")
	flags.StringArrayVar(&c.answers, "answer", nil, "answer a call of the server's, as `SERVICE/METHOD=JSON`, in extended mode; may be repeated")
	return cmd
}

// A caller makes one call.
type caller struct {
	env    *cli.Env
	target target.Flags
	schema schema.Flags
	format message.Format

	// flags
	data, kind, saveFiles string
	raw, copyLine         bool
	files, answers        []string

	service, method              string
	described                    protoreflect.MethodDescriptor // nil with --raw
	clientStreams, serverStreams bool
	known                        *schema.Schema
	attached                     attachments
	line                         *commandLine // of --copy, or nil
}

func (c *caller) run(cmd *cobra.Command, args []string) (err error) {
	if c.service, c.method, err = schema.SplitMethod(args[1]); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	if c.copyLine {
		c.line = newCommandLine(cmd, args)
	}
	in, err := c.openInput()
	if err != nil {
		return err
	}
	defer in.close()
	if c.attached, err = openAttachments(c.files); err != nil {
		return err
	}
	defer c.attached.close()
	return c.connect(cmd.Context(), args[0], in)
}

// check looks for flags that do not go together.
func (c *caller) check() error {
	described := len(c.schema.Proto)+len(c.schema.Protosets) > 0 || c.schema.ProtosetOut != "" || c.format.Text || c.format.EmitDefaults
	var err error
	if c.clientStreams, c.serverStreams, err = checkRaw(c.raw, described, c.kind); err != nil {
		return err
	}
	if len(c.files) > 0 || c.saveFiles != "" || len(c.answers) > 0 {
		c.target.Extended = true
	}
	return nil
}

// checkRaw looks at --raw, the flags that do not go with it, and --stream, which goes with
// nothing else, and returns who streams.
func checkRaw(raw, described bool, kind string) (client, server bool, err error) {
	switch {
	case raw && described:
		return false, false, cli.Usage("", "--raw does without descriptions: --proto, --protoset, --protoset-out, --text and --emit-defaults do not apply")
	case kind != "" && !raw:
		return false, false, cli.Usage("", "--stream goes with --raw; else the method's description says who streams")
	}
	switch kind {
	case "", "client", "server", "both":
		return kind == "client" || kind == "both", kind == "server" || kind == "both", nil
	}
	return false, false, cli.Usage("", "--stream is client, server or both, not %q", kind)
}

// connect connects, finds out what is to be called, and calls it.
func (c *caller) connect(ctx context.Context, address string, in *input) error {
	served, err := c.serve()
	if err != nil {
		return err
	}
	client, err := c.target.Dial(ctx, address, c.options(served)...)
	if err != nil {
		return err
	}
	defer client.Close()
	asking, cancel, err := c.target.Context(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	s, err := c.schema.Open(asking, client)
	if err != nil {
		return err
	}
	defer s.Close()
	c.known, c.format.Types = s, s.Types()
	served.use(s)
	if !c.raw {
		if err := c.describe(ctx, s); err != nil {
			return err
		}
	}
	if err := in.begin(c); err != nil {
		return err
	}
	return c.call(ctx, client, in)
}

// describe finds the method's description.
func (c *caller) describe(ctx context.Context, s *schema.Schema) (err error) {
	c.described, err = s.Method(ctx, c.service+"/"+c.method)
	var exit *cli.Exit
	if errors.As(err, &exit) && exit.Hint == schema.DescribeHint {
		exit.Hint += " Or send and show bytes with --raw."
	}
	if err != nil {
		return err
	}
	c.clientStreams, c.serverStreams = c.described.IsStreamingClient(), c.described.IsStreamingServer()
	if c.target.Verbose > 0 {
		for _, name := range s.Differences(ctx, c.described) {
			c.verbose("the server describes %s in another way than the files given, which count", name)
		}
	}
	return s.Save(c.described)
}

// options are those of the client beside what target has.
func (c *caller) options(served *served) []ttrpc.ClientOpts {
	limits := ttrpc.Limits{MessageSize: 16<<20 - 1}
	if !c.target.Extended {
		return []ttrpc.ClientOpts{ttrpc.WithClientLimits(limits)}
	}
	limits.MessageSize = 1 << 30
	if len(c.files) > 0 || c.saveFiles != "" {
		limits.Files = mostFiles
	}
	return []ttrpc.ClientOpts{ttrpc.WithClientLimits(limits), ttrpc.WithClientServices(served.server)}
}
