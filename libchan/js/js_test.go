// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package js_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/libchan"
	"github.com/containerd/ttrpc/libchan/js"
)

// A request is what the tests in JavaScript send.
type request struct {
	Do    string
	Text  string                   `libchan:",omitempty"`
	N     int                      `libchan:",omitempty"`
	Ret   libchan.SendChan[any]    `libchan:",omitempty"`
	From  libchan.RecvChan[string] `libchan:",omitempty"`
	To    libchan.SendChan[string] `libchan:",omitempty"`
	Inner any                      `libchan:",omitempty"`
}

// serve answers the requests of a channel, and returns when it has ended.
func serve(s *libchan.Session, requests libchan.Receiver) {
	ctx := context.Background()
	for {
		var r request
		if requests.Receive(&r) != nil {
			return
		}
		answer(ctx, s, requests, r)
	}
}

func answer(ctx context.Context, s *libchan.Session, requests libchan.Receiver, r request) {
	switch r.Do {
	case "echo":
		_ = r.Ret.Send(ctx, r.Text)
		_ = r.Ret.Close()
	case "count": // N messages, and a text as an error
		for i := range r.N {
			_ = r.Ret.Send(ctx, i)
		}
		if r.Text != "" {
			_ = r.Ret.CloseWithError(errors.New(r.Text))
			return
		}
		_ = r.Ret.Close()
	case "collect": // all that comes from a channel
		var all []string
		for v, err := range r.From.All(ctx) {
			if err != nil {
				_ = r.Ret.CloseWithError(err)
				return
			}
			all = append(all, v)
		}
		_ = r.Ret.Send(ctx, map[string]any{"Count": len(all), "Size": len(strings.Join(all, ""))})
		_ = r.Ret.Close()
	case "offer": // an end of a channel that this side receives from
		rx, tx := libchan.Make[string](r.N)
		for range r.N {
			if r.Text != "" {
				_ = tx.Send(ctx, r.Text)
			}
		}
		_ = r.Ret.Send(ctx, map[string]any{"To": tx})
		for v, err := range rx.All(ctx) {
			if err != nil {
				v = "error: " + err.Error()
			}
			_ = r.Ret.Send(ctx, v)
		}
		_ = r.Ret.Close()
	case "fill": // an end that the page has given
		for i := range r.N {
			_ = r.To.Send(ctx, fmt.Sprint(i))
		}
		_ = r.To.Close()
	case "refuse":
		requests.(libchan.ContextReceiver).Cancel(errors.New(r.Text))
	case "open": // a channel to the page
		c, err := s.OpenChannel(ctx, r.Text)
		if err == nil {
			err = c.Send("hello")
		}
		if err == nil {
			err = c.Close()
		}
		_ = r.Ret.Send(ctx, fmt.Sprint(err))
		_ = r.Ret.Close()
	case "shutdown":
		go func() { _ = s.Shutdown(ctx) }()
	}
}

// names refuses one.
func names(name string) error {
	if name == "unwanted" {
		return errors.New("nobody wants this")
	}
	return nil
}

// TestNode runs the tests that are in JavaScript, with node, against a server of sessions.
func TestNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		t.Fatal(err)
	}
	if err := libchan.Register(server, libchan.WithCodec(libchan.JSON), libchan.WithNames(names), libchan.WithHandler(func(s *libchan.Session) {
		for {
			name, c, err := s.Accept(context.Background())
			if err != nil {
				return
			}
			if name == "calls" {
				go libchan.Serve(context.Background(), c, func(_ context.Context, text string) (string, error) {
					return text, nil
				})
			} else {
				go serve(s, c)
			}
		}
	})); err != nil {
		t.Fatal(err)
	}
	address := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(t.Context(), l)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Hang)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "--test-reporter=tap", "--test", "testdata/")
	cmd.Env = append(os.Environ(), "TTRPC_TEST_SERVER="+address)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "\n# skipped 0\n") || strings.Contains(string(out), "\n# pass 0\n") {
		t.Errorf("not all tests have run:\n%s", out)
	}
}

// TestFiles has the modules import nothing that is not there.
func TestFiles(t *testing.T) {
	for _, name := range []string{"libchan.js", "ttrpc.js", "wire.js"} {
		text, err := js.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			_, from, ok := strings.Cut(line, ` from "./`)
			if !ok {
				continue
			}
			from, _, _ = strings.Cut(from, `"`)
			if _, err := js.Files.ReadFile(from); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
