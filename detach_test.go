// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// A detachTest is a client of a server whose handlers detach their streams.
type detachTest struct {
	*testing.T
	server *Server
	client *Client
	kept   chan *DetachedStream
	after  func(*DetachedStream) (any, error) // what the handler does then
}

// onDetached runs f in a bubble.
func onDetached(t *testing.T, f func(d *detachTest), opts ...ServerOpt) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &detachTest{T: t, kept: make(chan *DetachedStream, 10)}
		d.after = func(*DetachedStream) (any, error) { return nil, nil }
		var err error
		if d.server, err = NewServer(opts...); err != nil {
			t.Fatal(err)
		}
		handler := func(ctx context.Context, _ StreamServer) (any, error) {
			s, err := Detach(ctx)
			if err != nil {
				return nil, err
			}
			d.kept <- s
			if _, err := Detach(ctx); err == nil {
				t.Error("B72: a stream is detached twice")
			}
			return d.after(s)
		}
		d.server.RegisterService("test", &ServiceDesc{Streams: map[string]Stream{
			"Both": {Handler: handler, StreamingClient: true, StreamingServer: true},
			"Sum":  {Handler: handler, StreamingClient: true},
		}})
		a, b := memconn.Pipe(0)
		d.server.accept(t.Context(), b)
		d.client = NewClient(a)
		f(d)
		d.client.Close()
		d.server.Close()
		synctest.Wait()
		if n := d.server.countConnection(); n != 0 {
			t.Errorf("B72: %d connections are left", n)
		}
	})
}

// open opens a stream of the method, and returns it at both ends.
func (d *detachTest) open(ctx context.Context, method string) (ClientStream, *DetachedStream) {
	d.Helper()
	s, err := d.client.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: method == "Both"}, "test", method, nil)
	if err != nil {
		d.Fatal(err)
	}
	kept := <-d.kept
	synctest.Wait()
	return s, kept
}

// wantEnd requires that the client's stream ends so.
func (d *detachTest) wantEnd(s ClientStream, want codes.Code) {
	d.Helper()
	err := s.RecvMsg(new(wrapperspb.StringValue))
	if want == codes.OK && err != io.EOF || want != codes.OK && status.Code(err) != want {
		d.Errorf("B72: the stream ends with %v, want %v", err, want)
	}
}

// streams returns how many streams the server has, and of how many the handler is gone.
func (d *detachTest) streams() (all, alone int) {
	synctest.Wait()
	for _, c := range d.server.Snapshot() {
		for _, s := range c.Streams {
			all++
			if s.Detached {
				alone++
			}
		}
	}
	return all, alone
}

// TestDetachLives holds that a detached stream goes on without its handler, sends and
// receives, and ends by End, of which there is one.
func TestDetachLives(t *testing.T) {
	var intercepted error = errors.New("the interceptor has not returned")
	interceptor := func(ctx context.Context, s StreamServer, _ *StreamServerInfo, next StreamHandler) (any, error) {
		result, err := next(context.WithValue(ctx, detachTestKey{}, 1), s)
		intercepted = err
		return result, err
	}
	traced := 0
	trace := &Trace{Call: func(CallInfo) func(error) { return func(error) { traced++ } }}
	onDetached(t, func(d *detachTest) {
		s, kept := d.open(d.Context(), "Both")
		if all, alone := d.streams(); traced != 0 || intercepted != nil || all != 1 || alone != 1 {
			d.Errorf("B72: %v; of %d streams %d are alone, and %d ended", intercepted, all, alone, traced)
		}
		m := new(wrapperspb.StringValue)
		if err := s.SendMsg(wrapperspb.String("up")); err != nil {
			d.Error(err)
		}
		if err := kept.RecvMsg(m); err != nil || m.Value != "up" {
			d.Errorf("B72: RecvMsg: %q, %v", m.Value, err)
		}
		if err := kept.SendMsg(wrapperspb.String("down")); err != nil {
			d.Errorf("B72: SendMsg: %v", err)
		}
		if err := s.RecvMsg(m); err != nil || m.Value != "down" || kept.Context().Err() != nil {
			d.Errorf("B72: %q, %v, and the context: %v", m.Value, err, kept.Context().Err())
		}
		if err := kept.End(m, nil); !errors.Is(err, ErrProtocol) {
			d.Errorf("B72: a message where none belongs: %v", err)
		}
		if err := kept.End(nil, nil); err != nil {
			d.Errorf("B72: End: %v", err)
		}
		d.wantEnd(s, codes.OK)
		if all, _ := d.streams(); traced != 1 || all != 0 || kept.Context().Err() != context.Canceled {
			d.Errorf("B72: after End %d streams, the context: %v", all, kept.Context().Err())
		}
		for _, err := range []error{kept.End(nil, nil), kept.SendMsg(m), kept.RecvMsg(m)} {
			if err != ErrStreamClosed {
				d.Errorf("B72: after End: %v", err)
			}
		}
	}, WithChainStreamServerInterceptor(interceptor), WithServerTrace(trace))
}

type detachTestKey struct{}

// TestDetachEnds holds what else ends a detached stream, and what End says then.
func TestDetachEnds(t *testing.T) {
	onDetached(t, func(d *detachTest) {
		s, kept := d.open(d.Context(), "Sum")
		if err := kept.End(wrapperspb.Int64(7), nil); err != nil {
			d.Error(err)
		}
		sum := new(wrapperspb.Int64Value)
		if err := s.RecvMsg(sum); err != nil || sum.Value != 7 {
			d.Errorf("B72: the answer is %d, %v", sum.Value, err)
		}

		s, kept = d.open(d.Context(), "Both")
		if err := kept.End(nil, status.Error(codes.DataLoss, "lost")); err != nil {
			d.Error(err)
		}
		d.wantEnd(s, codes.DataLoss)

		ctx, cancel := context.WithTimeout(d.Context(), time.Second)
		defer cancel()
		_, kept = d.open(ctx, "Both")
		<-kept.Context().Done() // the deadline is watched still
		synctest.Wait()
		if err := kept.RecvMsg(sum); err != context.DeadlineExceeded {
			d.Errorf("B72: the deadline: %v", err)
		}
		if all, _ := d.streams(); all != 1 {
			d.Errorf("B72: %d streams before End", all)
		}
		if err := kept.End(nil, nil); err != context.DeadlineExceeded {
			d.Errorf("B72: End after the deadline: %v", err)
		}
		if all, _ := d.streams(); all != 0 {
			d.Errorf("B72: %d streams after End", all)
		}

		s, kept = d.open(d.Context(), "Both")
		for _, word := range []string{"one", "two"} {
			if err := s.SendMsg(wrapperspb.String(word)); err != nil {
				d.Error(err)
			}
		}
		synctest.Wait()
		d.client.Close()
		<-kept.Context().Done()
		synctest.Wait()
		for _, word := range []string{"one", "two"} {
			m := new(wrapperspb.StringValue)
			if err := kept.RecvMsg(m); err != nil || m.Value != word {
				d.Errorf("B72: after the connection's end: %q, %v, want %q", m.Value, err, word)
			}
		}
		if err := kept.RecvMsg(sum); err != context.Canceled {
			d.Errorf("B72: after what has arrived: %v", err)
		}
		if err := kept.End(nil, nil); err != ErrClosed {
			d.Errorf("B72: End after the connection's: %v", err)
		}
	})
}

// TestDetachHandler holds what the handler's return means for a stream that it detached.
func TestDetachHandler(t *testing.T) {
	onDetached(t, func(d *detachTest) {
		d.after = func(*DetachedStream) (any, error) { return nil, status.Error(codes.Aborted, "no") }
		s, kept := d.open(d.Context(), "Both")
		d.wantEnd(s, codes.Aborted)
		if err := kept.End(nil, nil); err != ErrStreamClosed {
			d.Errorf("B72: End after the handler's error: %v", err)
		}

		d.after = func(*DetachedStream) (any, error) { panic("no") }
		s, _ = d.open(d.Context(), "Both")
		d.wantEnd(s, codes.Internal)

		goOn := make(chan struct{})
		d.after = func(kept *DetachedStream) (any, error) {
			err := kept.End(nil, status.Error(codes.DataLoss, "first"))
			<-goOn
			return nil, errors.Join(err, errors.New("second"))
		}
		s, _ = d.open(d.Context(), "Both")
		if all, alone := d.streams(); all != 1 || alone != 0 {
			d.Errorf("B72: of %d streams %d are alone before the handler returns", all, alone)
		}
		close(goOn)
		d.wantEnd(s, codes.DataLoss)
		if all, _ := d.streams(); all != 0 {
			d.Errorf("B72: %d streams are left", all)
		}
	}, WithRecoverPanics())
}

// TestDetachCounts holds that a detached stream counts for the cap on handlers, and that
// Shutdown waits for it.
func TestDetachCounts(t *testing.T) {
	onDetached(t, func(d *detachTest) {
		s, kept := d.open(d.Context(), "Both")
		over, err := d.client.NewStream(d.Context(), bidi, "test", "Both", nil)
		if err != nil {
			d.Fatal(err)
		}
		d.wantEnd(over, codes.ResourceExhausted)
		done := make(chan error, 1)
		go func() { done <- d.server.Shutdown(context.Background()) }()
		time.Sleep(time.Hour)
		wantWaiting(t, "B72: Shutdown", done)
		if err := kept.End(nil, nil); err != nil {
			d.Error(err)
		}
		d.wantEnd(s, codes.OK)
		if err := <-done; err != nil {
			d.Error(err)
		}
	}, WithServerLimits(Limits{Handlers: 1}))
}

// TestDetachRefused holds where nothing can be detached.
func TestDetachRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		contexts := make(chan context.Context, 2)
		server, err := NewServer()
		if err != nil {
			t.Fatal(err)
		}
		server.RegisterService("test", &ServiceDesc{
			Methods: map[string]Method{"Unary": func(ctx context.Context, _ func(any) error) (any, error) {
				_, err := Detach(ctx)
				return wrapperspb.Bool(err != nil), nil
			}},
			Streams: map[string]Stream{"Stream": {StreamingServer: true, Handler: func(ctx context.Context, _ StreamServer) (any, error) {
				contexts <- ctx
				return nil, nil
			}}},
		})
		a, b := memconn.Pipe(0)
		server.accept(t.Context(), b)
		client := NewClient(a)
		refused := new(wrapperspb.BoolValue)
		if err := client.Call(t.Context(), "test", "Unary", wrapperspb.Bool(true), refused); err != nil || !refused.Value {
			t.Errorf("B72: a unary call is detached: %v", err)
		}
		if _, err := client.NewStream(t.Context(), &StreamDesc{StreamingServer: true}, "test", "Stream", nil); err != nil {
			t.Fatal(err)
		}
		ctx := <-contexts
		synctest.Wait()
		for _, ctx := range []context.Context{ctx, t.Context()} {
			if _, err := Detach(ctx); err == nil {
				t.Error("B72: what has ended is detached")
			}
		}
		client.Close()
		server.Close()
	})
}
