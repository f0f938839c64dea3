// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/source"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/target"
)

func newDescribeCommand(e *cli.Env) *cobra.Command {
	d := &describer{env: e}
	cmd := &cobra.Command{
		Use:   "describe [flags] ADDRESS|- [SYMBOL]",
		Short: "Show services, methods and messages as .proto source",
		Long: `Shows a service, method, message, enum, field or extension as .proto source, or all
services. With --template it shows a JSON message to start from: of a message, or the request of a
method. Where descriptions come from is as with "ttrpc list".`,
		Example: `  ttrpc describe unix:/run/service.sock package.Service
  ttrpc describe --template unix:/run/service.sock package.Service/Method
  ttrpc describe - containerd.task.v2.StateRequest`,
		Args: cobra.RangeArgs(1, 2),
		RunE: d.run,
	}
	cmd.ValidArgsFunction = completeSymbol(&d.target, &d.schema, true)
	d.target.Register(cmd)
	d.schema.Register(cmd)
	cmd.Flags().BoolVar(&d.template, "template", false, "show a JSON message to start from, for \"ttrpc call -d\"")
	return cmd
}

type describer struct {
	env      *cli.Env
	target   target.Flags
	schema   schema.Flags
	template bool
}

func (d *describer) run(cmd *cobra.Command, args []string) error {
	if d.template && len(args) == 1 {
		return cli.Usage("", "--template needs a message, or a method for its request")
	}
	asked, err := openSchema(cmd.Context(), &d.target, &d.schema, args[0])
	if err != nil {
		return err
	}
	defer asked.close()
	s := asked.schema
	found, err := d.find(asked, args[1:])
	if err != nil {
		return err
	}
	for i, symbol := range found {
		if d.template {
			return errors.Join(d.writeTemplate(s, symbol), s.Save(symbol))
		}
		if i > 0 {
			fmt.Fprintln(d.env.Stdout)
		}
		fmt.Fprintf(d.env.Stdout, "// %s: %s in %s\n%s", symbol.FullName(), schema.Kind(symbol), symbol.ParentFile().Path(), source.Write(symbol))
	}
	return s.Save(found...)
}

// find returns what is to be described: the symbol that is named, or all services.
func (d *describer) find(a *asked, names []string) (found []protoreflect.Descriptor, err error) {
	if len(names) == 0 {
		if names, _, err = serviceNames(a); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		symbol, err := findSymbol(a.ctx, a.schema, name)
		if err != nil {
			return nil, err
		}
		found = append(found, symbol)
	}
	return found, nil
}

// findSymbol finds what is named as in .proto files, or a method as call takes it.
func findSymbol(ctx context.Context, s *schema.Schema, name string) (protoreflect.Descriptor, error) {
	if strings.Contains(name, "/") {
		return s.Method(ctx, name)
	}
	return s.Find(ctx, name)
}

func (d *describer) writeTemplate(s *schema.Schema, symbol protoreflect.Descriptor) error {
	m, ok := symbol.(protoreflect.MessageDescriptor)
	if method, isMethod := symbol.(protoreflect.MethodDescriptor); isMethod {
		m, ok = method.Input(), true
	}
	if !ok {
		return cli.Usage("", "%s is a %s: --template needs a message, or a method for its request", symbol.FullName(), schema.Kind(symbol))
	}
	out, err := (&message.Format{Types: s.Types(), EmitDefaults: true}).Marshal(source.Template(m))
	if err != nil {
		return cli.Input("", "%s: %w", m.FullName(), err)
	}
	fmt.Fprintf(d.env.Stdout, "%s\n", out)
	return nil
}
