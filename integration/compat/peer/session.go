// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"log"
	"net"
	"slices"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/compat/report"
	"google.golang.org/protobuf/proto"
)

// A session is one run of a scenario, with a connection of its own.
type session struct {
	addr    string
	clients []*ttrpc.Client
	client  *ttrpc.Client // the first
	report  report.Scenario
}

func newSession(addr, name string) *session {
	s := &session{addr: addr, report: report.Scenario{Name: name}}
	s.client = s.dial()
	return s
}

// dial opens another connection. The session closes it.
func (s *session) dial(opts ...ttrpc.ClientOpts) *ttrpc.Client {
	conn, err := net.Dial("unix", s.addr)
	if err != nil {
		log.Fatal(err)
	}
	client := ttrpc.NewClient(conn, opts...)
	s.clients = append(s.clients, client)
	return client
}

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
func control(c *ttrpc.Client, method string, req proto.Message) string {
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

// stream opens a stream.
func (s *session) stream(ctx context.Context, method string, client, server bool, req any) ttrpc.ClientStream {
	desc := &ttrpc.StreamDesc{StreamingClient: client, StreamingServer: server}
	stream, err := s.client.NewStream(ctx, desc, serviceName, method, req)
	if err != nil {
		log.Fatalf("%s: %v", method, err)
	}
	return stream
}

// bidi opens a stream both of whose sides stream.
func (s *session) bidi(method string) ttrpc.ClientStream {
	return s.stream(context.Background(), method, true, true, nil)
}

// drain receives up to the end, and notes what came and how it ended.
func (s *session) drain(stream ttrpc.ClientStream) {
	messages, err := receive(stream, -1)
	s.note("received", summary(messages), err)
	if err == io.EOF {
		s.receiveAgain(stream)
	}
}

// receiveAgain notes what a stream says that has ended.
func (s *session) receiveAgain(stream ttrpc.ClientStream) {
	s.note("received again", "", stream.RecvMsg(new(textValue)))
}

// result takes the answer of a server that does not stream.
func (s *session) result(stream ttrpc.ClientStream) {
	resp := new(textValue)
	err := stream.RecvMsg(resp)
	s.note("result", resp.Value, err)
}

// send sends messages and notes the first error, or none.
func (s *session) send(stream ttrpc.ClientStream, messages ...string) {
	for _, m := range messages {
		if err := stream.SendMsg(text("%s", m)); err != nil {
			s.note("sent "+m, "", err)
		}
	}
}

// closeSend notes how it went.
func (s *session) closeSend(stream ttrpc.ClientStream) {
	s.note("CloseSend", "", stream.CloseSend())
}

// hour is a context with a deadline that no scenario reaches.
func hour() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Hour)
}
