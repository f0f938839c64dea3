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
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/script"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/target"
	"github.com/containerd/ttrpc/health"
	"github.com/containerd/ttrpc/reflection"
)

const serveExample = `  ttrpc serve unix:/tmp/test.sock --proto service.proto --script answers.json
  ttrpc serve unix:/tmp/test.sock --echo`

const serveHelp = `Serve answers from a script, for tests of clients.

The script is JSON: an object whose keys are methods. Each has one rule, or an array of
them, of which the first that matches is used:

  {
    "demo.Greeter/Greet": [
      {"when": {"name": "Ada"}, "answer": {"text": "Hello, Ada!"}},
      {"error": {"code": "NOT_FOUND", "message": "nobody of that name"}}
    ],
    "demo.Greeter/Count": {"answers": [{"value": "1"}, {"value": "2"}], "wait": "100ms"}
  }

  when      fields that the message must have; without it any message matches
  times     how many calls or messages the rule is used for; then it is skipped
  wait      how long to wait before each answer, as "100ms"
  answer    what to answer; answers, an array, is for methods whose server streams
  error     the status to end with: code, message, details
  end       true: end the stream with success
  at        the event: message, or of methods whose client streams start, when the call has
            come, and end, when the client sends no more

A rule is about each message of the client, and of a method that has one answer to many messages
about their end. Without a rule for the end, a stream both ways ends with success when the client
has ended its side. --echo sends back each message as it is, of whatever method.

Standard output has a line of JSON for each call, message and end. Reflection and health are
served, too, unless the script has them. An interrupt ends the server.`

// A serveCommand is what its flags say.
type serveCommand struct {
	*cli.Env
	schema               schema.Flags
	script               string
	echo, classic, quiet bool
	bare                 bool
}

func newServeCommand(e *cli.Env) *cobra.Command {
	s := &serveCommand{Env: e}
	cmd := &cobra.Command{
		Use:     "serve [flags] ADDRESS",
		Short:   "Answer calls from a script, for tests of clients",
		Long:    serveHelp,
		Example: serveExample,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return s.run(cmd.Context(), args[0]) },
	}
	s.schema.Register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&s.script, "script", "", "the script's `FILE`, or - for standard input")
	flags.BoolVar(&s.echo, "echo", false, "send back each message as it is")
	flags.BoolVar(&s.classic, "classic", false, "do not agree to the extended mode")
	flags.BoolVar(&s.bare, "bare", false, "serve neither reflection nor health")
	flags.BoolVarP(&s.quiet, "quiet", "q", false, "print nothing of calls")
	return cmd
}

func (s *serveCommand) run(ctx context.Context, text string) error {
	if s.echo == (s.script != "") {
		return cli.Usage(`"ttrpc help serve" shows a script.`, "either --script FILE or --echo has to be given")
	}
	if s.echo && s.schema.ProtosetOut != "" {
		return cli.Usage("", "--protoset-out writes the descriptions of a script's services, and --echo has none")
	}
	server, err := s.newServer(ctx)
	if err != nil {
		return err
	}
	a, err := target.Parse(text)
	if err != nil {
		return err
	}
	l, err := a.Listen(ctx)
	if err != nil {
		return target.ConnectExit(a, err)
	}
	fmt.Fprintf(s.Stderr, "serving on %s\n", listening(text, l))
	return serveUntil(ctx, server, l)
}

// listening returns where a listener is, for which the system may have chosen the port.
func listening(text string, l net.Listener) string {
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		return "tcp://" + tcp.String()
	}
	return text
}

// patience is how long calls may still take when the server is to end.
const servePatience = time.Second

// serveUntil serves until ctx ends.
func serveUntil(ctx context.Context, server *ttrpc.Server, l net.Listener) error {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		ctx, cancel := context.WithTimeout(context.Background(), servePatience)
		defer cancel()
		server.Shutdown(ctx)
		server.Close()
	})
	err := server.Serve(context.Background(), l)
	if stop() {
		server.Close()
	} else {
		<-ended
	}
	if errors.Is(err, ttrpc.ErrServerClosed) {
		return nil
	}
	return &cli.Exit{Code: cli.ExitConnect, Err: err}
}

// newServer makes the server that was asked for.
func (s *serveCommand) newServer(ctx context.Context) (*ttrpc.Server, error) {
	described, err := s.schema.Open(ctx, nil)
	if err != nil {
		return nil, err
	}
	format := &message.Format{Types: described.Types()}
	out := s.Stdout
	if s.quiet {
		out = io.Discard
	}
	log := script.NewLog(out, format)
	var opts []ttrpc.ServerOpt
	if !s.classic {
		opts = append(opts, ttrpc.WithServerExtensions())
	}
	if s.echo {
		opts = append(opts, ttrpc.WithUnknownServiceHandler(script.Echo(described, log)))
	}
	server, err := ttrpc.NewServer(opts...)
	if err != nil {
		return nil, err
	}
	var files []reflection.Option
	var services []string
	if !s.echo {
		answers, err := s.readScript(ctx, described, format)
		if err != nil {
			return nil, err
		}
		files = append(files, reflection.WithFiles(answers.Register(server, log)))
		if err := described.Save(answers.Described()...); err != nil {
			return nil, err
		}
		services = answers.Services()
	}
	if !s.bare {
		addTools(server, services, files)
	}
	return server, nil
}

// addTools has a server serve health and reflection, unless it has services of these names.
func addTools(server *ttrpc.Server, services []string, files []reflection.Option) {
	if !slices.Contains(services, "grpc.health.v1.Health") {
		states := health.New()
		for _, name := range services {
			states.Set(name, health.Serving)
		}
		states.Register(server)
	}
	if !slices.Contains(services, "grpc.reflection.v1.ServerReflection") && !slices.Contains(services, "grpc.reflection.v1alpha.ServerReflection") {
		reflection.Register(server, files...)
	}
}

func (s *serveCommand) readScript(ctx context.Context, described *schema.Schema, format *message.Format) (*script.Script, error) {
	var data []byte
	var err error
	if s.script == "-" {
		data, err = io.ReadAll(s.Stdin)
	} else {
		data, err = os.ReadFile(s.script)
	}
	if err != nil {
		return nil, cli.Input("", "the script: %w", err)
	}
	answers, err := script.Parse(ctx, data, described, format)
	if err != nil {
		hint := `"ttrpc help serve" shows a script.`
		if exit := (*cli.Exit)(nil); errors.As(err, &exit) && exit.Hint != "" {
			hint = exit.Hint
		}
		return nil, &cli.Exit{Code: cli.ExitInput, Err: fmt.Errorf("the script %s: %w", s.script, err), Hint: hint}
	}
	return answers, nil
}
