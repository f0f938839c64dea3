// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/address"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/probe"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/target"
)

// A ping is what the flags of ttrpc ping say.
type ping struct {
	env      *cli.Env
	target   target.Flags
	count    int
	interval time.Duration
	patience time.Duration
	json     bool
}

func newPingCommand(e *cli.Env) *cobra.Command {
	p := &ping{env: e}
	cmd := &cobra.Command{
		Use:   "ping [flags] ADDRESS",
		Short: "Tell whether a server answers, how fast, and what it seems to be",
		Long: `Tell whether a server answers, how fast, and what it seems to be.

It works with every ttrpc server and has no effect there: it calls a service that cannot exist,
and any status is an answer. What is no ttrpc server, as one of gRPC, is told.

` + address.Forms,
		Example: `  ttrpc ping unix:/run/service.sock
  ttrpc ping shim:k8s.io/4f2c -c 10 --interval 1s`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeAddress,
		RunE:              func(cmd *cobra.Command, args []string) error { return p.run(cmd.Context(), args[0]) },
	}
	p.target.RegisterConnect(cmd)
	cmd.Flags().IntVarP(&p.count, "count", "c", 3, "how many answers to wait for")
	cli.Duration(cmd.Flags(), &p.interval, "interval", "i", 100*time.Millisecond, "how long to pause between them")
	cli.Duration(cmd.Flags(), &p.patience, "timeout", "", 5*time.Second, "how long to wait for each")
	cmd.Flags().BoolVar(&p.json, "json", false, "print the result as JSON")
	return cmd
}

func (p *ping) run(ctx context.Context, text string) error {
	if p.count < 1 {
		return cli.Usage("", "--count %d: it is 1 at least", p.count)
	}
	a, err := target.Parse(text)
	if err != nil {
		return err
	}
	pr := &probe.Probe{
		Dial: p.target.Dialer(a), Count: p.count, Interval: p.interval, Patience: p.patience,
		Answered: func(n int, trip time.Duration) {
			if !p.json {
				fmt.Fprintf(p.env.Stdout, "answer %d after %v\n", n, trip.Round(time.Microsecond))
			}
		},
	}
	if !a.NRI {
		pr.Trunk = address.NRIRuntime
	}
	peer, err := pr.Run(ctx)
	if peer == nil {
		return pingExit(a, err)
	}
	if p.json {
		if err := p.printJSON(a, peer); err != nil {
			return err
		}
	} else {
		p.print(a, peer)
	}
	if err == nil || ctx.Err() != nil { // an interrupt says that these are enough
		return nil
	}
	return stoppedExit(a, len(peer.Trips), err)
}

// stoppedExit is the error of a peer that has answered before.
func stoppedExit(a *address.Address, answers int, err error) error {
	switch {
	case errors.Is(err, ttrpc.ErrClosed):
		return &cli.Exit{Code: cli.ExitLost, Err: fmt.Errorf("%v: the connection was lost after %d answers: %w", a, answers, err)}
	case errors.Is(err, context.DeadlineExceeded):
		return &cli.Exit{Code: cli.CodeDeadline, Err: fmt.Errorf("%v: after %d answers it does not answer any more: %w", a, answers, err),
			Hint: "It may hang. --timeout sets how long to wait."}
	}
	return cli.CallExit(err)
}

func (p *ping) print(a *address.Address, peer *probe.Peer) {
	var sum time.Duration
	for _, trip := range peer.Trips {
		sum += trip
	}
	answers := "answers"
	if len(peer.Trips) == 1 {
		answers = "answer"
	}
	fmt.Fprintf(p.env.Stdout, "%v: %d %s, least %v, mean %v, most %v; connected in %v\n", a, len(peer.Trips), answers,
		slices.Min(peer.Trips).Round(time.Microsecond), (sum / time.Duration(len(peer.Trips))).Round(time.Microsecond),
		slices.Max(peer.Trips).Round(time.Microsecond), peer.Connect.Round(time.Microsecond))
	fmt.Fprintf(p.env.Stdout, "It seems to be %s.\n", describePeer(peer))
}

func describePeer(peer *probe.Peer) string {
	switch {
	case peer.Extended:
		return string(peer.Kind) + ", and agrees to the extended mode"
	case peer.Kind == probe.ThisLibrary:
		return string(peer.Kind) + ", without the extended mode"
	}
	return string(peer.Kind)
}

// A pingResult is what --json prints. Times are in milliseconds.
type pingResult struct {
	Address  string    `json:"address"`
	Path     string    `json:"path,omitempty"`
	Kind     string    `json:"kind"`
	Extended bool      `json:"extended"`
	Connect  float64   `json:"connect_ms"`
	Trips    []float64 `json:"answers_ms"`
}

func (p *ping) printJSON(a *address.Address, peer *probe.Peer) error {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	r := pingResult{Address: a.Text, Path: a.Path, Kind: string(peer.Kind), Extended: peer.Extended, Connect: ms(peer.Connect)}
	for _, trip := range peer.Trips {
		r.Trips = append(r.Trips, ms(trip))
	}
	return json.NewEncoder(p.env.Stdout).Encode(r)
}

// pingExit makes the error of a probe one that the program ends with.
func pingExit(a *address.Address, err error) error {
	var other *probe.NotTTRPC
	switch {
	case errors.As(err, &other):
		return &cli.Exit{Code: cli.ExitConnect, Err: fmt.Errorf("%v: %w", a, err), Hint: other.Hint}
	case errors.Is(err, probe.ErrConnect):
		return target.ConnectExit(a, err)
	case errors.Is(err, ttrpc.ErrClosed):
		return &cli.Exit{Code: cli.ExitLost, Err: fmt.Errorf("%v: the peer has closed the connection without an answer", a),
			Hint: "It may refuse this user, want TLS, or speak another protocol. Its log may tell."}
	case errors.Is(err, context.DeadlineExceeded):
		return &cli.Exit{Code: cli.CodeDeadline, Err: fmt.Errorf("%v: it takes connections and does not answer: %w", a, err),
			Hint: "It may hang, or speak another protocol. --timeout sets how long to wait."}
	}
	return cli.CallExit(err)
}
