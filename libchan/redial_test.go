// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/memconn"
)

// A site is a server that a client made by Dial connects to, again and again.
type site struct {
	begun chan *Session
	conns []net.Conn
	opts  []ttrpc.ServerOpt
	alone bool // the server is not given to Register
}

// dial connects to a server of its own.
func (s *site) dial(context.Context, string) (net.Conn, error) {
	a, b := memconn.Pipe(0)
	server, err := ttrpc.NewServer(s.opts...)
	if err != nil {
		return nil, err
	}
	if !s.alone {
		if err := Register(server, WithHandler(func(peer *Session) { s.begun <- peer })); err != nil {
			return nil, err
		}
	}
	go server.ServeConn(ctx, b)
	s.conns = append(s.conns, b)
	return a, nil
}

// client returns a client of the site, made by Dial.
func (s *site) client(t *testing.T) *ttrpc.Client {
	t.Helper()
	client, err := ttrpc.Dial("somewhere", ttrpc.WithDialer(ttrpc.Dialer{Dial: s.dial}), WithSessions())
	must(t, err)
	t.Cleanup(func() {
		client.Close()
		for _, c := range s.conns {
			c.Close()
		}
	})
	return client
}

func newSite() *site {
	return &site{begun: make(chan *Session, 10), opts: []ttrpc.ServerOpt{ttrpc.WithServerExtensions()}}
}

// L10: top-level channels of a client made by Dial go on over its next connection; a channel
// ends with its own.
func TestRedial(t *testing.T) {
	within(t, func(t *testing.T) {
		at := newSite()
		d, err := Redial(at.client(t))
		must(t, err)
		var transport Transport = d
		s, err := transport.NewSendChannel()
		must(t, err)
		must(t, s.Send(1))
		first := <-at.begun
		r, err := first.WaitReceiveChannel()
		must(t, err)
		receives(t, r, 1)

		back, err := first.OpenChannel(ctx, "back")
		must(t, err)
		if name, in, err := d.Accept(ctx); err != nil || name != "back" {
			t.Fatalf("accepted %q, %v; want back", name, err)
		} else {
			must(t, back.Send(2))
			receives(t, in, 2)
		}

		accepted := make(chan string)
		go func() {
			name, _, err := d.Accept(ctx)
			if err != nil {
				t.Errorf("Accept over a lost connection: %v", err)
			}
			accepted <- name
		}()
		synctest.Wait()
		at.conns[0].Close()
		if err := s.Send(3); !errors.Is(err, ErrSessionEnded) {
			synctest.Wait()
			if err := s.Send(3); !errors.Is(err, ErrSessionEnded) {
				t.Errorf("L10: Send after the connection was lost: %v, want ErrSessionEnded", err)
			}
		}
		second := <-at.begun // as Accept waits
		s2, err := d.OpenChannel(ctx, "after")
		must(t, err)
		must(t, s2.Send(4))
		name, r2, err := second.Accept(ctx)
		must(t, err)
		receives(t, r2, 4)
		if name != "after" {
			t.Errorf("accepted %q, want after", name)
		}
		late, err := second.OpenChannel(ctx, "late")
		must(t, err)
		if name := <-accepted; name != "late" {
			t.Errorf("accepted %q, want late", name)
		}
		must(t, late.Close())

		// The peer drains: what there is goes on, what is new is of the next session.
		go second.Shutdown(ctx)
		<-second.Draining()
		synctest.Wait()
		s3, err := transport.NewSendChannel()
		must(t, err)
		third := <-at.begun
		_, err = third.WaitReceiveChannel()
		must(t, err)
		must(t, s2.Send(5))
		receives(t, r2, 5)
		must(t, s2.Close())
		must(t, s3.Close())

		must(t, d.Close())
		if _, err := d.NewSendChannel(); err != ErrClosed {
			t.Errorf("NewSendChannel after Close: %v, want ErrClosed", err)
		}
		if _, err := d.WaitReceiveChannel(); err != ErrClosed {
			t.Errorf("WaitReceiveChannel after Close: %v, want ErrClosed", err)
		}
		<-third.Done()
		if third.Cause() != io.EOF {
			t.Errorf("the cause is %v, want io.EOF", third.Cause())
		}
	})
}

// What keeps a Redialer from a session is an error, and no wait for ever.
func TestRedialFails(t *testing.T) {
	within(t, func(t *testing.T) {
		if _, err := Redial(nil); err == nil {
			t.Error("Redial of no client succeeds")
		}
		plain, err := ttrpc.Dial("unix:/nowhere")
		must(t, err)
		defer plain.Close()
		if _, err := Redial(plain); err == nil || !strings.Contains(err.Error(), "libchan.WithSessions") {
			t.Errorf("Redial: %v, want an error that names libchan.WithSessions", err)
		}
		for want, at := range map[string]*site{
			"ttrpc.WithServerExtensions": {alone: true},
			"libchan.Register":           {alone: true, opts: []ttrpc.ServerOpt{ttrpc.WithServerExtensions()}},
		} {
			d, err := Redial(at.client(t))
			must(t, err)
			if _, err := d.NewSendChannel(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("NewSendChannel: %v, want an error that names %s", err, want)
			}
		}
		away, err := ttrpc.Dial("x", WithSessions(), ttrpc.WithDialer(ttrpc.Dialer{
			Dial: func(context.Context, string) (net.Conn, error) { return nil, errors.New("nobody is there") },
		}))
		must(t, err)
		d, err := Redial(away)
		must(t, err)
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if _, err := d.OpenChannel(short, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("OpenChannel with nobody there: %v, want DeadlineExceeded", err)
		}
		done := make(chan error, 2)
		go func() { _, err := d.NewSendChannel(); done <- err }()
		go func() { _, err := d.NewSendChannel(); done <- err }()
		synctest.Wait()
		must(t, d.Close())
		for range 2 {
			if err := <-done; err != ErrClosed {
				t.Errorf("NewSendChannel when it is closed: %v, want ErrClosed", err)
			}
		}
		again, err := Redial(away)
		must(t, err)
		away.Close()
		if _, err := again.NewSendChannel(); !errors.Is(err, ErrSessionEnded) && !errors.Is(err, ttrpc.ErrClosed) {
			t.Errorf("NewSendChannel of a closed client: %v", err)
		}
	})
}
