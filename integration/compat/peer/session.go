// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log"
	"net"
	"slices"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/compat/report"
)

// A session is one run of a scenario, with a connection of its own.
type session struct {
	addr    string
	clients []*ttrpc.Client
	gone    map[*ttrpc.Client]chan struct{} // closed when the client says so
	client  *ttrpc.Client                   // the first
	report  report.Scenario
}

func newSession(addr, name string) *session {
	s := &session{addr: addr, gone: map[*ttrpc.Client]chan struct{}{}, report: report.Scenario{Name: name}}
	s.client = s.dial()
	s.report.Extended = agreed(s.client)
	return s
}

func (s *session) connect() *net.UnixConn {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: s.addr, Net: "unix"})
	if err != nil {
		log.Fatal(err)
	}
	return conn
}

// dial opens another connection. The session closes it.
func (s *session) dial(opts ...ttrpc.ClientOpts) *ttrpc.Client {
	return s.use(s.connect(), opts...)
}

func (s *session) use(conn net.Conn, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	gone := make(chan struct{})
	opts = slices.Concat(clientOptions, opts, []ttrpc.ClientOpts{ttrpc.WithOnClose(func() { close(gone) })})
	client := ttrpc.NewClient(conn, opts...)
	s.clients = append(s.clients, client)
	s.gone[client] = gone
	return client
}

// awaitEnd waits until a connection is gone.
func (s *session) awaitEnd(client *ttrpc.Client) { <-s.gone[client] }

func (s *session) close() {
	for _, client := range s.clients {
		client.Close()
	}
}

// note adds a step.
func (s *session) note(name, value string, err error) {
	step := describe(name, err)
	step.Value = value
	s.add(step)
}

func (s *session) add(step report.Step) {
	if slices.ContainsFunc(s.report.Steps, func(other report.Step) bool { return other.Name == step.Name }) {
		log.Fatalf("two steps are called %q", step.Name)
	}
	s.report.Steps = append(s.report.Steps, step)
}

// call makes a call and returns what it answers, in words.
func call(ctx context.Context, c *ttrpc.Client, method string, req any) (string, error) {
	resp := new(textValue)
	err := c.Call(ctx, serviceName, method, req, resp)
	return resp.Value, err
}

// call makes a call that answers with text, and notes the outcome.
func (s *session) call(name, method string, req any) {
	value, err := call(context.Background(), s.client, method, req)
	s.note(name, value, err)
}

// echo has data sent back, and notes the outcome.
func (s *session) echo(name string, data []byte) {
	resp := new(bytesValue)
	err := s.client.Call(context.Background(), serviceName, "Echo", &bytesValue{Value: data}, resp)
	s.note(name, digest(resp.Value), err)
}

// still notes that the connection is good, or no more.
func (s *session) still() {
	s.call("still", "Text", text("here"))
}

// control makes a call that a scenario needs but does not look at.
func control(c *ttrpc.Client, method string, req message) string {
	value, err := call(context.Background(), c, method, req)
	if err != nil {
		log.Fatalf("%s: %v", method, err)
	}
	return value
}

// background makes a call and passes on its outcome when the result is called.
func (s *session) background(ctx context.Context, name, method string, req any) (wait func()) {
	var value string
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		value, err = call(ctx, s.client, method, req)
	}()
	return func() {
		<-done
		s.note(name, value, err)
	}
}

// hour is a context with a deadline that no scenario reaches.
func hour() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Hour)
}
