// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/memconn"
)

func newServer(t *testing.T, opts ...ttrpc.ServerOpt) *ttrpc.Server {
	t.Helper()
	server, err := ttrpc.NewServer(opts...)
	must(t, err)
	return server
}

// Review "a session must be possible before it is used": the error names what is missing.
func TestOverNamesWhatIsMissing(t *testing.T) {
	within(t, func(t *testing.T) {
		extended := func() *ttrpc.Server { return newServer(t, ttrpc.WithServerExtensions()) }
		registered := extended()
		must(t, Register(registered))
		for _, c := range []struct {
			server *ttrpc.Server
			opts   []ttrpc.ClientOpts
			want   string
		}{
			{registered, []ttrpc.ClientOpts{ttrpc.WithExtensions()}, "libchan.WithSessions"},
			{newServer(t), []ttrpc.ClientOpts{WithSessions()}, "ttrpc.WithServerExtensions"},
			{extended(), []ttrpc.ClientOpts{WithSessions()}, "libchan.Register"},
			{registered, []ttrpc.ClientOpts{WithSessions(), ttrpc.WithClientServices(newServer(t))}, "libchan.WithSessions"},
		} {
			_, err := Over(pair(t, c.server, c.opts...))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("L10: Over: %v, want an error that names %s", err, c.want)
			}
		}
		if err := Register(newServer(t)); err == nil || !strings.Contains(err.Error(), "ttrpc.WithServerExtensions") {
			t.Errorf("L10: Register: %v, want an error that names ttrpc.WithServerExtensions", err)
		}
		if _, err := Over(nil); err == nil {
			t.Error("Over of no client succeeds")
		}
		if err := Register(nil); err == nil {
			t.Error("Register of no server succeeds")
		}
	})
}

// A session shares its connection with calls both ways.
func TestBesideCalls(t *testing.T) {
	within(t, func(t *testing.T) {
		begun := make(chan *Session, 1)
		server := newServer(t, ttrpc.WithServerExtensions())
		must(t, Register(server, WithHandler(func(s *Session) { begun <- s })))
		server.Register("test.Jobs", map[string]ttrpc.Method{
			"Start": func(ctx context.Context, unmarshal func(any) error) (any, error) {
				s, err := FromContext(ctx)
				if err != nil {
					return nil, err
				}
				out, err := s.OpenChannel(ctx, "progress")
				if err != nil {
					return nil, err
				}
				return wrapperspb.String("started"), out.Send("half")
			},
		})
		services := newServer(t)
		services.Register("test.Client", map[string]ttrpc.Method{
			"Who": func(ctx context.Context, unmarshal func(any) error) (any, error) {
				_, err := FromContext(ctx)
				return wrapperspb.Bool(err == nil), nil
			},
		})
		client := pair(t, server, WithSessions(WithServices(services)))
		s, err := Over(client)
		must(t, err)
		answer := new(wrapperspb.StringValue)
		must(t, client.Call(ctx, "test.Jobs", "Start", wrapperspb.String(""), answer))
		name, r, err := s.Accept(ctx)
		if err != nil || name != "progress" {
			t.Fatalf("accepted %q, %v", name, err)
		}
		receives(t, r, "half")
		far := <-begun
		known := new(wrapperspb.BoolValue)
		must(t, far.client.Call(ctx, "test.Client", "Who", wrapperspb.String(""), known))
		if !known.Value {
			t.Error("a handler of the client's finds no session")
		}
		must(t, s.Close())
		<-far.Done()
		if far.Cause() != io.EOF || s.Cause() != ErrClosed {
			t.Errorf("the causes are %v and %v, want ErrClosed and io.EOF", s.Cause(), far.Cause())
		}
		if err := client.Call(ctx, "test.Jobs", "Start", wrapperspb.String(""), answer); err == nil || !strings.Contains(err.Error(), "no session") {
			t.Errorf("a call that needs a session that has ended: %v", err)
		}
		again, err := Over(client)
		must(t, err)
		must(t, again.Close())
		if _, err := FromContext(ctx); err == nil {
			t.Error("FromContext of no handler succeeds")
		}
	})
}

// L6: when the peer has gone all that waits returns, and says why.
func TestPeerGone(t *testing.T) {
	for name, leave := range map[string]func(near, far *Session, conn io.Closer){
		"closes":          func(_, far *Session, _ io.Closer) { far.Close() },
		"is closed":       func(near, _ *Session, _ io.Closer) { near.Close() },
		"connection lost": func(_, _ *Session, conn io.Closer) { conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				a, b := memconn.Pipe(0)
				served := make(chan *Session)
				go func() {
					s, _ := NewServer(b)
					served <- s
				}()
				near, err := NewClient(a)
				must(t, err)
				far := <-served
				out, in := top(t, near, far)
				_, feed := top(t, far, near)
				r, s := pipe(0)
				got := carry(t, out, in, withEnd{R: r})
				r2, s2 := pipe(0)
				got2 := carry(t, out, in, withEnd{S: s2})
				must(t, out.Send("on its way"))
				synctest.Wait()
				results := make(chan error, 20)
				waits := map[string]func() error{
					"WaitReceiveChannel":     func() error { _, err := near.WaitReceiveChannel(); return err },
					"Receive":                func() error { return feed.Receive(new(int)) },
					"a rendezvous":           func() error { return s.Send(1) },
					"Receive of an answer":   func() error { return r2.Receive(new(int)) },
					"far Receive":            func() error { return got.R.Receive(new(int)) },
					"far WaitReceiveChannel": func() error { _, err := far.WaitReceiveChannel(); return err },
					"Send": func() error {
						for {
							if err := out.Send(strings.Repeat("x", 1000)); err != nil {
								return err
							}
						}
					},
				}
				// got.R receives what the rendezvous sends, so that one waits in vain first.
				delete(waits, "a rendezvous")
				for name, wait := range waits {
					go func() {
						err := wait()
						if !errors.Is(err, ErrSessionEnded) {
							t.Errorf("L6: %s returns %v, want ErrSessionEnded", name, err)
						}
						results <- err
					}()
				}
				synctest.Wait()
				if len(results) > 0 {
					t.Fatalf("%d calls did not wait: %v", len(results), <-results)
				}
				leave(near, far, a)
				for range waits {
					<-results
				}
				<-near.Done()
				<-far.Done()
				if _, err := near.NewSendChannel(); !errors.Is(err, ErrSessionEnded) {
					t.Errorf("L6: NewSendChannel returns %v, want ErrSessionEnded", err)
				}
				for name, err := range map[string]error{"rendezvous": s.Send(1), "received end": got2.S.Send(1)} {
					if !errors.Is(err, ErrSessionEnded) {
						t.Errorf("L6: Send by a %s: %v, want ErrSessionEnded", name, err)
					}
				}
				near.Close()
				far.Close()
				if n := tables(near, far); n != 0 {
					t.Errorf("%d entries in tables are left", n)
				}
			})
		})
	}
}

// What has arrived when the connection is lost is received, and then the error.
func TestArrivedIsReceived(t *testing.T) {
	for _, toClient := range []bool{true, false} {
		within(t, func(t *testing.T) {
			near, far := sessions(t)
			if toClient {
				near, far = far, near
			}
			out, in := top(t, near, far)
			r, s := pipe(-1)
			got := carry(t, out, in, withEnd{R: r})
			must(t, s.Send(0))
			receives(t, got.R, 0)
			for i := range 5 {
				must(t, out.Send(i))
				must(t, s.Send(i))
			}
			synctest.Wait()
			near.Close()
			synctest.Wait()
			for _, end := range []Receiver{in, got.R} {
				for i := range 5 {
					receives(t, end, i)
				}
				if err := end.Receive(new(int)); !errors.Is(err, ErrSessionEnded) {
					t.Errorf("after what has arrived: %v, want ErrSessionEnded", err)
				}
			}
		})
	}
}

// Review "people also expect": a draining notice, and all that was sent is received.
func TestShutdown(t *testing.T) {
	for _, byClient := range []bool{true, false} {
		within(t, func(t *testing.T) {
			near, far := sessions(t)
			if !byClient {
				near, far = far, near
			}
			out, in := top(t, near, far)
			r, s := pipe(3)
			must(t, out.Send(withEnd{R: r}))
			must(t, s.Send("unclaimed"))
			must(t, s.Close())
			must(t, out.Close())
			_, unaccepted := top2(t, near)
			done := make(chan error)
			go func() { done <- near.Shutdown(ctx) }()
			<-near.Draining()
			<-far.Draining()
			synctest.Wait()
			if len(done) > 0 {
				t.Error("Shutdown does not wait for channels")
			}
			for _, s := range []*Session{near, far} {
				if _, err := s.NewSendChannel(); !errors.Is(err, ErrDraining) {
					t.Errorf("a new channel of a session that drains: %v, want ErrDraining", err)
				}
			}
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if err := near.Shutdown(short); !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "libchan: 3 channels ") {
				t.Errorf("Shutdown within a second: %v, want DeadlineExceeded, and the number of channels", err)
			}
			must(t, unaccepted.Close())
			_, late, err := far.Accept(ctx)
			must(t, err)
			var m withEnd
			must(t, in.Receive(&m))
			if err := in.Receive(&m); err != io.EOF {
				t.Errorf("the end is %v, want io.EOF", err)
			}
			receives(t, m.R, "unclaimed")
			if err := m.R.Receive(new(string)); err != io.EOF {
				t.Errorf("the end is %v, want io.EOF", err)
			}
			receives(t, late, "early")
			if err := late.Receive(new(string)); err != io.EOF {
				t.Errorf("the end is %v, want io.EOF", err)
			}
			must(t, <-done)
			<-far.Done()
			if near.Cause() != ErrClosed || far.Cause() != io.EOF {
				t.Errorf("the causes are %v and %v, want ErrClosed and io.EOF", near.Cause(), far.Cause())
			}
		})
	}
}

// top2 opens a channel that nobody accepts yet.
func top2(t *testing.T, from *Session) (string, ContextSender) {
	s, err := from.OpenChannel(ctx, "late")
	must(t, err)
	must(t, s.Send("early"))
	return "late", s
}

// A session whose server or client shuts down drains, too.
func TestConnectionDrains(t *testing.T) {
	within(t, func(t *testing.T) {
		server := newServer(t, ttrpc.WithServerExtensions())
		must(t, Register(server))
		client := pair(t, server, WithSessions())
		s, err := Over(client)
		must(t, err)
		done := make(chan error)
		go func() { done <- server.Shutdown(ctx) }()
		<-s.Draining()
		must(t, <-done)
		<-s.Done()
	})
}

// Review "people also expect": names that a session may be refused.
func TestNames(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t, WithNames(func(name string) error {
			if name == "secret" {
				return errors.New("not for you")
			}
			return nil
		}))
		s, err := near.OpenChannel(ctx, "secret")
		must(t, err)
		synctest.Wait()
		if err := s.Send(1); err == nil || !strings.Contains(err.Error(), "not for you") {
			t.Errorf("Send on a refused channel: %v, want the reason", err)
		}
		good, err := near.OpenChannel(ctx, "public")
		must(t, err)
		must(t, good.Send(1))
		name, r, err := far.Accept(ctx)
		must(t, err)
		receives(t, r, 1)
		if name != "public" {
			t.Errorf("accepted %q, want public", name)
		}
		refused, err := near.OpenChannel(ctx, "secret")
		must(t, err)
		<-refused.Done()
		if err := refused.Cause(); err == nil || !strings.Contains(err.Error(), "not for you") {
			t.Errorf("the Cause of a refused channel: %v, want the reason", err)
		}
	})
}

// Review "caps are gentle": new channels that the peer does not accept have the next wait.
func TestBacklogWaits(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		opened := 0
		go func() {
			for range maxBacklog + 500 {
				s, err := near.NewSendChannel()
				if err != nil {
					t.Errorf("NewSendChannel: %v", err)
					return
				}
				s.Close()
				opened++
			}
		}()
		synctest.Wait()
		if opened != maxBacklog {
			t.Errorf("%d channels were opened that nobody accepts, want %d", opened, maxBacklog)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := near.OpenChannel(short, ""); err != context.DeadlineExceeded {
			t.Errorf("OpenChannel within a second: %v, want DeadlineExceeded", err)
		}
		for range maxBacklog + 500 {
			r, err := far.WaitReceiveChannel()
			must(t, err)
			if err := r.Receive(new(int)); err != io.EOF {
				t.Fatalf("the end is %v, want io.EOF", err)
			}
		}
	})
}
