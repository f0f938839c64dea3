// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// A kind is how an end of a connection is set up, in either role.
type kind struct {
	classic bool // the server does not opt in
	server  []ttrpc.ServerOpt
	client  []ttrpc.ClientOpts
}

// kinds have names, so that a process can be told which it is.
var kinds = map[string]kind{
	"plain":   {},
	"classic": {classic: true},
	"small": {
		server: []ttrpc.ServerOpt{ttrpc.WithServerLimits(ttrpc.Limits{MessageSize: smallLimit})},
		client: []ttrpc.ClientOpts{ttrpc.WithClientLimits(ttrpc.Limits{MessageSize: smallLimit})},
	},
	"large": {
		server: []ttrpc.ServerOpt{ttrpc.WithServerLimits(ttrpc.Limits{MessageSize: 1 << 30})},
		client: []ttrpc.ClientOpts{ttrpc.WithClientLimits(ttrpc.Limits{MessageSize: 1 << 30})},
	},
	// In classic mode a stream that one message waits on fails at once.
	"impatient": {
		server: []ttrpc.ServerOpt{ttrpc.WithServerLimits(ttrpc.Limits{Queue: impatientQueue})},
		client: []ttrpc.ClientOpts{ttrpc.WithClientLimits(ttrpc.Limits{Queue: impatientQueue})},
	},
	"distrustful": {
		server: []ttrpc.ServerOpt{ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser())},
		client: []ttrpc.ClientOpts{ttrpc.WithClientHandshaker(ttrpc.UnixSocketRequireSameUser())},
	},
	"watchful": {
		server: []ttrpc.ServerOpt{ttrpc.WithServerKeepalive(ttrpc.Keepalive{Interval: pingInterval, Timeout: pingTimeout})},
		client: []ttrpc.ClientOpts{ttrpc.WithKeepalive(ttrpc.Keepalive{Interval: pingInterval, Timeout: pingTimeout})},
	},
	"touchy": {server: []ttrpc.ServerOpt{ttrpc.WithServerKeepalive(ttrpc.Keepalive{MinInterval: time.Hour})}},
}

const (
	smallLimit   = 100_000
	pingInterval = 20 * time.Millisecond
	pingTimeout  = 2 * time.Second
)

var impatientQueue = ttrpc.StreamQueue{Messages: 1, Bytes: 1, Patience: time.Millisecond, Window: stuckWindow}

// runServer is a process that accepts connections.
func runServer(k kind, address string) {
	s := newStation()
	opts := k.server
	if !k.classic {
		opts = append([]ttrpc.ServerOpt{ttrpc.WithServerExtensions(), ttrpc.WithServerLimits(filesToo)}, opts...)
	}
	srv := s.server(opts...)
	l, err := net.Listen("unix", address)
	if err != nil {
		panic(err)
	}
	go srv.Serve(context.Background(), l)
	obey(map[string]func(){
		"shutdown": func() { fmt.Println("shutdown:", srv.Shutdown(context.Background())) },
	})
}

// runClient is a process that dials, and offers its services on each connection under
// another name.
func runClient(k kind, address string) {
	var last *ttrpc.Client
	dial := func() {
		nc, err := net.Dial("unix", address)
		if err != nil {
			panic(err)
		}
		last = newStation().client(nc, k.client...)
	}
	dial()
	obey(map[string]func(){
		"dial":     dial,
		"shutdown": func() { fmt.Println("shutdown:", last.Shutdown(context.Background())) },
	})
}

// obey does what the lines on standard input say, until their end.
func obey(commands map[string]func()) {
	fmt.Println("ready")
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		commands[s.Text()]()
	}
}

// A peer is a connection with another process, which can be called.
type peer struct {
	*process
	*ttrpc.Client
	local *station        // answers the process's calls
	ends  context.Context // with the connection; nil if this process has dialled
}

// mostConns is how many connections one process makes.
const mostConns = 16

// A host accepts connections of processes that dial.
type host struct {
	local   *station
	address string
	hooks   chan context.Context // the contexts of connections
}

func newHost(t *testing.T, ours string, opts ...ttrpc.ServerOpt) *host {
	h := &host{local: newStation(), hooks: make(chan context.Context, mostConns)}
	opts = append(opts, ttrpc.WithServerLimits(filesToo), ttrpc.WithConnectionHook(func(ctx context.Context) { h.hooks <- ctx }))
	srv := h.local.server(append(opts, kinds[ours].server...)...)
	l := listen(t)
	h.address = l.Addr().String()
	go srv.Serve(context.Background(), l)
	t.Cleanup(func() { srv.Close() })
	return h
}

// next returns the next connection that a process has made.
func (h *host) next(t *testing.T, p *process) *peer {
	t.Helper()
	ctx := <-h.hooks
	client, err := ttrpc.PeerClient(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &peer{p, client, h.local, ctx}
}

// startServer starts a process that accepts connections.
func startServer(t *testing.T, theirs string) (p *process, address string) {
	t.Helper()
	address = socketPath(t)
	p = startProcess(t, accepts, theirs, address)
	p.await(t, "ready")
	return p, address
}

// connect makes a connection to a process that accepts it.
func connect(t *testing.T, p *process, address, ours string) *peer {
	t.Helper()
	s := newStation()
	client := s.client(dial(t, address), kinds[ours].client...)
	t.Cleanup(func() { client.Close(); <-client.Done() })
	if ok, err := client.Extended(context.Background()); !ok || err != nil {
		t.Fatalf("B46: Extended: %v, %v", ok, err)
	}
	return &peer{process: p, Client: client, local: s}
}

// newPeer starts a process in a role, and connects with it.
func newPeer(t *testing.T, r role, theirs, ours string) *peer {
	t.Helper()
	if r == accepts {
		p, address := startServer(t, theirs)
		return connect(t, p, address, ours)
	}
	h := newHost(t, ours)
	p := startProcess(t, dials, theirs, h.address)
	p.await(t, "ready")
	return h.next(t, p)
}

// inBothRoles runs a test with a process that accepts and with one that dials.
func inBothRoles(t *testing.T, theirs, ours string, test func(t *testing.T, p *peer)) {
	for _, r := range []role{accepts, dials} {
		t.Run("the other "+string(r), func(t *testing.T) { test(t, newPeer(t, r, theirs, ours)) })
	}
}

// ask makes a call that takes and returns text.
func ask(ctx context.Context, c *ttrpc.Client, method, arg string) (string, error) {
	answer := new(wrapperspb.StringValue)
	err := c.Call(ctx, serviceName, method, wrapperspb.String(arg), answer)
	return answer.Value, err
}

// mustAsk makes a call that has to succeed.
func (p *peer) mustAsk(t *testing.T, rule, method, arg string) string {
	t.Helper()
	answer, err := ask(context.Background(), p.Client, method, arg)
	if err != nil {
		t.Fatalf("%s: %s: %v", rule, method, err)
	}
	return answer
}

// asking makes a call in the background.
func (p *peer) asking(ctx context.Context, method, arg string) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := ask(ctx, p.Client, method, arg)
		done <- err
	}()
	return done
}

// mustTell waits for what the process's handlers tell next.
func (p *peer) mustTell(t *testing.T, rule, want string) {
	t.Helper()
	if got := p.mustAsk(t, rule, "Next", ""); got != want {
		t.Fatalf("%s: the other process tells %q, want %q", rule, got, want)
	}
}

// mustWork makes calls in both directions.
func (p *peer) mustWork(t *testing.T, rule string) {
	t.Helper()
	if got := p.mustAsk(t, rule, "Echo", "hello"); got != "hello" {
		t.Fatalf("%s: Echo answers %q", rule, got)
	}
	if got := p.mustAsk(t, rule, "Nest", "2"); got != "2" {
		t.Fatalf("%s: Nest answers %q", rule, got)
	}
}
