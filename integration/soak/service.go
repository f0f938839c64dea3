// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const serviceName = "soak.Soak"

// A service is the handlers of one server, with what they count.
type service struct {
	fault    *fault
	server   *ttrpc.Server
	active   atomic.Int64 // handlers that run
	held     atomic.Int64 // of these, those that wait for release
	release  func()
	released chan struct{}
	answered counter // handlers that have returned, of orders that must be answered
}

func newService(server *ttrpc.Server, f *fault) *service {
	s := &service{fault: f, server: server, released: make(chan struct{})}
	s.release = sync.OnceFunc(func() { close(s.released) })
	desc := &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{"Echo": s.echo, "Do": s.method(s.carryOut)},
		Streams: map[string]ttrpc.Stream{
			"Upload":   {Handler: s.stream(s.upload), StreamingClient: true},
			"Download": {Handler: s.stream(s.download), StreamingServer: true},
			"Chat":     {Handler: s.stream(s.chat), StreamingClient: true, StreamingServer: true},
		},
	}
	s.extend(desc)
	server.RegisterService(serviceName, desc)
	return s
}

// echo answers with its request's bytes inverted. It is the one method that needs
// no order, so that messages of any size will do.
func (s *service) echo(_ context.Context, unmarshal func(any) error) (any, error) {
	s.active.Add(1)
	defer s.active.Add(-1)
	m := new(wrapperspb.BytesValue)
	if err := unmarshal(m); err != nil {
		return nil, err
	}
	return wrapperspb.Bytes(invert(m.Value)), nil
}

// method makes a method of a function that carries out an order.
func (s *service) method(handle func(context.Context, *order) (*wrapperspb.BytesValue, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		s.active.Add(1)
		defer s.active.Add(-1)
		m := new(wrapperspb.BytesValue)
		if err := unmarshal(m); err != nil {
			return nil, err
		}
		o, err := parseOrder(m.Value)
		if err != nil {
			return nil, dataLoss("the request", err)
		}
		answer, err := handle(ctx, o)
		return answer, s.count(o, err)
	}
}

func (s *service) carryOut(ctx context.Context, o *order) (*wrapperspb.BytesValue, error) {
	if o.Context {
		if err := checkContext(ctx, o); err != nil {
			return nil, err
		}
	}
	if err := s.pause(ctx, o); err != nil {
		return nil, err
	}
	if o.Failure != 0 && !s.fault.strikes("answer", o) {
		return nil, failures[o.Failure].err
	}
	return s.corrupt(o, o.answer().message()), nil
}

// pause takes the time that the order says.
func (s *service) pause(ctx context.Context, o *order) error {
	if o.Hold {
		s.held.Add(1)
		defer s.held.Add(-1)
		<-s.released
	}
	if s.fault.strikes("hang", o) {
		select {}
	}
	if o.Delay == 0 {
		return nil
	}
	timer := time.NewTimer(time.Duration(o.Delay) * time.Microsecond)
	defer timer.Stop()
	if o.Stubborn {
		<-timer.C
		return nil
	}
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// count notes that an order was carried out, in which way soever.
func (s *service) count(o *order, err error) error {
	if o.Must {
		s.answered.add(o.Call)
	}
	if s.fault.strikes("lose", o) {
		s.answered.add(o.Call + 1)
	}
	if s.fault.strikes("close", o) {
		s.server.Close()
	}
	return err
}

func (s *service) corrupt(o *order, m *wrapperspb.BytesValue) *wrapperspb.BytesValue {
	if n := len(m.Value); n > 0 && n < messageLimit/2 && s.fault.strikes("corrupt", o) {
		m.Value[len(m.Value)/2] ^= 1
	}
	return m
}

// checkContext compares what the handler's context holds with what was sent.
func checkContext(ctx context.Context, o *order) error {
	if _, ok := ctx.Deadline(); !ok {
		return status.Error(codes.DataLoss, "the deadline is lost")
	}
	want := metadataOf(o)
	got, _ := ttrpc.GetMetadata(ctx)
	for key, values := range want {
		if !slices.Equal(got[key], values) {
			return status.Errorf(codes.DataLoss, "metadata %q: %q, want %q", key, got[key], values)
		}
	}
	if len(got) != len(want) {
		return status.Errorf(codes.DataLoss, "metadata: %d keys, want %d", len(got), len(want))
	}
	return nil
}

func metadataOf(o *order) ttrpc.MD {
	return ttrpc.MD{"call": {fmt.Sprint(o.Call)}, "values": {fmt.Sprint(o.Seed), "", "third"}}
}

func dataLoss(what string, err error) error {
	return status.Errorf(codes.DataLoss, "%s at the server: %v", what, err)
}

// stream makes a handler of a function that carries out the order that a stream
// begins with.
func (s *service) stream(handle func(context.Context, *order, ttrpc.StreamServer) (any, error)) ttrpc.StreamHandler {
	return func(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
		s.active.Add(1)
		defer s.active.Add(-1)
		m := new(wrapperspb.BytesValue)
		if err := stream.RecvMsg(m); err != nil {
			return nil, err
		}
		o, err := parseOrder(m.Value)
		if err != nil {
			return nil, dataLoss("the order of a stream", err)
		}
		if err := s.pause(ctx, o); err != nil {
			return nil, s.count(o, err)
		}
		answer, err := handle(ctx, o, stream)
		return answer, s.count(o, err)
	}
}

// upload receives all messages and answers once.
func (s *service) upload(_ context.Context, o *order, stream ttrpc.StreamServer) (any, error) {
	for i := 0; ; i++ {
		if o.Failure != 0 && i == int(o.FailAfter) {
			return nil, failures[o.Failure].err
		}
		if end, err := s.receive(o, i, stream); err != nil {
			return nil, err
		} else if end {
			return s.corrupt(o, o.answer().message()), nil
		}
	}
}

// download sends all messages.
func (s *service) download(ctx context.Context, o *order, stream ttrpc.StreamServer) (any, error) {
	for i := range int(o.Count) {
		if o.Failure != 0 && i == int(o.FailAfter) {
			return nil, failures[o.Failure].err
		}
		if err := s.send(o, i, stream); err != nil {
			return nil, err
		}
	}
	return nil, s.pause(ctx, &order{Delay: o.Linger})
}

// chat answers each message with one.
func (s *service) chat(_ context.Context, o *order, stream ttrpc.StreamServer) (any, error) {
	for i := 0; ; i++ {
		if o.Failure != 0 && i == int(o.FailAfter) {
			return nil, failures[o.Failure].err
		}
		if end, err := s.receive(o, i, stream); end || err != nil {
			return nil, err
		}
		if err := s.send(o, i, stream); err != nil {
			return nil, err
		}
	}
}

// receive takes message i and checks it. It reports the end, which is to come after
// as many as the order says.
func (s *service) receive(o *order, i int, stream ttrpc.StreamServer) (end bool, err error) {
	m := new(wrapperspb.BytesValue)
	switch err := stream.RecvMsg(m); {
	case err == io.EOF && i == int(o.Count):
		return true, nil
	case err == io.EOF:
		return false, status.Errorf(codes.DataLoss, "the stream ended at the server after %d messages of %d", i, o.Count)
	case err != nil:
		return false, err
	}
	if err := o.sent(i).check(m.Value); err != nil {
		return false, dataLoss(fmt.Sprintf("message %d", i), err)
	}
	return false, nil
}

func (s *service) send(o *order, i int, stream ttrpc.StreamServer) error {
	if s.fault.strikes("reorder", o) {
		i++
	}
	return stream.SendMsg(s.corrupt(o, o.received(i).message()))
}
