// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcotel_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/ttrpcotel"
)

// A line is a span as the other program writes it.
type line struct {
	Name, Kind, Trace, ID, Parent, Status string
	Attributes                            map[string]string
	who                                   string
}

// TestOtelttrpc has a program with otelttrpc and the release call a server here, whose
// handler calls another such program: all of it is one trace.
func TestOtelttrpc(t *testing.T) {
	dir := t.TempDir()
	peer := filepath.Join(dir, "peer")
	build := exec.Command("go", "build", "-C", "internal/otelttrpcpeer", "-o", peer, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for message, want := range map[string][5]string{
		//         root, otelttrpc's client, our server, our client, otelttrpc's server
		"world":  {"Unset", "Unset", "Unset", "Unset", "Unset"},
		"nobody": {"Unset", "Unset", "Unset", "Error", "Unset"}, // otelttrpc's client does not see it
	} {
		backend := serveOtelttrpc(t, peer, filepath.Join(t.TempDir(), "s"))
		p := newPair(t, setup{})
		front := relay(t, p, backend.socket)
		var all []line
		out, err := exec.Command(peer, "call", front, message).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range strings.Split(strings.TrimSpace(string(out)), "\n") {
			all = append(all, parseLine(t, l, "otelttrpc's client"))
		}
		all = append(all, backend.next(t))
		backend.stop()
		p.close()
		for _, s := range p.spans.GetSpans() {
			all = append(all, line{
				s.Name, s.SpanKind.String(), s.SpanContext.TraceID().String(), s.SpanContext.SpanID().String(),
				s.Parent.SpanID().String(), s.Status.Code.String(), attributesOf(s.Attributes), "ttrpcotel",
			})
		}
		wantChain(t, message, all, want)
	}
}

// wantChain holds that spans are each below the one before, and prints them.
func wantChain(t *testing.T, message string, all []line, statuses [5]string) {
	t.Helper()
	kinds := [5]string{"internal", "client", "server", "client", "server"}
	parent, trace := strings.Repeat("0", 16), ""
	for i, kind := range kinds {
		var found *line
		for _, l := range all {
			if l.Parent == parent {
				found = &l
			}
		}
		switch {
		case found == nil:
			t.Fatalf("B163: %s: no span is below number %d: %+v", message, i, all)
		case i == 0:
			trace = found.Trace
		}
		if found.Kind != kind || found.Status != statuses[i] || found.Trace != trace || i > 0 && found.Name != service+"/Greet" {
			t.Errorf("B163: %s: span %d is %+v, want a %s with status %s in trace %s", message, i, found, kind, statuses[i], trace)
		}
		t.Logf("%s%s %s, %s, %s %v", strings.Repeat("  ", i), found.Kind, found.Name, found.who, found.Status, found.Attributes)
		parent = found.ID
	}
	if len(all) != len(kinds) {
		t.Errorf("B163: %s: there are %d spans: %+v", message, len(all), all)
	}
}

// relay serves on a socket, traced as p is, and passes calls on to another, and returns its own.
func relay(t *testing.T, p *pair, backend string) string {
	t.Helper()
	conn, err := net.Dial("unix", backend)
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn, ttrpcotel.ClientOption(p.options...))
	server, err := ttrpc.NewServer(ttrpcotel.ServerOption(p.options...))
	if err != nil {
		t.Fatal(err)
	}
	server.Register(service, map[string]ttrpc.Method{"Greet": func(ctx context.Context, unmarshal func(any) error) (any, error) {
		m := new(text)
		if err := unmarshal(m); err != nil {
			return nil, err
		}
		return m, client.Call(ctx, service, "Greet", m, m)
	}})
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		client.Close()
		server.Close()
		<-served
	})
	return l.Addr().String()
}

// An otelttrpcServer is a process.
type otelttrpcServer struct {
	socket string
	lines  *bufio.Scanner
	stop   func()
}

func serveOtelttrpc(t *testing.T, peer, socket string) *otelttrpcServer {
	t.Helper()
	cmd := exec.Command(peer, "serve", socket)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &otelttrpcServer{socket, bufio.NewScanner(out), func() {
		in.Close()
		cmd.Wait()
	}}
	t.Cleanup(s.stop)
	if !s.lines.Scan() || s.lines.Text() != "ready" {
		t.Fatalf("the server says %q", s.lines.Text())
	}
	return s
}

// next waits for a span of the server.
func (s *otelttrpcServer) next(t *testing.T) line {
	t.Helper()
	if !s.lines.Scan() {
		t.Fatal("the server has ended")
	}
	return parseLine(t, s.lines.Text(), "otelttrpc's server")
}

func parseLine(t *testing.T, text, who string) line {
	t.Helper()
	l := line{who: who}
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		t.Fatal(fmt.Errorf("%q: %w", text, err))
	}
	return l
}
