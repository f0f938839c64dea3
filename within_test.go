// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// soon returns a context that lasts a second.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

// ended returns a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// newEchoes connects a client with a server in memory, in extended mode or not, and opens
// a stream whose handler is f.
func newEchoes(t *testing.T, extended bool, f StreamHandler) (s ClientStream, done func()) {
	t.Helper()
	var serverOpts []ServerOpt
	var opts []ClientOpts
	if extended {
		serverOpts, opts = append(serverOpts, WithServerExtensions()), append(opts, WithExtensions())
	}
	server, err := NewServer(serverOpts...)
	if err != nil {
		t.Fatal(err)
	}
	server.RegisterService("test", &ServiceDesc{Streams: map[string]Stream{"Stream": {Handler: f, StreamingClient: true, StreamingServer: true}}})
	a, b := memconn.Pipe(0)
	server.accept(context.Background(), b)
	c := NewClient(a, opts...)
	s, err = c.NewStream(t.Context(), bidi, "test", "Stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, func() {
		c.Close()
		server.Close()
	}
}

// onBothModes runs f in a bubble, for a classic connection and one in extended mode.
func onBothModes(t *testing.T, f func(t *testing.T, extended bool)) {
	t.Run("classic", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, false) }) })
	t.Run("extended", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, true) }) })
}

// TestWithinRecv holds that either end may give up a receive, and receive later.
func TestWithinRecv(t *testing.T) {
	onBothModes(t, func(t *testing.T, extended bool) {
		handled := make(chan error, 1)
		s, done := newEchoes(t, extended, func(ctx context.Context, s StreamServer) (any, error) {
			m := new(wrapperspb.StringValue)
			for _, bounds := range []context.Context{soon(t), ended()} {
				if err := s.RecvMsg(Within(bounds, m)); !isTold(err, bounds.Err(), extended) {
					t.Errorf("B71: the handler's RecvMsg: %v", err)
				}
			}
			if ctx.Err() != nil {
				t.Error("B71: the stream has ended")
			}
			err := s.RecvMsg(Within(t.Context(), m))
			if err == nil {
				err = s.SendMsg(Within(ended(), m))
			}
			handled <- err
			return nil, err
		})
		defer done()
		m := new(wrapperspb.StringValue)
		for _, bounds := range []context.Context{soon(t), ended()} {
			if err := s.RecvMsg(Within(bounds, m)); !isTold(err, bounds.Err(), extended) {
				t.Errorf("B71: the client's RecvMsg: %v", err)
			}
		}
		time.Sleep(time.Minute) // the handler has given up too
		if err := s.SendMsg(Within(ended(), wrapperspb.String("m"))); err != nil {
			t.Errorf("B71: a send that need not wait: %v", err)
		}
		if err := <-handled; err != nil {
			t.Errorf("B71: the handler later: %v", err)
		}
		synctest.Wait()
		if err := s.RecvMsg(Within(ended(), m)); err != nil || m.Value != "m" {
			t.Errorf("B71: a message that has come: %q, %v", m.Value, err)
		}
		if err := s.RecvMsg(Within(ended(), m)); err != io.EOF {
			t.Errorf("B71: the end that has come: %v", err)
		}
	})
}

// TestWithinSend holds that a send in extended mode is given up where there is no credit,
// with nothing sent.
func TestWithinSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn, received := make(chan struct{}), make(chan int, 1)
		s, done := newEchoes(t, true, func(_ context.Context, s StreamServer) (any, error) {
			<-goOn
			for n := 0; ; n++ {
				if err := s.RecvMsg(new(wrapperspb.BytesValue)); err != nil {
					received <- n
					return nil, endOfStream(err)
				}
			}
		})
		defer done()
		wantCounted(t, s, 1000, func() { close(goOn) }, received)
	})
}

// TestWithinSendClassic holds that a send on a classic connection is given up where the
// peer does not read, with nothing sent and nothing queued.
func TestWithinSendClassic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(1000)
		c := NewClient(a)
		s := open(t, t.Context(), c, bidi, nil)
		queued := func() int {
			snap := c.Snapshot()
			return snap.QueuedFrames
		}
		received := make(chan int, 1)
		read := func() {
			if n := queued(); n == 0 || n > maxPending/1000+1 {
				t.Errorf("B71: %d frames are queued", n)
			}
			go func() {
				ch := newChannel(b)
				for n := -1; ; n++ { // the request is no message
					if h, _, err := ch.recv(); err != nil || h.Flags&flagNoData != 0 && h.Type == messageTypeData {
						if told := c.Snapshot().Streams[0].Sent.Messages; n != told {
							t.Errorf("B55: %d messages came, and %d count as sent", n, told)
						}
						received <- n
						return
					}
				}
			}()
		}
		wantCounted(t, s, 1000, read, received)
		c.Close()
		b.Close()
	})
}

// wantCounted sends messages until that would wait, has the peer go on, which counts, and
// requires that it gets what was sent without an error.
func wantCounted(t *testing.T, s ClientStream, size int, goOn func(), received <-chan int) {
	t.Helper()
	m := wrapperspb.Bytes(make([]byte, size))
	sent, missed := 0, 0
	for missed < 100 {
		switch err := s.SendMsg(Within(soon(t), m)); {
		case err == nil && missed > 0:
			t.Fatalf("B71: the message after %d that had to wait need not", missed)
		case err == nil:
			sent++
		case errors.Is(err, context.DeadlineExceeded):
			missed++
		default:
			t.Fatalf("B71: SendMsg: %v", err)
		}
		if sent > 10000 {
			t.Fatal("B71: no send has to wait")
		}
	}
	goOn()
	if err := s.SendMsg(Within(t.Context(), m)); err != nil {
		t.Errorf("B71: a send later: %v", err)
	}
	if err := s.CloseSend(); err != nil {
		t.Error(err)
	}
	if n := <-received; n != sent+1 || sent == 0 {
		t.Errorf("B71: %d messages have come, %d were sent", n, sent+1)
	}
}

// TestSendAfterEnd holds what who sends learns of the peer's end of the stream.
func TestSendAfterEnd(t *testing.T) {
	onBothModes(t, func(t *testing.T, extended bool) {
		s, done := newEchoes(t, extended, func(context.Context, StreamServer) (any, error) {
			return nil, status.Error(codes.DataLoss, "enough")
		})
		defer done()
		synctest.Wait()
		var want error
		if extended {
			want = io.EOF
		}
		for range 2 {
			if err := s.SendMsg(wrapperspb.String("m")); err != want {
				t.Errorf("B71: SendMsg after the end: %v, want %v", err, want)
			}
		}
		if err := s.CloseSend(); err != nil {
			t.Errorf("B71: CloseSend: %v", err)
		}
		if err := s.RecvMsg(new(wrapperspb.StringValue)); status.Code(err) != codes.DataLoss {
			t.Errorf("B71: RecvMsg tells why: %v", err)
		}
		if err := s.SendMsg(wrapperspb.String("m")); !errors.Is(err, ErrStreamClosed) {
			t.Errorf("B20: %v", err)
		}
	})
}

// TestWithinMistakes holds that what Within returns for no context, or where no stream takes it,
// is an error that a user understands.
func TestWithinMistakes(t *testing.T) {
	var none context.Context
	onBothModes(t, func(t *testing.T, extended bool) {
		handled := make(chan error, 2)
		s, done := newEchoes(t, extended, func(ctx context.Context, s StreamServer) (any, error) {
			m := new(wrapperspb.StringValue)
			handled <- s.RecvMsg(Within(none, m))
			handled <- s.SendMsg(Within(none, m))
			return nil, s.RecvMsg(m)
		})
		m := wrapperspb.String("")
		for what, err := range map[string]error{
			"RecvMsg": s.RecvMsg(Within(none, m)), "SendMsg": s.SendMsg(Within(none, m)),
			"the handler's RecvMsg": <-handled, "the handler's SendMsg": <-handled,
		} {
			if !errors.Is(err, errNoBound) {
				t.Errorf("B71: %s of no context: %v", what, err)
			}
		}
		twice := s.SendMsg(Within(t.Context(), Within(t.Context(), m)))
		if twice == nil || strings.Contains(twice.Error(), "bounded") || !strings.Contains(twice.Error(), "ttrpc.Within") {
			t.Errorf("B71: Within twice: %v", twice)
		}
		s.CloseSend()
		done()
	})
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		err := c.Call(t.Context(), "s", "m", Within(t.Context(), wrapperspb.String("")), nil)
		if err == nil || strings.Contains(err.Error(), "bounded") || !strings.Contains(err.Error(), "ttrpc.Within") {
			t.Errorf("B71: a call of it: %v", err)
		}
	})
}
