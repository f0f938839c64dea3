// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package dial

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// TestDialSurvivesKills kills a server on a unix socket again and again. Every call
// that may run twice is answered, and no other does.
func TestDialSurvivesKills(t *testing.T) {
	w := newRestartWorld(t, func(s *ttrpc.Server) { s.Close() })
	all := w.run(t, func(ctx context.Context, id int) (context.Context, bool) {
		if id%2 == 0 {
			return ttrpc.Repeatable(ctx), true
		}
		return ctx, false
	})
	if all.answered+all.lost != restartCalls {
		t.Errorf("B54: of %d calls %d were answered and %d lost", restartCalls, all.answered, all.lost)
	}
}

// TestDialSurvivesShutdowns restarts it in order: then none is lost.
func TestDialSurvivesShutdowns(t *testing.T) {
	w := newRestartWorld(t, func(s *ttrpc.Server) {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("B53: %v", err)
		}
	}, ttrpc.WithExtensions())
	all := w.run(t, func(ctx context.Context, id int) (context.Context, bool) { return ctx, false })
	if all.answered != restartCalls {
		t.Errorf("B54: of %d calls %d were answered and %d lost", restartCalls, all.answered, all.lost)
	}
}

const (
	restartCallers = 64
	restartCalls   = restartCallers * 100
	restartEvery   = restartCalls / 20 // calls
)

// A restartWorld is a client, and a server that counts how often each call runs, and
// ends after so many.
type restartWorld struct {
	client *ttrpc.Client
	path   string
	end    func(*ttrpc.Server)
	total  atomic.Int32
	runs   [restartCalls]atomic.Int32
	due    chan struct{} // it is time for a restart
}

func newRestartWorld(t *testing.T, end func(*ttrpc.Server), opts ...ttrpc.ClientOpts) *restartWorld {
	w := &restartWorld{path: filepath.Join(t.TempDir(), "socket"), end: end, due: make(chan struct{}, 1)}
	var err error
	w.client, err = ttrpc.Dial("unix://"+w.path, append(opts, ttrpc.WithDialer(ttrpc.Dialer{Backoff: ttrpc.Backoff{Min: time.Millisecond, Max: 10 * time.Millisecond}}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.client.Close() })
	return w
}

// A restartCount says what became of the calls.
type restartCount struct{ answered, lost int32 }

// run has all callers make their calls, each with what context makes of its own and
// tells whether it may run twice, while servers come and go.
func (w *restartWorld) run(t *testing.T, context func(context.Context, int) (context.Context, bool)) restartCount {
	var answered, lost atomic.Int32
	var all sync.WaitGroup
	for caller := range restartCallers {
		all.Go(func() {
			for id := caller; id < restartCalls; id += restartCallers {
				ctx, repeatable := context(t.Context(), id)
				err := w.client.Call(ctx, "test", "Run", wrapperspb.Int64(int64(id)), new(wrapperspb.Int64Value))
				runs := w.runs[id].Load()
				switch {
				case err == nil && (runs == 1 || runs > 1 && repeatable):
					answered.Add(1)
				case !repeatable && runs <= 1 && errors.Is(err, ttrpc.ErrClosed) && status.Code(err) == codes.Unavailable:
					lost.Add(1)
				default:
					t.Errorf("B54: call %d ran %d times: %v", id, runs, err)
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	restarts := w.serve(t, ended)
	t.Logf("%d restarts, %d calls answered, %d lost", restarts, answered.Load(), lost.Load())
	if restarts == 0 {
		t.Error("there was no restart")
	}
	return restartCount{answered.Load(), lost.Load()}
}

// serve runs one server after the other until ended is closed, and returns how many
// were restarted.
func (w *restartWorld) serve(t *testing.T, ended <-chan struct{}) (restarts int) {
	for {
		l, err := net.Listen("unix", w.path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
		if err != nil {
			t.Fatal(err)
		}
		s.RegisterService("test", &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{"Run": w.handle}})
		served := make(chan error, 1)
		go func() { served <- s.Serve(t.Context(), l) }()
		select {
		case <-w.due:
			restarts++
			w.end(s)
		case <-ended:
			s.Close()
			<-served
			return restarts
		}
		<-served
	}
}

func (w *restartWorld) handle(_ context.Context, unmarshal func(any) error) (any, error) {
	m := new(wrapperspb.Int64Value)
	if err := unmarshal(m); err != nil {
		return nil, err
	}
	w.runs[m.Value].Add(1)
	if w.total.Add(1)%restartEvery == 0 {
		select {
		case w.due <- struct{}{}:
		default:
		}
	}
	return m, nil
}
