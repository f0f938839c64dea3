// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/compat/report"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// cutMidCall is the scenario of clients that wait in a call of the handler's run
// "run" until something ends the connection.
const cutMidCall = "cut mid-call"

// limited is a context for what takes far less than processes may.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), processLimit)
	t.Cleanup(cancel)
	return ctx
}

// socketDir returns a new directory whose name is short enough for sockets, which those
// of tests with long names are not.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "compat")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A serving is a server's process.
type serving struct {
	addr    string
	process *exec.Cmd
}

// startPeer starts a server that ends with the test, if not before.
func startPeer(t *testing.T, version string) serving {
	t.Helper()
	log := new(bytes.Buffer)
	addr := filepath.Join(socketDir(t), "s")
	cmd := peer(limited(t), version, log, "server", addr)
	stop, err := startServer(cmd)
	if err != nil {
		t.Fatalf("%s: %v\n%s", version, err, log.Bytes())
	}
	t.Cleanup(func() {
		if err := stop(); err != nil && wantKilled(err) != nil {
			t.Errorf("%s: %v\n%s", version, err, log.Bytes())
		}
	})
	return serving{addr, cmd}
}

// control returns what a call of this library's client answers, which steers
// handlers.
func (s serving) control(t *testing.T, method string) string {
	t.Helper()
	conn, err := net.Dial("unix", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	resp := new(wrapperspb.StringValue)
	if err := client.Call(limited(t), "compat.Peer", method, wrapperspb.String("run"), resp); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return resp.Value
}

// TestRustClientKilled kills a client whose call runs.
func TestRustClientKilled(t *testing.T) {
	needRust(t)
	for _, rust := range rustPeers {
		for _, version := range []string{rustRelease, ours, extended} {
			t.Run(rust+"/"+version, func(t *testing.T) {
				server := startPeer(t, version)
				client := peer(limited(t), rust, new(bytes.Buffer), "client", server.addr, cutMidCall)
				if err := client.Start(); err != nil {
					t.Fatal(err)
				}
				server.control(t, "Started")
				client.Process.Kill()
				client.Wait()
				if got := server.control(t, "Noted"); got != context.Canceled.Error() {
					t.Errorf("B26: the context of the handler whose client was killed ended with %q, want %q", got, context.Canceled)
				}
				server.control(t, "Release")
			})
		}
	}
}

// TestRustClientOfKilledServer kills a server that runs a call. The asynchronous
// client never learns of it.
func TestRustClientOfKilledServer(t *testing.T) {
	needRust(t)
	want := steps{{Name: "call", Error: `Socket("socket error socket disconnected")`}}
	for _, version := range []string{rustRelease, ours, extended} {
		t.Run(version, func(t *testing.T) {
			server := startPeer(t, version)
			var out, log bytes.Buffer
			client := peer(limited(t), rustSync, &log, "client", server.addr, cutMidCall)
			client.Stdout = &out
			if err := client.Start(); err != nil {
				t.Fatal(err)
			}
			server.control(t, "Started")
			server.process.Process.Kill()
			var got report.Scenario
			if err := client.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, log.Bytes())
			} else if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Steps, want) {
				t.Errorf("B5: got%s\nwant%s", format(got.Steps), format(want))
			}
		})
	}
}

// TestKilledRustServer kills a server in Rust that runs a call.
func TestKilledRustServer(t *testing.T) {
	needRust(t)
	for _, rust := range rustPeers {
		t.Run(rust, func(t *testing.T) {
			server := startPeer(t, rust)
			conn, err := net.Dial("unix", server.addr)
			if err != nil {
				t.Fatal(err)
			}
			client := ttrpc.NewClient(conn)
			defer client.Close()
			done := make(chan error, 1)
			go func() {
				done <- client.Call(context.Background(), "compat.Peer", "Hold", wrapperspb.String("run"), new(wrapperspb.StringValue))
			}()
			server.control(t, "Started")
			server.process.Process.Kill()
			if err := <-done; err != ttrpc.ErrClosed {
				t.Errorf("B5: the call whose server was killed: %v, want %v", err, ttrpc.ErrClosed)
			}
		})
	}
}
