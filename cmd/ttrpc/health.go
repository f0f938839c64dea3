// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/target"
	"github.com/containerd/ttrpc/health"
	"github.com/containerd/ttrpc/internal/healthpb"
)

const healthExample = `  ttrpc health unix:/run/service.sock
  ttrpc health unix:/run/service.sock package.Service --watch
  until ttrpc health /run/service.sock; do sleep 1; done`

const healthHelp = `Ask a server whether it serves, or whether one of its services does.

The status is printed, and tested: the program ends with 0 if it is SERVING, with 5 if it is
another, and with 69 if the server does not know the service. grpc.health.v1.Health is asked,
and if the server does not have that, grpc.Health, which the agent of kata containers has.`

// A healthCommand is what its flags say.
type healthCommand struct {
	*cli.Env
	target      target.Flags
	watch, list bool
}

func newHealthCommand(e *cli.Env) *cobra.Command {
	h := &healthCommand{Env: e}
	cmd := &cobra.Command{
		Use:     "health [flags] ADDRESS [SERVICE]",
		Short:   "Ask a server whether it serves",
		Long:    healthHelp,
		Example: healthExample,
		Args:    cobra.RangeArgs(1, 2),
		RunE:    func(cmd *cobra.Command, args []string) error { return h.run(cmd.Context(), args) },

		ValidArgsFunction: completeAddress,
	}
	h.target.Register(cmd)
	cmd.Flags().BoolVar(&h.watch, "watch", false, "print the status now and each time that it changes, until interrupted")
	cmd.Flags().BoolVar(&h.list, "list", false, "print the statuses of all services that the server knows; all have to be SERVING")
	return cmd
}

func (h *healthCommand) run(ctx context.Context, args []string) error {
	service := ""
	if len(args) > 1 {
		service = args[1]
	}
	switch {
	case h.list && h.watch:
		return cli.Usage("", "--list and --watch do not go together")
	case h.list && service != "":
		return cli.Usage("", "--list is of all services, and %q was named", service)
	}
	client, err := h.target.Dial(ctx, args[0])
	if err != nil {
		return err
	}
	defer client.Close()
	call, cancel, err := h.target.Context(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	switch {
	case h.list:
		err = h.printAll(call, client)
	case h.watch:
		err = h.follow(ctx, call, client, service)
	default:
		err = h.check(call, client, service)
	}
	exit, ok := cli.CallExit(err).(*cli.Exit)
	if !ok {
		return err
	}
	switch exit.Code - cli.ExitStatus {
	case int(codes.NotFound):
		exit.Hint = `"ttrpc health --list ADDRESS" lists the services whose health the server knows.`
	case int(codes.InvalidArgument):
		exit.Hint = "Servers in Rust say that of a service that they do not have."
	case int(codes.Unimplemented):
		exit.Hint = `It does not serve health, or not that method. "ttrpc ping ADDRESS" tells whether it answers at all.`
	}
	return exit
}

// print prints a status in a line of its own, behind the name of its service if there is one.
func (h *healthCommand) print(name string, state health.Status) {
	colour := cli.Red
	if state == health.Serving {
		colour = cli.Green
	}
	fmt.Fprintln(h.Stdout, name+h.Paint(colour, state.String()))
}

// tested returns the error of a status that is not SERVING.
func tested(what string, state health.Status) error {
	if state == health.Serving {
		return nil
	}
	return &cli.Exit{Code: cli.ExitNotServing, Err: fmt.Errorf("%s is %v", what, state)}
}

// named returns what to call a service.
func named(service string) string {
	if service == "" {
		return "the server"
	}
	return fmt.Sprintf("service %q", service)
}

func (h *healthCommand) check(ctx context.Context, client *ttrpc.Client, service string) error {
	state, err := health.Check(ctx, client, service)
	// A server of kata says one of these of a service that it does not have; and of all the
	// first counts, if kata's is not there either.
	if code := status.Code(err); code == codes.Unimplemented || code == codes.NotFound || code == codes.InvalidArgument {
		kata := new(healthpb.HealthCheckResponse) // which has the same numbers
		if client.Call(ctx, "grpc.Health", "Check", &healthpb.HealthCheckRequest{Service: service}, kata) == nil {
			state, err = health.Status(kata.Status), nil
		}
	}
	if err != nil {
		return err
	}
	h.print("", state)
	return tested(named(service), state)
}

func (h *healthCommand) printAll(ctx context.Context, client *ttrpc.Client) error {
	all, err := health.List(ctx, client)
	if err != nil {
		return err
	}
	var failed error
	for _, service := range slices.Sorted(maps.Keys(all)) {
		name := service
		if name == "" {
			name = `""`
		}
		h.print(name+" ", all[service])
		if failed == nil {
			failed = tested(named(service), all[service])
		}
	}
	return failed
}

// follow prints each status until ctx ends, which is the user's wish: then the last status
// counts.
func (h *healthCommand) follow(ctx, call context.Context, client *ttrpc.Client, service string) error {
	last := health.Unknown
	for state, err := range health.Watch(call, client, service) {
		if err != nil && ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
		last = state
		h.print("", state)
	}
	return tested(named(service), last)
}
