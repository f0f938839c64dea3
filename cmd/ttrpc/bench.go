// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/load"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/sockets"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/target"
)

// A bench is one run of ttrpc bench.
type bench struct {
	env    *cli.Env
	target target.Flags
	schema schema.Flags
	format message.Format

	// flags
	data, kind, compare  string
	callers, connections int
	calls                int64
	duration, warmup     time.Duration
	rate                 float64
	messages             int
	raw, pairs, json     bool

	described                    protoreflect.MethodDescriptor // nil with --raw
	service, method              string
	clientStreams, serverStreams bool
	template                     *template
	timeout                      time.Duration // of each call
	clients                      []*ttrpc.Client
	server                       atomic.Pointer[benchPeer] // nil if it is not known
	counts                       counts                    // of messages, since the warm-up
}

func newBenchCommand(e *cli.Env) *cobra.Command {
	b := &bench{env: e}
	cmd := &cobra.Command{
		Use:   "bench [flags] ADDRESS SERVICE/METHOD",
		Short: "Measure how long calls take, under a load",
		Long: `Measures how long calls take: one after the other by each of -c callers, or with --rate so
many each second, whether the server keeps up or not. With a rate a call's time counts from when
it was due, so that a server that stops for a second is seen as what it is to those who wait.`,
		Example: `  ttrpc bench unix:/run/service.sock package.Service/Method -d '{"name": "Ada"}'
  ttrpc bench -c 8 -z 30s --warmup 2s shim:ID containerd.task.v2.Task/State -d '{"id": "ID"}'
  ttrpc bench --rate 2000 -c 64 --json ADDRESS package.Service/Method >before.json
  ttrpc bench --rate 2000 -c 64 --compare before.json ADDRESS package.Service/Method`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return b.run(cmd.Context(), args[0], args[1]) },
	}
	b.register(cmd)
	cmd.ValidArgsFunction = completeSymbol(&b.target, &b.schema, true)
	return cmd
}

func (b *bench) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	// -n is how many calls, as with every such program, so the namespace has its long name alone.
	others := &cobra.Command{}
	others.SetErr(b.env.Stderr)
	b.target.Register(others)
	others.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Shorthand == "n" {
			f.Shorthand = ""
		}
		flags.AddFlag(f)
	})
	b.schema.Register(cmd)
	flags.StringVarP(&b.data, "data", "d", "", "`MESSAGES` as JSON, or @FILE with them; {{.N}} is the number of the call, {{.M}} that of the message in a stream")
	flags.BoolVar(&b.raw, "raw", false, "no descriptions: messages are hex, or base64 behind \"base64:\", each in a line")
	flags.StringVar(&b.kind, "stream", "", "with --raw, who streams: `client|server|both`")
	cmd.RegisterFlagCompletionFunc("stream", cobra.FixedCompletions([]string{"client", "server", "both"}, cobra.ShellCompDirectiveNoFileComp))
	flags.IntVarP(&b.callers, "callers", "c", 1, "how many calls there are at once; with --rate at most")
	flags.IntVar(&b.connections, "connections", 1, "how many connections callers share")
	flags.Int64VarP(&b.calls, "calls", "n", 0, "how many calls; 0 is as many as --duration lets")
	flags.DurationVarP(&b.duration, "duration", "z", 0, "how long; 10s if there is no --calls either")
	flags.Float64Var(&b.rate, "rate", 0, "how many calls are due each second; 0 is as many as callers make")
	flags.DurationVar(&b.warmup, "warmup", 0, "how long to make calls before, that are not measured")
	flags.IntVar(&b.messages, "messages", 0, "how many messages the client sends on each stream; 0 is those of -d")
	flags.BoolVar(&b.pairs, "pairs", false, "if both stream, wait for an answer to each message, and measure how long it takes")
	flags.BoolVar(&b.json, "json", false, "print the result as JSON")
	flags.StringVar(&b.compare, "compare", "", "show the result beside that in `FILE`, which --json has written")
}

// check looks for flags that cannot be, or do not go together.
func (b *bench) check() error {
	switch {
	case b.callers < 1 || b.connections < 1:
		return cli.Usage("", "--callers %d, --connections %d: each is 1 at least", b.callers, b.connections)
	case b.connections > b.callers:
		return cli.Usage("-c sets how many callers there are.", "there are %d connections, and only %d callers to use them", b.connections, b.callers)
	case b.calls < 0 || b.duration < 0 || b.warmup < 0 || b.messages < 0:
		return cli.Usage("", "--calls, --duration, --warmup and --messages are not negative")
	case !(b.rate >= 0 && b.rate <= 1e7):
		return cli.Usage("", "--rate %v: it is between 0 and 10,000,000 calls a second", b.rate)
	case b.json && b.compare != "":
		return cli.Usage("--json alone prints a result that --compare can read.", "--json and --compare do not go together")
	}
	described := len(b.schema.Proto)+len(b.schema.Protosets) > 0 || b.schema.ProtosetOut != ""
	var err error
	if b.clientStreams, b.serverStreams, err = checkRaw(b.raw, described, b.kind); err != nil {
		return err
	}
	if b.calls == 0 && b.duration == 0 {
		b.duration = 10 * time.Second
	}
	return nil
}

func (b *bench) run(ctx context.Context, address, name string) (err error) {
	if b.service, b.method, err = schema.SplitMethod(name); err != nil {
		return err
	}
	if err := b.check(); err != nil {
		return err
	}
	var before *report
	if b.compare != "" {
		if before, err = readReport(b.compare); err != nil {
			return err
		}
	}
	defer func() {
		for _, c := range b.clients {
			c.Close()
		}
	}()
	if err := b.connect(ctx, address); err != nil {
		return err
	}
	if err := b.describe(ctx); err != nil {
		return err
	}
	b.timeout, b.target.Timeout = b.target.Timeout, 0 // it is that of each call
	calls, cancel, err := b.target.Context(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	r, err := b.measure(calls, address)
	if r == nil {
		return err
	}
	if failed := r.show(b.env, b.json, before); failed != nil {
		return failed
	}
	return err
}

// connect makes the connections.
func (b *bench) connect(ctx context.Context, address string) error {
	for range b.connections {
		c, err := b.target.Dial(ctx, address, ttrpc.WithClientHandshaker(b), ttrpc.WithClientLimits(ttrpc.Limits{MessageSize: 16<<20 - 1}))
		if err != nil {
			return err
		}
		b.clients = append(b.clients, c)
		if _, err := c.Peer(ctx); err != nil { // once the handshake is over
			return cli.CallExit(err)
		}
	}
	return nil
}

// A benchPeer is the process that began to listen at a unix socket's name.
type benchPeer struct {
	pid  int
	name string
}

// Handshake implements [ttrpc.Handshaker]: it sees who is at the other end.
func (b *bench) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	if peer, err := ttrpc.PeerCredentialsOf(conn); err == nil {
		b.server.Store(&benchPeer{peer.PID, conn.RemoteAddr().String()})
	}
	return conn, nil, nil
}

// describe finds the method's description, and makes the messages of one call.
func (b *bench) describe(ctx context.Context) error {
	ctx, cancel, err := b.target.Context(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	s, err := b.schema.Open(ctx, b.clients[0])
	if err != nil {
		return err
	}
	b.format.Types = s.Types()
	if !b.raw {
		if b.described, err = s.Method(ctx, b.service+"/"+b.method); err != nil {
			return err
		}
		b.clientStreams, b.serverStreams = b.described.IsStreamingClient(), b.described.IsStreamingServer()
		if err := s.Save(b.described); err != nil {
			return err
		}
	}
	switch both := b.clientStreams && b.serverStreams; {
	case b.pairs && !both:
		return cli.Usage("", "--pairs is for methods whose client and server stream; %s/%s is none", b.service, b.method)
	case b.messages > 0 && !b.clientStreams:
		return cli.Usage("", "--messages is for methods whose client streams; %s/%s is none", b.service, b.method)
	}
	if b.template, err = b.newTemplate(); err != nil {
		return err
	}
	_, err = b.template.call(0)
	return err
}

// measure warms up and makes the load.
func (b *bench) measure(ctx context.Context, address string) (*report, error) {
	plan := load.Plan{Callers: b.callers, Rate: b.rate, NewJob: b.newJob}
	if b.warmup > 0 {
		plan.Duration = b.warmup
		if r := plan.Run(ctx); r.Fatal != nil {
			return nil, cli.CallExit(fmt.Errorf("while warming up: %w", r.Fatal))
		}
		b.counts = counts{}
	}
	b.counts.trips = load.NewTimes()
	plan.Calls, plan.Duration = b.calls, b.duration
	defer b.showProgress(&plan)()
	here, _ := load.Watch(os.Getpid())
	there, why := b.watchServer()
	result := plan.Run(ctx)
	r := b.newReport(address, result)
	r.CPU = cpuOf(here, there, why, result.Calls)
	switch failures := result.Failures.All(); {
	case result.Fatal != nil:
		return r, cli.CallExit(result.Fatal)
	case result.Latency.Count() == 0 && len(failures) > 0:
		err := detailed(cli.CallExit(failures[0].First), &b.format)
		if exit := new(cli.Exit); errors.As(err, &exit) && exit.Hint == "" {
			exit.Hint = "Not one call has succeeded. Try it once by \"ttrpc call\"."
		}
		return r, err
	case result.Calls == 0:
		return nil, cli.Usage("", "no call was made, or has ended, in that time")
	}
	return r, nil
}

// showProgress shows on a terminal how many calls have begun, until the function that it returns
// is called. It looks now and then, so that no call waits for it.
func (b *bench) showProgress(plan *load.Plan) (stop func()) {
	if !b.env.StderrTerminal {
		return func() {}
	}
	var begun atomic.Int64
	plan.Began = func() { begun.Add(1) }
	progress := b.env.Progress("calls", b.calls)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer progress.Done()
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for shown := int64(0); ; {
			select {
			case <-ticker.C:
			case <-end:
				return
			}
			now := begun.Load()
			progress.Add(now - shown)
			shown = now
		}
	}()
	return func() { close(end); <-ended }
}

// watchServer looks at the server's process, if it is known, or says why it does not.
func (b *bench) watchServer() (*load.Process, error) {
	switch peer := b.server.Load(); {
	case peer == nil:
		return nil, errors.New("the connection does not tell which process the server is")
	case peer.pid == 0:
		return nil, errors.New("the server is in another pid namespace")
	default:
		return load.Watch(sockets.Holder(peer.name, peer.pid))
	}
}
