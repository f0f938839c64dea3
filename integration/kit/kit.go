// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kit has servers and services for tests outside of the library's package.
package kit

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/testkit"
)

// A Server serves the conns that it is handed.
type Server struct {
	*ttrpc.Server
	listener *testkit.Listener
	served   chan error
}

// Serve has a server serve, with a context that never ends. End must be called.
func Serve(srv *ttrpc.Server) *Server {
	s := &Server{srv, testkit.NewListener(), make(chan error, 1)}
	go func() { s.served <- srv.Serve(context.Background(), s.listener) }()
	return s
}

// Hand has the server serve a conn.
func (s *Server) Hand(nc net.Conn) { s.listener.Hand(nc) }

// End closes the server and holds that Serve returns and that no connection is left.
func (s *Server) End(t testing.TB) {
	t.Helper()
	s.Close()
	if err := <-s.served; err != ttrpc.ErrServerClosed {
		t.Errorf("B24: Serve returned %v", err)
	}
	// Nothing signals that a connection has gone.
	for end := time.Now().Add(testkit.Hang); len(s.Snapshot()) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("B24: connections are left: %+v", s.Snapshot())
			return
		}
	}
}

// WantClean holds that nothing is left of a client's connection, which has ended.
func WantClean(t testing.TB, rule string, c *ttrpc.Client) {
	t.Helper()
	left := c.Snapshot()
	if left.State != "closed" || len(left.Streams)+left.QueuedFrames+left.QueuedBytes+left.Received+left.Parked != 0 {
		t.Errorf("%s: left is %+v", rule, left)
	}
}

// Service returns a service that echoes, sums and counts: a method Echo, and streams
// Bidi, Sum and Count.
func Service() *ttrpc.ServiceDesc {
	return &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Echo": func(_ context.Context, unmarshal func(any) error) (any, error) {
				m := new(wrapperspb.StringValue)
				return m, unmarshal(m)
			},
		},
		Streams: map[string]ttrpc.Stream{
			"Bidi":  {Handler: Echo, StreamingClient: true, StreamingServer: true},
			"Sum":   {Handler: sum, StreamingClient: true},
			"Count": {Handler: count, StreamingServer: true},
		},
	}
}

// Echo sends each string that it receives back, until one asks it to "fail".
func Echo(_ context.Context, ss ttrpc.StreamServer) (any, error) {
	for {
		var m wrapperspb.StringValue
		if err := ss.RecvMsg(&m); err != nil {
			return nil, EndOf(err)
		}
		if m.Value == "fail" {
			return nil, status.Error(codes.DataLoss, "asked to fail")
		}
		if err := ss.SendMsg(&m); err != nil {
			return nil, err
		}
	}
}

func sum(_ context.Context, ss ttrpc.StreamServer) (any, error) {
	sum := new(wrapperspb.Int64Value)
	for {
		var m wrapperspb.Int64Value
		if err := ss.RecvMsg(&m); err != nil {
			return sum, EndOf(err)
		}
		sum.Value += m.Value
	}
}

// count receives a number and sends all below it.
func count(_ context.Context, ss ttrpc.StreamServer) (any, error) {
	var n wrapperspb.Int64Value
	if err := ss.RecvMsg(&n); err != nil {
		return nil, err
	}
	if err := ss.RecvMsg(new(emptypb.Empty)); err != io.EOF {
		return nil, status.Errorf(codes.Internal, "a second message: %v", err)
	}
	for i := range n.Value {
		if err := ss.SendMsg(wrapperspb.Int64(i)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// EndOf returns no error for the end of what a client sends.
func EndOf(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// A Logger counts what it is told.
type Logger struct{ Errors, Others atomic.Int32 }

// Debug implements ttrpc.Logger.
func (l *Logger) Debug(string, ...any) { l.Others.Add(1) }

// Info implements ttrpc.Logger.
func (l *Logger) Info(string, ...any) { l.Others.Add(1) }

// Warn implements ttrpc.Logger.
func (l *Logger) Warn(string, ...any) { l.Others.Add(1) }

// Error implements ttrpc.Logger.
func (l *Logger) Error(string, ...any) { l.Errors.Add(1) }
