// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/testpeer"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/testpeer/demo"
	"github.com/containerd/ttrpc/integration/kit"
	"github.com/containerd/ttrpc/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// serve serves and returns the address.
func serve(t *testing.T, opts ...ttrpc.ServerOpt) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "t")
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
	testpeer.Register(server)
	served := make(chan error)
	go func() { served <- server.Serve(context.Background(), l) }()
	t.Cleanup(func() { server.Close(); <-served; os.RemoveAll(dir) })
	return "unix:" + path
}

// run parses flags and calls inspect.
func run(t *testing.T, address string, args ...string) (found *demo.Inspection, stderr string, err error) {
	t.Helper()
	var f Flags
	var out bytes.Buffer
	cmd := &cobra.Command{SilenceErrors: true, SilenceUsage: true, RunE: func(cmd *cobra.Command, _ []string) error {
		client, err := f.Dial(cmd.Context(), address)
		if err != nil {
			return err
		}
		defer client.Close()
		ctx, cancel, err := f.Context(cmd.Context())
		if err != nil {
			return err
		}
		defer cancel()
		found = new(demo.Inspection)
		return cli.CallExit(client.Call(ctx, testpeer.ServiceName, "Inspect", new(emptypb.Empty), found))
	}}
	f.Register(cmd)
	cmd.SetArgs(args)
	cmd.SetErr(&out)
	err = cmd.Execute()
	return found, out.String(), err
}

func TestMetadata(t *testing.T) {
	t.Setenv("TTRPC_TEST_TOKEN", "se=cr:et")
	address := serve(t)
	found, _, err := run(t, address, "-H", "a: b", "-H", "c=d: e", "-H", "a=f", "--header", "t=x${TTRPC_TEST_TOKEN}$y",
		"--expand", "-n", "k8s.io", "--timeout", "1m")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"a": "b,f", "c": "d: e", "t": "xse=cr:et$y", "containerd-namespace-ttrpc": "k8s.io"} {
		if got := found.Metadata[key]; got != want {
			t.Errorf("B169: %s is %q, want %q", key, got, want)
		}
	}
	if !found.HasDeadline {
		t.Error("B169: --timeout does not travel")
	}
	found, _, err = run(t, address, "-H", "t=${TTRPC_TEST_TOKEN}")
	if err != nil || found.Metadata["t"] != "${TTRPC_TEST_TOKEN}" || found.HasDeadline {
		t.Errorf("B169: without flags: %v, %v", found, err)
	}
	for _, args := range [][]string{{"-H", "nothing"}, {"-H", ": x"}, {"-H", "a=${", "--expand"}, {"-H", "a=${NO_SUCH_VARIABLE}", "--expand"}} {
		_, _, err := run(t, address, args...)
		if exit := new(cli.Exit); !errors.As(err, &exit) || exit.Code != cli.ExitUsage {
			t.Errorf("B169: %q: %v", args, err)
		}
	}
}

func TestExtended(t *testing.T) {
	for want, opts := range map[string][]ttrpc.ServerOpt{
		"has agreed to the extended mode":       {ttrpc.WithServerExtensions()},
		"does not know the extended mode, or w": nil,
	} {
		if _, stderr, err := run(t, serve(t, opts...), "--ext"); err != nil || strings.Count(stderr, want) != 1 {
			t.Errorf("B169: --ext says %q, %v; want %s", stderr, err, want)
		}
	}
}

// TestAnswer has metadata of the answer told.
func TestAnswer(t *testing.T) {
	address := serve(t, ttrpc.WithServerExtensions(), ttrpc.WithUnaryServerInterceptor(
		func(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
			ttrpc.SetHeader(ctx, ttrpc.MD{"greeting": {"hello"}})
			ttrpc.SetTrailer(ctx, ttrpc.MD{"parting": {"bye"}})
			return method(ctx, unmarshal)
		}))
	_, stderr, err := run(t, address, "-v", "--ext")
	if err != nil || !strings.Contains(stderr, "answer's metadata greeting: hello") || !strings.Contains(stderr, "trailing metadata parting: bye") {
		t.Errorf("B169: %s, %v", stderr, err)
	}
}

// refusing takes nobody.
type refusing struct{}

func (refusing) Handshake(context.Context, net.Conn) (net.Conn, any, error) {
	return nil, nil, errors.New("go away")
}

// TestRefused is of servers that refuse a connection, in silence or with a reason.
func TestRefused(t *testing.T) {
	for _, test := range []struct {
		opts []ttrpc.ServerOpt
		args []string
		code int
		text string
	}{
		{[]ttrpc.ServerOpt{ttrpc.WithServerHandshaker(refusing{})}, nil, cli.ExitLost, "closed"},
		{[]ttrpc.ServerOpt{ttrpc.WithServerHandshaker(ttrpc.RequireUser(4242)), ttrpc.WithServerExtensions()}, []string{"--ext"}, cli.ExitConnect, "refuses the connection"},
		{[]ttrpc.ServerOpt{ttrpc.WithServerHandshaker(ttrpc.RequireUser(4242)), ttrpc.WithServerExtensions()}, nil, cli.ExitConnect, "no connection: ttrpc: the peer refuses the connection"},
	} {
		_, _, err := run(t, serve(t, append(test.opts, ttrpc.WithServerLogger(new(kit.Logger)))...), test.args...)
		if exit := new(cli.Exit); !errors.As(err, &exit) || exit.Code != test.code || !strings.Contains(err.Error(), test.text) || exit.Hint == "" {
			t.Errorf("B168: %#v, want code %d and %s", err, test.code, test.text)
		}
	}
}

func TestVerbose(t *testing.T) {
	address := serve(t)
	says := func(args ...string) string {
		_, stderr, err := run(t, address, append(args, "-H", "key=value")...)
		if err != nil {
			t.Error(err)
		}
		return stderr
	}
	levels := []string{"connected to " + address, "sent metadata key: value", "call 1 /demo.Greeter/Inspect",
		"call 1 has ended with OK after", "→ request, id 1", "← response, id 1", "6b 65 79"}
	for args, most := range map[string]int{"": 0, "-v": 4, "-vv": 6, "-vvv": 7} {
		stderr := says(slices.DeleteFunc([]string{args}, func(s string) bool { return s == "" })...)
		for i, want := range levels {
			if strings.Contains(stderr, want) != (i < most) {
				t.Errorf("B169: %s says\n%s\nand %q is or is not there", args, stderr, want)
			}
		}
	}
}

func TestDialFails(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "left")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for address, want := range map[string]struct {
		code int
		hint string
	}{
		"unix:" + dir + "/none": {cli.ExitConnect, "No socket has that path"},
		left:                    {cli.ExitConnect, "Nobody listens on that socket any more"},
		"localhost:1":           {cli.ExitUsage, "lists the forms of addresses"},
	} {
		_, _, err := run(t, address)
		if exit := new(cli.Exit); !errors.As(err, &exit) || exit.Code != want.code || !strings.Contains(exit.Hint, want.hint) {
			t.Errorf("B168: %s: %#v, want %v", address, err, want)
		}
	}
	_, _, err = run(t, serve(t), "--timeout", "1ns")
	if exit := new(cli.Exit); !errors.As(err, &exit) || exit.Code != cli.ExitStatus+4 || status.Code(exit.Err) != 4 {
		t.Errorf("B168: a deadline: %#v", err)
	}
	var f Flags
	ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	if _, err := f.Dial(ctx, "tcp:192.0.2.1:1"); err == nil {
		t.Error("B168: a connection to nobody")
	}
}
