// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package health_test

import (
	"context"
	"errors"
	"iter"
	"maps"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/health"
	"github.com/containerd/ttrpc/integration/kit"
	pb "github.com/containerd/ttrpc/internal/healthpb"
)

// eachMode runs a test with a server that serves health, in both modes.
func eachMode(t *testing.T, test func(*testing.T, *health.Service, *ttrpc.Server, *ttrpc.Client)) {
	kit.EachMode(t, func(t *testing.T, server *ttrpc.Server, client *ttrpc.Client) {
		states := health.New()
		states.Register(server)
		test(t, states, server, client)
	})
}

func wantCheck(t *testing.T, rule string, client *ttrpc.Client, service string, want health.Status, code codes.Code) {
	t.Helper()
	got, err := health.Check(t.Context(), client, service)
	if got != want || status.Code(err) != code {
		t.Errorf("%s: Check(%q) = %v, %v, want %v and code %v", rule, service, got, err, want, code)
	}
}

func TestCheckAndList(t *testing.T) {
	eachMode(t, func(t *testing.T, states *health.Service, _ *ttrpc.Server, client *ttrpc.Client) {
		wantCheck(t, "B150", client, "", health.Serving, codes.OK)
		wantCheck(t, "B150", client, "a.B", health.Unknown, codes.NotFound)
		states.Set("a.B", health.NotServing)
		states.Set("c.D", health.Unknown)
		states.Set("e.F", health.Serving)
		wantCheck(t, "B150", client, "a.B", health.NotServing, codes.OK)
		wantCheck(t, "B150", client, "c.D", health.Unknown, codes.OK)
		states.Set("e.F", health.ServiceUnknown)
		wantCheck(t, "B150", client, "e.F", health.Unknown, codes.NotFound)
		states.Set("", health.NotServing)

		want := map[string]health.Status{"": health.NotServing, "a.B": health.NotServing, "c.D": health.Unknown}
		if got, err := health.List(t.Context(), client); err != nil || !maps.Equal(got, want) {
			t.Errorf("B150: List = %v, %v, want %v", got, err, want)
		}
		states.Shutdown()
		states.Set("c.D", health.Serving)
		wantCheck(t, "B152", client, "c.D", health.NotServing, codes.OK)
		wantCheck(t, "B152", client, "x.Y", health.Unknown, codes.NotFound)
		want = map[string]health.Status{"": health.NotServing, "a.B": health.NotServing, "c.D": health.NotServing}
		if got, err := health.List(t.Context(), client); err != nil || !maps.Equal(got, want) {
			t.Errorf("B152: List = %v, %v, want %v", got, err, want)
		}
		states.Resume()
		wantCheck(t, "B152", client, "c.D", health.Serving, codes.OK)
		wantCheck(t, "B152", client, "", health.NotServing, codes.OK)
	})
}

// watcher is a watch, pulled state by state.
type watcher struct {
	next func() (health.Status, error, bool)
	stop func()
}

func watch(ctx context.Context, client *ttrpc.Client, service string) watcher {
	next, stop := iter.Pull2(health.Watch(ctx, client, service))
	return watcher{next, stop}
}

func (w watcher) want(t *testing.T, rule string, want health.Status) {
	t.Helper()
	if got, err, ok := w.next(); got != want || err != nil || !ok {
		t.Errorf("%s: a watch yields %v, %v, %v, want %v", rule, got, err, ok, want)
	}
}

func (w watcher) wantEnd(t *testing.T, rule string, is func(error) bool) {
	t.Helper()
	if _, err, ok := w.next(); !ok || err == nil || !is(err) {
		t.Errorf("%s: the last of a watch is %v, %v", rule, err, ok)
	}
	if _, _, ok := w.next(); ok {
		t.Errorf("%s: a watch goes on after its error", rule)
	}
}

func isUnavailable(err error) bool { return status.Code(err) == codes.Unavailable }

func TestWatch(t *testing.T) {
	eachMode(t, func(t *testing.T, states *health.Service, _ *ttrpc.Server, client *ttrpc.Client) {
		whole, one := watch(t.Context(), client, ""), watch(t.Context(), client, "a.B")
		defer whole.stop()
		defer one.stop()
		whole.want(t, "B151", health.Serving)
		one.want(t, "B151", health.ServiceUnknown)
		states.Set("c.D", health.Serving)        // is about neither
		states.Set("a.B", health.ServiceUnknown) // changes nothing
		states.Set("a.B", health.Serving)        // is told
		one.want(t, "B151", health.Serving)      //
		states.Set("a.B", health.Serving)        // changes nothing
		states.Set("a.B", health.ServiceUnknown) // does not end it
		one.want(t, "B151", health.ServiceUnknown)
		states.Shutdown()
		whole.want(t, "B152", health.NotServing)
		states.Resume()
		whole.want(t, "B152", health.Serving)
	})
}

// TestWatchGivenUp holds that a watch ends with its context, and that one that is left does.
func TestWatchGivenUp(t *testing.T) {
	eachMode(t, func(t *testing.T, _ *health.Service, server *ttrpc.Server, client *ttrpc.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		w := watch(ctx, client, "")
		defer w.stop()
		w.want(t, "B151", health.Serving)
		cancel()
		w.wantEnd(t, "B151", func(err error) bool { return errors.Is(err, context.Canceled) })
		for range health.Watch(t.Context(), client, "") {
			break
		}
		synctest.Wait()
		if left := client.Snapshot().Streams; len(left) > 0 {
			t.Errorf("B151: the client has left streams: %+v", left)
		}
	})
}

// TestSlowWatcher lets a state change a thousand times while the first message waits to be sent,
// and holds that only the newest follows.
func TestSlowWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowStream{gate: make(chan struct{}), sent: make(chan health.Status, 10)}
		server, client, end := kit.Connect(t, []ttrpc.ServerOpt{ttrpc.WithChainStreamServerInterceptor(slow.intercept)}, nil)
		defer end()
		states := health.New()
		states.Register(server)
		w := watch(t.Context(), client, "")
		defer w.stop()
		go w.next()
		synctest.Wait()
		for range 500 {
			states.Set("", health.Unknown)
			states.Set("", health.NotServing)
		}
		close(slow.gate)
		synctest.Wait()
		for _, want := range []health.Status{health.Serving, health.NotServing} {
			if got := <-slow.sent; got != want {
				t.Errorf("B151: a watcher is sent %v, want %v", got, want)
			}
		}
		if len(slow.sent) > 0 {
			t.Errorf("B151: a watcher is sent %v after the newest state", <-slow.sent)
		}
	})
}

// A slowStream lets nothing be sent before its gate is open, and tells what is.
type slowStream struct {
	ttrpc.StreamServer
	gate chan struct{}
	sent chan health.Status
}

func (s *slowStream) intercept(ctx context.Context, stream ttrpc.StreamServer, _ *ttrpc.StreamServerInfo, handle ttrpc.StreamHandler) (any, error) {
	s.StreamServer = stream
	return handle(ctx, s)
}

func (s *slowStream) SendMsg(m any) error {
	<-s.gate
	s.sent <- health.Status(m.(*pb.HealthCheckResponse).Status)
	return s.StreamServer.SendMsg(m)
}

// TestGoodbye holds what clients are told when a server shuts down, and that those who watch
// do not hold it up.
func TestGoodbye(t *testing.T) {
	eachMode(t, func(t *testing.T, states *health.Service, server *ttrpc.Server, client *ttrpc.Client) {
		known, unknown := watch(t.Context(), client, ""), watch(t.Context(), client, "a.B")
		defer known.stop()
		defer unknown.stop()
		known.want(t, "B152", health.Serving)
		unknown.want(t, "B152", health.ServiceUnknown)
		shut := make(chan error, 1)
		go func() { shut <- server.Shutdown(t.Context()) }()
		known.want(t, "B152", health.NotServing)
		known.wantEnd(t, "B152", isUnavailable)
		unknown.wantEnd(t, "B152", isUnavailable)
		if err := <-shut; err != nil {
			t.Errorf("B152: Shutdown: %v", err)
		}
		// Another server with the same states is none the worse.
		other, second, end := kit.Connect(t, nil, nil)
		defer end()
		states.Register(other)
		wantCheck(t, "B152", second, "", health.Serving, codes.OK)
	})
}

// TestCheckDuringGoodbye asks a server that shuts down and has to serve its client still, as it
// has a call to that under way: nothing is serving then.
func TestCheckDuringGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		services, err := ttrpc.NewServer()
		if err != nil {
			t.Fatal(err)
		}
		defer services.Close()
		server, client, end := kit.Connect(t, []ttrpc.ServerOpt{ttrpc.WithServerExtensions()}, []ttrpc.ClientOpts{ttrpc.WithClientServices(services)})
		defer end()
		states := health.New()
		states.Set("a.B", health.Serving)
		states.Register(server)
		server.Register("test.Work", map[string]ttrpc.Method{"Do": func(ctx context.Context, unmarshal func(any) error) (any, error) {
			caller, err := ttrpc.PeerClient(ctx)
			if err != nil {
				return nil, err
			}
			return new(emptypb.Empty), caller.Call(ctx, "test.Callback", "Do", new(emptypb.Empty), new(emptypb.Empty))
		}})
		shut := make(chan error, 1)
		services.Register("test.Callback", map[string]ttrpc.Method{"Do": func(ctx context.Context, _ func(any) error) (any, error) {
			go func() { shut <- server.Shutdown(context.Background()) }()
			synctest.Wait()
			wantCheck(t, "B152", client, "", health.NotServing, codes.OK)
			wantCheck(t, "B152", client, "x.Y", health.Unknown, codes.NotFound)
			want := map[string]health.Status{"": health.NotServing, "a.B": health.NotServing}
			if got, err := health.List(t.Context(), client); err != nil || !maps.Equal(got, want) {
				t.Errorf("B152: List = %v, %v, want %v", got, err, want)
			}
			return new(emptypb.Empty), nil
		}})
		if err := client.Call(t.Context(), "test.Work", "Do", new(emptypb.Empty), new(emptypb.Empty)); err != nil {
			t.Errorf("B152: the call during which the server shut down: %v", err)
		}
		if err := <-shut; err != nil {
			t.Errorf("B152: Shutdown: %v", err)
		}
	})
}

// TestMistakes holds what is no state, and what to call one that a newer peer has.
func TestMistakes(t *testing.T) {
	if got := health.Status(7).String(); got != "Status(7)" {
		t.Errorf("B150: an unknown state is called %q", got)
	}
	defer func() {
		if got, want := recover(), `health: Status(7) of service "a.B" is not a state`; got != want {
			t.Errorf("B150: Set panics with %v, want %q", got, want)
		}
	}()
	health.New().Set("a.B", 7)
}
