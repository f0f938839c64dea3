// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/testpeer"
	"github.com/containerd/ttrpc/reflection"
)

// serveHere serves on a socket, and returns its address.
func serveHere(t *testing.T, register func(*ttrpc.Server), opts ...ttrpc.ServerOpt) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ttrpc.NewServer(opts...)
	if err != nil {
		t.Fatal(err)
	}
	register(server)
	served := make(chan error)
	go func() { served <- server.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		server.Close()
		<-served
		os.RemoveAll(dir)
	})
	return "unix:" + path
}

// A world is where a command runs in this process.
type world struct {
	stdin  io.Reader
	stdout io.Writer // by default kept in out
	out    bytes.Buffer
	err    bytes.Buffer
}

// run runs the command and returns its error.
func (w *world) run(ctx context.Context, args ...string) error {
	e := &cli.Env{Stdin: w.stdin, Stdout: w.stdout, Stderr: &w.err, Getenv: func(string) string { return "" }}
	if e.Stdin == nil {
		e.Stdin = strings.NewReader("")
	}
	if e.Stdout == nil {
		e.Stdout = &w.out
	}
	root := newRootCommand(e)
	cli.Prepare(root)
	root.SetArgs(args)
	root.SetOut(e.Stdout)
	root.SetErr(e.Stderr)
	return root.ExecuteContext(ctx)
}

// wantExit holds that a command ends with a code.
func wantExit(t *testing.T, rule string, err error, code int) {
	t.Helper()
	exit := new(cli.Exit)
	if !errors.As(err, &exit) || exit.Code != code {
		t.Errorf("%s: %v, want code %d", rule, err, code)
	}
}

func TestAnswersPrintWhileInputIsRead(t *testing.T) { // B174
	address := serveHere(t, func(s *ttrpc.Server) { testpeer.Register(s); reflection.Register(s) })
	stdin, typing := io.Pipe()
	screen, stdout := io.Pipe()
	w := &world{stdin: stdin, stdout: stdout}
	done := make(chan error)
	go func() { done <- w.run(t.Context(), "call", "--compact", address, "demo.Greeter/Chat") }()
	lines := bufio.NewScanner(screen)
	for _, name := range []string{"Ada", "Alan", "Grace"} {
		fmt.Fprintf(typing, "{\n\"name\": %q}\n", name)
		if want := fmt.Sprintf(`{"text":"Hello, %s!"}`, name); !lines.Scan() || lines.Text() != want {
			t.Errorf("B174: %q, want %q", lines.Text(), want)
		}
	}
	typing.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// endless is a service whose stream never ends.
func endless(s *ttrpc.Server, ended chan<- error) {
	s.RegisterService("t.Endless", &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{"Count": {
		StreamingServer: true,
		Handler: func(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
			for {
				if err := stream.SendMsg(&ttrpc.RawMessage{Payload: []byte{8, 1}}); err != nil {
					ended <- context.Cause(ctx)
					return nil, err
				}
			}
		},
	}}})
}

// closedPipe is a standard output that nobody reads any more.
type closedPipe struct{ left int }

func (c *closedPipe) Write(b []byte) (int, error) {
	if c.left--; c.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(b), nil
}

func TestClosedOutput(t *testing.T) { // B177
	ended := make(chan error, 1)
	address := serveHere(t, func(s *ttrpc.Server) { endless(s, ended) })
	w := &world{stdout: &closedPipe{3}}
	err := w.run(t.Context(), "call", "--raw", "--stream", "server", address, "t.Endless/Count")
	wantExit(t, "B177", err, cli.ExitInput)
	<-ended
}

func TestCancel(t *testing.T) { // B174
	begun, ended := make(chan struct{}), make(chan error, 1)
	address := serveHere(t, func(s *ttrpc.Server) {
		s.Register("t.S", map[string]ttrpc.Method{"Hang": func(ctx context.Context, _ func(any) error) (any, error) {
			close(begun)
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return nil, ctx.Err()
		}})
	}, ttrpc.WithServerExtensions())
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	w := new(world)
	wantExit(t, "B174", w.run(ctx, "call", "--ext", "--raw", address, "t.S/Hang"), cli.ExitStatus+int(codes.Canceled))
	if err := <-ended; !strings.Contains(fmt.Sprint(err), "canceled") {
		t.Errorf("B174: the handler has ended with %v, not for the caller's cancel", err)
	}
}

func TestServersCalls(t *testing.T) { // B174
	results := make(chan error, 2)
	address := serveHere(t, func(s *ttrpc.Server) {
		testpeer.Register(s)
		reflection.Register(s)
		s.Register("t.S", map[string]ttrpc.Method{"CallBack": func(ctx context.Context, _ func(any) error) (any, error) {
			client, err := ttrpc.PeerClient(ctx)
			if err != nil {
				return nil, err
			}
			answer := new(ttrpc.RawMessage)
			results <- client.Call(ctx, "t.S", "Other", new(ttrpc.RawMessage), new(ttrpc.RawMessage))
			return answer, client.Call(ctx, testpeer.ServiceName, "Greet", &ttrpc.RawMessage{Payload: []byte("\n\x03Ada")}, answer)
		}})
	}, ttrpc.WithServerExtensions())
	w := new(world)
	err := w.run(t.Context(), "call", "--raw", "--answer", "demo.Greeter/Greet=0a026869", address, "t.S/CallBack")
	if err != nil || w.out.String() != "1: \"hi\"\n" {
		t.Errorf("B174: %q, %v", w.out.String(), err)
	}
	for _, want := range []string{"* the server calls demo.Greeter/Greet 1: \"Ada\"\n", "* the server calls t.S/Other \n"} {
		if !strings.Contains(w.err.String(), want) {
			t.Errorf("B174: standard error lacks %q:\n%s", want, w.err.String())
		}
	}
	if err := <-results; status.Code(err) != codes.Unimplemented {
		t.Errorf("B174: a call that is not answered ends with %v", err)
	}
}

func TestDescribedAnswers(t *testing.T) { // B174
	address := serveHere(t, func(s *ttrpc.Server) {
		s.Register("containerd.task.v2.Task", map[string]ttrpc.Method{"Pause": func(ctx context.Context, _ func(any) error) (any, error) {
			client, err := ttrpc.PeerClient(ctx)
			if err != nil {
				return nil, err
			}
			answer := new(ttrpc.RawMessage)
			err = client.Call(ctx, "containerd.task.v2.Task", "Start", &ttrpc.RawMessage{Payload: []byte("\n\x01a")}, answer)
			return nil, errors.Join(err, fmt.Errorf("it was answered with %x", answer.Payload))
		}})
	}, ttrpc.WithServerExtensions())
	for answer, want := range map[string]string{`{"pid":7}`: "it was answered with 0807", `{"pi":7}`: "cannot answer containerd.task.v2.Task/Start: (line 1:2): unknown field"} {
		w := new(world)
		err := w.run(t.Context(), "call", "--answer", "containerd.task.v2.Task.Start="+answer, address, "containerd.task.v2.Task/Pause")
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("B174: %v, want %s", err, want)
		}
		if want := "* the server calls containerd.task.v2.Task/Start {\"id\":\"a\"}\n"; !strings.Contains(w.err.String(), want) {
			t.Errorf("B174: standard error lacks %q:\n%s", want, w.err.String())
		}
	}
	wantExit(t, "B174", new(world).run(t.Context(), "call", "--answer", "x", address, "a.B/C"), cli.ExitUsage)
}

// TestContainerdsAny holds that what containerd's services send and take in an Any is JSON here.
func TestContainerdsAny(t *testing.T) { // B173
	requests := make(chan []byte, 1)
	address := serveHere(t, func(s *ttrpc.Server) {
		s.Register("containerd.task.v2.Task", map[string]ttrpc.Method{
			"Stats": func(context.Context, func(any) error) (any, error) {
				const metrics = "\n\x02\x08\x07" // pids, of which the current number is 7
				const name = "io.containerd.cgroups.v2.Metrics"
				any := "\n" + string(rune(len(name))) + name + "\x12" + string(rune(len(metrics))) + metrics
				return &ttrpc.RawMessage{Payload: []byte("\n" + string(rune(len(any))) + any)}, nil
			},
			"Exec": func(_ context.Context, unmarshal func(any) error) (any, error) {
				request := new(ttrpc.RawMessage)
				err := unmarshal(request)
				requests <- request.Payload
				return new(ttrpc.RawMessage), err
			},
		})
	})
	w := new(world)
	err := w.run(t.Context(), "call", "--compact", address, "containerd.task.v2.Task/Stats", "-d", `{"id":"a"}`)
	if want := `{"stats":{"@type":"io.containerd.cgroups.v2.Metrics","pids":{"current":"7"}}}` + "\n"; err != nil || w.out.String() != want {
		t.Errorf("B173: %s, %v; want %s", w.out.String(), err, want)
	}
	const process = `{"args":["sh"],"rlimits":[{"hard":18446744073709551615}]}`
	if err := w.run(t.Context(), "call", address, "containerd.task.v2.Task/Exec", "-d",
		`{"id":"a","spec":{"@type":"opencontainers/runtime-spec/1/Process","value":`+process+`}}`); err != nil {
		t.Error(err)
	}
	if got := string(<-requests); !strings.Contains(got, "opencontainers/runtime-spec/1/Process\x12") || !strings.HasSuffix(got, process) {
		t.Errorf("B173: the request is %q", got)
	}
}
