// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

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

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/libchan"
)

// serveSessions serves sessions of libchan, and returns the address.
func serveSessions(t *testing.T, handle func(*libchan.Session), opts ...libchan.Option) string {
	t.Helper()
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		t.Fatal(err)
	}
	if err := libchan.Register(server, append(opts, libchan.WithHandler(handle))...); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- server.Serve(context.Background(), l) }()
	t.Cleanup(func() { server.Close(); <-served; os.RemoveAll(dir) })
	return "unix:" + path
}

// runCommand runs the command in this process.
func runCommand(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	e := &cli.Env{Stdin: new(bytes.Buffer), Stdout: &out, Stderr: &err, Getenv: func(string) string { return "" }}
	code = cli.Run(e, newRootCommand, args)
	return code, out.String(), err.String()
}

// news opens two channels, and ends the session once they are received.
func news(t *testing.T) func(*libchan.Session) {
	return func(s *libchan.Session) {
		ctx := context.Background()
		named, err := s.OpenChannel(ctx, "news")
		if err != nil {
			t.Error(err)
			return
		}
		_, ret := libchan.Make[string](0)
		named.Send(map[string]any{"text": "hello", "ret": ret, "keys": map[any]any{1: "one"}, "list": []any{int64(1), true}})
		named.Close()
		other, err := s.NewSendChannel()
		if err != nil {
			t.Error(err)
			return
		}
		other.Send("alone")
		other.(libchan.ContextSender).CloseWithError(errors.New("that was all"))
		s.Shutdown(ctx)
	}
}

// byChannel sorts lines by the channel that they are of, whose order is kept.
func byChannel(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	slices.SortStableFunc(lines, func(a, b string) int { return strings.Compare(a[:2], b[:2]) })
	return strings.Join(lines, "\n")
}

func TestChannels(t *testing.T) {
	address := serveSessions(t, news(t))
	code, stdout, stderr := runCommand("channels", address)
	const want = `#1: is open
#1: "alone"
#1: has ended: that was all
news: is open
news: {"keys":{"1":"one"},"list":[1,true],"ret":"(a channel to send on)","text":"hello"}
news: has ended`
	if got := byChannel(stdout); code != 0 || got != want || stderr != "" {
		t.Errorf("B172: %d, %s\n%s\nwant\n%s", code, stderr, got, want)
	}
	code, stdout, stderr = runCommand("channels", address, "--json")
	for _, want := range []string{`{"channel":"news","event":"open"}`, `{"channel":"#1","event":"message","message":"alone"}`,
		`{"channel":"#1","event":"end","error":"that was all"}`, `{"channel":"news","event":"end"}`} {
		if code != 0 || !strings.Contains(stdout, want+"\n") {
			t.Errorf("B172: %d, %s, %s; want %s", code, stdout, stderr, want)
		}
	}
}

// TestChannelsEnd is of a server that goes on, and of ends by flags.
func TestChannelsEnd(t *testing.T) {
	address := serveSessions(t, func(s *libchan.Session) {
		c, err := s.OpenChannel(context.Background(), "ticks")
		for i := 0; err == nil; i++ {
			err = c.Send(i)
		}
	})
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-c", "2"}, "ticks: is open\nticks: 0\nticks: 1\n"},
		{[]string{"--list", "-c", "1"}, "ticks: is open\n"},
		{[]string{"--list", "--quiet", "50ms"}, "ticks: is open\n"},
	} {
		code, stdout, stderr := runCommand(append([]string{"channels", address}, test.args...)...)
		if code != 0 || stdout != test.want || stderr != "" {
			t.Errorf("B172: %q: %d, %q, %s", test.args, code, stdout, stderr)
		}
	}
}

// TestChannelsOfProtobuf shows messages that only their reader can decode.
func TestChannelsOfProtobuf(t *testing.T) {
	address := serveSessions(t, func(s *libchan.Session) {
		c, err := s.OpenChannel(context.Background(), "pb")
		if err == nil {
			c.Send(wrapperspb.String("hello"))
			c.Close()
			s.Shutdown(context.Background())
		}
	}, libchan.WithCodec(libchan.Protobuf))
	code, stdout, stderr := runCommand("channels", address)
	if code != 0 || !strings.Contains(stdout, "pb: a message of protobuf\n") || !strings.Contains(stdout, "hello") {
		t.Errorf("B172: %d, %s, %s", code, stdout, stderr)
	}
	code, stdout, _ = runCommand("channels", address, "--json")
	if code != 0 || !strings.Contains(stdout, `"codec":"protobuf","raw":"CgVoZWxsbw=="`) {
		t.Errorf("B172: %d, %s", code, stdout)
	}
}

// TestNoChannels is of servers without libchan, and of none.
func TestNoChannels(t *testing.T) {
	for address, want := range map[string]struct {
		code int
		hint string
	}{
		startOurs(t, filepath.Join(shortDir(t), "s")): {76, "The server has no sessions of libchan"},
		"unix:/no/such.sock":                          {cli.ExitConnect, "No socket has that path"},
	} {
		code, stdout, stderr := runCommand("channels", address)
		if code != want.code || stdout != "" || !strings.Contains(stderr, want.hint) {
			t.Errorf("B172: %s: %d, %s, %s", address, code, stdout, stderr)
		}
	}
}

// shortDir returns a directory whose path is short enough for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestChannelsSilent asks a server for a session that takes connections and does not answer.
func TestChannelsSilent(t *testing.T) {
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	code, _, stderr := runCommand("channels", "--connect-timeout", "50ms", path)
	if code != cli.CodeDeadline || !strings.Contains(stderr, "does not answer") || !strings.Contains(stderr, "ttrpc ping") {
		t.Errorf("B172: it ends with %d and %s", code, stderr)
	}
}
