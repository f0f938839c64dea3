// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/source"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/target"
)

func newListCommand(e *cli.Env) *cobra.Command {
	l := &lister{env: e}
	cmd := &cobra.Command{
		Use:   "list [flags] ADDRESS|- [SERVICE]",
		Short: "List a server's services, or a service's methods",
		Long: `Lists the services of the server at ADDRESS, or the methods of one, by its
reflection or the files given. A server without reflection is asked for each service that
is given or built in whether it has that. With "-" no server is asked: what is listed is
what is described here.`,
		Example: `  ttrpc list unix:/run/service.sock
  ttrpc list unix:/run/service.sock package.Service
  ttrpc list --proto service.proto -`,
		Args: cobra.RangeArgs(1, 2),
		RunE: l.run,
	}
	cmd.ValidArgsFunction = completeSymbol(&l.target, &l.schema, false)
	l.target.Register(cmd)
	l.schema.Register(cmd)
	cmd.Flags().BoolVarP(&l.long, "long", "l", false, "write methods with their requests and answers")
	return cmd
}

type lister struct {
	env    *cli.Env
	target target.Flags
	schema schema.Flags
	long   bool
}

func (l *lister) run(cmd *cobra.Command, args []string) error {
	asked, err := openSchema(cmd.Context(), &l.target, &l.schema, args[0])
	if err != nil {
		return err
	}
	defer asked.close()
	s := asked.schema
	if len(args) == 2 {
		return l.methods(asked.ctx, s, args[1])
	}
	names, err := l.services(asked)
	var found []protoreflect.Descriptor
	for _, name := range names {
		fmt.Fprintln(l.env.Stdout, name)
		if d, err := s.Find(asked.ctx, name); err == nil {
			found = append(found, d)
			if l.long {
				l.writeMethods(d)
			}
		}
	}
	return errors.Join(err, s.Save(found...))
}

// An asked is a server that is asked what it has, or nobody.
type asked struct {
	ctx    context.Context // with the metadata and the deadline of calls
	client *ttrpc.Client   // or nil
	schema *schema.Schema
	cancel context.CancelFunc
}

// openSchema connects to an address and reads what the flags name. With the address "-" there is
// no client, and the flags of calls are an error.
func openSchema(ctx context.Context, t *target.Flags, f *schema.Flags, address string) (*asked, error) {
	var client *ttrpc.Client
	var err error
	if address == "-" {
		err = t.Unused(`with "-" no server is asked`)
	} else {
		client, err = t.Dial(ctx, address)
	}
	if err != nil {
		return nil, err
	}
	a := &asked{client: client}
	if a.ctx, a.cancel, err = t.Context(ctx); err == nil {
		a.schema, err = f.Open(a.ctx, client)
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

func (a *asked) close() {
	if a.schema != nil {
		a.schema.Close()
	}
	if a.cancel != nil {
		a.cancel()
	}
	if a.client != nil {
		a.client.Close()
	}
}

// services returns the names of all services, and says how they are known if the server did not
// tell them.
func (l *lister) services(a *asked) ([]string, error) {
	names, how, err := serviceNames(a)
	if how != "" {
		fmt.Fprintln(l.env.Stderr, how)
	}
	return names, err
}

// serviceNames returns the names of all services: those that the server tells; or, if it does not
// serve reflection, those that it is found to have; or, if that cannot be found out, those in the
// files given. how says which of the latter it was. The error is of type [*cli.Exit].
func serviceNames(a *asked) (names []string, how string, err error) {
	given, err := a.schema.Services(a.ctx)
	if !errors.Is(err, schema.ErrNoReflection) {
		return given, "", err
	}
	found, told, failed := a.schema.Probe(a.ctx, a.client)
	switch {
	case failed != nil:
		return nil, "", cli.CallExit(failed)
	case len(found) > 0:
		return found, "The server does not serve reflection. Of the services that are described here it has these:", nil
	case told:
		return nil, "", cli.Input(schema.DescribeHint,
			"the server does not serve reflection, and has none of the services that are described here")
	case len(given) > 0:
		return given, "The server does not serve reflection, and does not tell what it has. The files given describe these services:", nil
	}
	return nil, "", err
}

// methods lists the methods of a service.
func (l *lister) methods(ctx context.Context, s *schema.Schema, name string) error {
	d, err := s.Find(ctx, name)
	if err != nil {
		return err
	}
	if _, ok := d.(protoreflect.ServiceDescriptor); !ok {
		return cli.Usage(`"ttrpc describe" shows what it is.`, "%s is a %s, not a service", name, schema.Kind(d))
	}
	l.writeMethods(d)
	return s.Save(d)
}

func (l *lister) writeMethods(d protoreflect.Descriptor) {
	service, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return
	}
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		line := fmt.Sprintf("%s/%s", service.FullName(), m.Name())
		if l.long {
			line += source.Signature(m)
		}
		fmt.Fprintln(l.env.Stdout, line)
	}
}
