// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/address"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/inplace"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/lines"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/target"
)

const proxyExample = `  ttrpc proxy --listen /tmp/proxy.sock --to /run/service.sock
  ttrpc proxy --to shim:k8s.io/3f0b --in-place
  ttrpc proxy --to containerd: --listen /tmp/proxy.sock --pcap calls.pcapng --json
  ttrpc proxy --to /run/service.sock --listen tcp:127.0.0.1:8080 --grpc`

const proxyLong = `Pass connections on to a server, and show each call in a line.

What passes is copied as it is, with file descriptors and half-closes; the calls are read
beside that. A reader who is slow holds nothing up: what cannot be printed in time is counted.

With --in-place the proxy takes the place of the server's socket and gives it back when it
ends. With --grpc it speaks gRPC to its clients, and ttrpc to the server, so that grpcurl
and the like work in front of a ttrpc socket.

What the proxy cannot show: connections that were there before it (containerd keeps one to
each shim: restart containerd to have it connect anew, the shims live on), and what is in
TLS. What it changes: the server sees the credentials of the proxy, not those of its clients.`

// proxyFlags are the flags of "ttrpc proxy".
type proxyFlags struct {
	listen, to   string
	inPlace      bool
	grpc, nri    bool
	pcap         string
	waiting      int // how many bytes wait to be printed, and to be recorded
	reflect      bool
	printing     printFlags
	descriptions schema.Flags
}

func newProxyCommand(e *cli.Env) *cobra.Command {
	f := new(proxyFlags)
	cmd := &cobra.Command{
		Use:     "proxy --to ADDRESS {--listen ADDRESS | --in-place}",
		Short:   "Show the calls that pass between clients and a server",
		Long:    proxyLong + "\n\n" + address.Forms,
		Example: proxyExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signals, stop := endSignals()
			defer stop()
			return f.run(context.WithoutCancel(cmd.Context()), e, signals)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.to, "to", "", "the `ADDRESS` of the server")
	flags.StringVar(&f.listen, "listen", "", "the `ADDRESS` that clients connect to")
	flags.BoolVar(&f.inPlace, "in-place", false, "listen in the place of the server's unix socket, until the proxy ends")
	flags.BoolVar(&f.grpc, "grpc", false, "speak gRPC to clients (without TLS), and ttrpc to the server")
	flags.BoolVar(&f.nri, "nri", false, "what passes is the trunk of NRI; nri: as the server's address implies it")
	flags.StringVar(&f.pcap, "pcap", "", "record what passes in `FILE`, for Wireshark and \"ttrpc dump\"; - is standard output, which then has no lines")
	flags.BoolVar(&f.reflect, "reflect", false, "ask the server for descriptions of its methods, on a connection of the proxy's own")
	f.printing.register(cmd)
	f.descriptions.Register(cmd)
	cmd.RegisterFlagCompletionFunc("to", completeAddress)
	cmd.RegisterFlagCompletionFunc("listen", completeAddress)
	return cmd
}

// printFlags say what is printed and how. "ttrpc dump" has them, too.
type printFlags struct {
	json    bool
	clock   bool
	verbose int
	limit   int
	filter  lines.Filter
}

func (f *printFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.json, "json", false, "print a JSON object for each event")
	flags.BoolVar(&f.clock, "time", false, "print the time of day before each line")
	flags.CountVarP(&f.verbose, "verbose", "v", "show metadata, timeouts and what holds connections up; -vv each frame, too")
	flags.IntVar(&f.limit, "limit", lines.DefaultLimit, "how many `BYTES` of a message a line shows; 0 is all")
	f.filter.Register(cmd)
}

// printer returns what prints so.
func (f *printFlags) printer(e *cli.Env, s *schema.Schema) (*lines.Printer, error) {
	if err := f.filter.Check(); err != nil {
		return nil, cli.Usage("", "%w", err)
	}
	if f.limit < 0 {
		return nil, cli.Usage("", "--limit %d is less than nothing", f.limit)
	}
	if f.json && f.clock {
		return nil, cli.Usage("", "--time is for lines of text; with --json each event has its time")
	}
	return &lines.Printer{Out: e.Stdout, Schema: s, Paint: e.Paint, JSON: f.json, Clock: f.clock, Verbose: f.verbose, Limit: f.limit, Lazy: f.filter.Active()}, nil
}

// check returns what is wrong with the flags by themselves.
func (f *proxyFlags) check() error {
	const hint = `"ttrpc proxy --help" has examples.`
	switch {
	case f.to == "":
		return cli.Usage(hint, "--to is missing: the address of the server")
	case f.inPlace && f.listen != "":
		return cli.Usage(hint, "--in-place listens where the server does, so --listen has no meaning beside it")
	case !f.inPlace && f.listen == "":
		return cli.Usage("--in-place takes the place of the server's socket.", "--listen is missing: the address that clients connect to")
	case f.pcap == "-" && (f.printing.json || f.printing.clock || f.printing.verbose > 0 || f.printing.filter.Active()):
		return cli.Usage("", "--pcap - leaves no lines, so what says how and which they are does not apply")
	case f.grpc && f.inPlace:
		return cli.Usage("", "--grpc cannot be --in-place: clients that speak ttrpc would find gRPC there")
	case f.grpc && f.nri:
		return cli.Usage("", "--grpc passes on calls to one service, and --nri is a trunk of several connections")
	}
	return nil
}

// parseFlag understands the address that a flag has.
func parseFlag(flag, text string) (*address.Address, error) {
	a, err := target.Parse(text)
	if exit := new(cli.Exit); errors.As(err, &exit) {
		return nil, &cli.Exit{Code: exit.Code, Err: fmt.Errorf("%s: %w", flag, exit.Err), Hint: exit.Hint}
	}
	return a, err
}

// run is the command. It ends with an error, or after what comes from signals.
func (f *proxyFlags) run(ctx context.Context, e *cli.Env, signals <-chan os.Signal) error {
	if err := f.check(); err != nil {
		return err
	}
	to, err := parseFlag("--to", f.to)
	if err != nil {
		return err
	}
	p := &proxy{env: e, to: to, trunk: f.nri || to.NRI, quiet: f.pcap == "-", listening: make(chan struct{})}
	if p.trunk && f.grpc {
		return cli.Usage("", "--grpc passes on calls to one service, and %s is a trunk of several connections", f.to)
	}
	if p.server, err = p.reflecting(f.reflect && !f.grpc); err != nil {
		return err
	}
	if p.server != nil {
		defer p.server.Close()
	}
	s, err := f.descriptions.Open(ctx, p.server)
	if err != nil {
		return err
	}
	printer, err := f.printing.printer(e, s)
	if err != nil {
		return err
	}
	capture, err := f.openCapture(e)
	if err != nil {
		return err
	}
	if capture != nil {
		defer capture.Close()
	}
	l, err := p.listen(ctx, f)
	if err != nil {
		return err
	}
	defer p.giveBack()
	close(p.listening)
	p.start(f, printer, capture)
	if f.grpc {
		return p.bridge(ctx, l, s, signals)
	}
	return p.run(ctx, l, signals)
}

// openCapture opens the file to record in, or returns nil if there is none.
func (f *proxyFlags) openCapture(e *cli.Env) (io.WriteCloser, error) {
	switch f.pcap {
	case "":
		return nil, nil
	case "-":
		if e.StdoutTerminal {
			return nil, cli.Usage("", "--pcap - writes to standard output, which is a terminal")
		}
		return noClose{e.Stdout}, nil
	}
	file, err := os.OpenFile(f.pcap, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, cli.Usage("", "--pcap: %w", err)
	}
	return file, nil
}

// noClose is a writer that is not the program's to close.
type noClose struct{ io.Writer }

// Close implements io.Closer.
func (noClose) Close() error { return nil }

// listen listens, and says where and what that means.
func (p *proxy) listen(ctx context.Context, f *proxyFlags) (net.Listener, error) {
	if f.inPlace {
		return p.takePlace(ctx)
	}
	a, err := parseFlag("--listen", f.listen)
	if err != nil {
		return nil, err
	}
	l, err := a.Listen(ctx)
	if err != nil {
		return nil, &cli.Exit{Code: cli.ExitConnect, Err: err, Hint: a.Hint(err)}
	}
	at := f.listen
	if l.Addr() != nil && l.Addr().Network() == "tcp" {
		at = "tcp:" + l.Addr().String() // with the port, if any was meant
	}
	p.say("listening on %s, passing on to %s", at, p.to)
	return l, nil
}

// takePlace takes the place of the server's socket.
func (p *proxy) takePlace(ctx context.Context) (net.Listener, error) {
	if p.to.Path == "" {
		return nil, cli.Usage("", "--in-place needs a unix socket with a path, and %s is none", p.to)
	}
	place, err := inplace.Take(ctx, p.to.Path)
	if err != nil {
		hint := p.to.Hint(err)
		if errors.Is(err, inplace.ErrTaken) {
			hint = "End that one first."
		}
		return nil, &cli.Exit{Code: cli.ExitConnect, Err: err, Hint: hint}
	}
	p.place = place
	if place.Stale {
		p.say("put right what a proxy had left behind that was killed")
	}
	p.say("listening in the place of %s, which is %s meanwhile", place.Path, place.Aside)
	p.say("connections that exist already are not seen; the server sees the credentials of this process (pid %d)", os.Getpid())
	p.say("^C puts the socket back; if this process is killed, run it again, or: mv %s %s", place.Aside, place.Path)
	return place.Listener, nil
}

// say tells the user something that is no traffic.
func (p *proxy) say(format string, args ...any) {
	fmt.Fprintf(p.env.Stderr, "ttrpc proxy: "+format+"\n", args...)
}
