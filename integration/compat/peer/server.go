// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/ttrpc"
)

const serviceName = "compat.Peer"

// A server is the peer that serves, with what its handlers share.
type server struct {
	ttrpc  *ttrpc.Server
	served chan struct{} // closed when Serve has returned

	mu   sync.Mutex
	runs map[string]*run
}

// A run is one call of a handler that a scenario steers from outside, by calls
// that name it.
type run struct {
	started  chan struct{} // closed by the handler
	closed   chan struct{} // closed by the handler of a stream when the client has closed its side
	released chan struct{} // closed by the scenario, lets the handler return
	noted    chan string   // what the handler saw of its end
}

func startServer(addr string) (*server, error) {
	listener, err := net.Listen("unix", addr)
	if err != nil {
		return nil, err
	}
	srv, err := ttrpc.NewServer(serverOptions...)
	if err != nil {
		return nil, err
	}
	s := &server{ttrpc: srv, served: make(chan struct{}), runs: map[string]*run{}}
	s.register()
	go func() {
		defer close(s.served)
		srv.Serve(context.Background(), listener)
	}()
	return s, nil
}

func (s *server) run(name string) *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[name]
	if r == nil {
		r = &run{make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan string, 1)}
		s.runs[name] = r
	}
	return r
}

// method makes a Method of a function that takes the request.
func method[In any, P interface{ *In }](handle func(context.Context, P) (any, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		in := P(new(In))
		if err := unmarshal(in); err != nil {
			return nil, err
		}
		return handle(ctx, in)
	}
}

func text(format string, args ...any) *textValue {
	return &textValue{Value: fmt.Sprintf(format, args...)}
}

func (s *server) methods() map[string]ttrpc.Method {
	return map[string]ttrpc.Method{
		"Echo": method(func(_ context.Context, in *bytesValue) (any, error) { return in, nil }),
		"Text": method(func(_ context.Context, in *textValue) (any, error) { return in, nil }),
		"Bytes": method(func(_ context.Context, in *intValue) (any, error) {
			return &bytesValue{Value: pattern(int(in.Value))}, nil
		}),
		"Fail": method(func(_ context.Context, in *textValue) (any, error) { return nil, failure(in.Value) }),
		// BothResults has a response and an error.
		"BothResults":      method(func(_ context.Context, in *empty) (any, error) { return in, failures["plain"] }),
		"NilResponse":      method(func(context.Context, *empty) (any, error) { return nil, nil }),
		"NilPointer":       method(func(context.Context, *empty) (any, error) { return (*textValue)(nil), nil }),
		"WrongResponse":    method(func(context.Context, *empty) (any, error) { return "text", nil }),
		"InvalidResponse":  method(func(context.Context, *empty) (any, error) { return &textValue{Value: "\xff"}, nil }),
		"WrongRequestType": func(_ context.Context, unmarshal func(any) error) (any, error) { return nil, unmarshal(new(string)) },
		// Unread does not look at its request.
		"Unread":   func(context.Context, func(any) error) (any, error) { return new(empty), nil },
		"Metadata": method(func(ctx context.Context, _ *empty) (any, error) { return text("%s", metadataOf(ctx)), nil }),
		"Deadline": method(func(ctx context.Context, _ *empty) (any, error) { return text("%s", deadlineOf(ctx)), nil }),
		// AwaitDeadline returns the error with which its context ends.
		"AwaitDeadline": method(func(ctx context.Context, _ *empty) (any, error) { <-ctx.Done(); return nil, ctx.Err() }),

		"Hold":          method(s.hold),
		"HoldPastEnd":   method(s.holdPastEnd),
		"HoldPastServe": method(s.holdPastServe),

		"Started":    method(s.awaitStart),
		"Release":    method(s.release),
		"Noted":      method(s.awaitNote),
		"HalfClosed": method(s.awaitHalfClose),
		"Sockets":    method(sockets),
		"Shutdown":   method(s.shutdown),
		"Kill":       method(func(context.Context, *empty) (any, error) { return nil, syscall.Kill(os.Getpid(), syscall.SIGKILL) }),
		"Close":      method(s.close),
	}
}

// hold waits until it is released.
func (s *server) hold(_ context.Context, in *textValue) (any, error) {
	r := s.run(in.Value)
	close(r.started)
	<-r.released
	return text("held"), nil
}

// holdPastEnd notes how its context ended and then waits until it is released.
func (s *server) holdPastEnd(ctx context.Context, in *textValue) (any, error) {
	r := s.run(in.Value)
	close(r.started)
	<-ctx.Done()
	r.noted <- ctx.Err().Error()
	<-r.released
	return text("held"), nil
}

// holdPastServe waits until the server has stopped to accept.
func (s *server) holdPastServe(_ context.Context, in *textValue) (any, error) {
	close(s.run(in.Value).started)
	<-s.served
	return text("held"), nil
}

func (s *server) awaitStart(_ context.Context, in *textValue) (any, error) {
	<-s.run(in.Value).started
	return in, nil
}

func (s *server) awaitHalfClose(_ context.Context, in *textValue) (any, error) {
	<-s.run(in.Value).closed
	return in, nil
}

func (s *server) release(_ context.Context, in *textValue) (any, error) {
	close(s.run(in.Value).released)
	return in, nil
}

func (s *server) awaitNote(_ context.Context, in *textValue) (any, error) {
	return text("%s", <-s.run(in.Value).noted), nil
}

// sockets waits until the process holds no more than so many.
func sockets(_ context.Context, in *intValue) (any, error) {
	for {
		n := 0
		links, err := filepath.Glob("/proc/self/fd/*")
		if err != nil {
			return nil, err
		}
		for _, link := range links {
			if target, _ := os.Readlink(link); strings.HasPrefix(target, "socket:") {
				n++
			}
		}
		if n <= int(in.Value) {
			return text("%d sockets", n), nil
		}
		time.Sleep(time.Millisecond)
	}
}

// shutdown and close cannot wait for the end, which waits for them or cuts them
// off; nobody looks at what they return.

func (s *server) shutdown(context.Context, *empty) (any, error) {
	go s.ttrpc.Shutdown(context.Background())
	return new(empty), nil
}

func (s *server) close(context.Context, *empty) (any, error) {
	go s.ttrpc.Close()
	return new(empty), nil
}
