// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc_test

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/libchan"
)

// Review "ids run out": before they do the session drains, new top-level channels go to a new
// connection, and the old one ends with its last channel.
func TestReviewIDsRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sessions, ended := make(chan *libchan.Session, 2), make(chan struct{}, 2)
		dial := func(context.Context, string) (net.Conn, error) {
			a, b := memconn.Pipe(0)
			server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
			if err != nil {
				return nil, err
			}
			go func() {
				_ = server.ServeConn(context.Background(), b)
				ended <- struct{}{}
			}()
			return a, libchan.Register(server, libchan.WithHandler(func(s *libchan.Session) { sessions <- s }))
		}
		client, err := ttrpc.Dial("x", ttrpc.WithDialer(ttrpc.Dialer{Dial: dial}), libchan.WithSessions())
		must(t, err)
		d, err := libchan.Redial(client)
		must(t, err)
		t.Cleanup(func() {
			client.Close()
			time.Sleep(2 * time.Second) // by then idle goroutines have ended
		})

		jobs, err := d.NewSendChannel()
		must(t, err)
		old := <-sessions
		taken, err := old.WaitReceiveChannel()
		must(t, err)
		ttrpc.RunLowOnIDs(client)
		var answers []libchan.Receiver
		var rest []libchan.Sender
		for range 5 {
			s, in := nest(t, jobs, taken) // which opens a stream from the other side
			answers, rest = append(answers, in), append(rest, s)
		}
		for range 2 {
			s, err := d.NewSendChannel()
			must(t, err)
			rest = append(rest, s)
		}
		<-old.Draining()
		synctest.Wait()
		fresh, err := d.NewSendChannel()
		must(t, err)
		next := <-sessions
		r, err := next.WaitReceiveChannel()
		must(t, err)
		must(t, fresh.Send(1))
		receives(t, r, 1)

		// What was open goes on, with new channels in its messages, which open streams.
		for range 5 {
			s, in := nest(t, jobs, taken)
			answers, rest = append(answers, in), append(rest, s)
		}
		if len(ended) > 0 {
			t.Fatal("the old connection has ended, and has channels")
		}
		must(t, jobs.Close())
		for _, s := range rest {
			must(t, s.Close())
		}
		synctest.Wait()
		if len(ended) > 0 {
			t.Fatal("the old connection has ended, and has channels")
		}
		for range 2 {
			r, err := old.WaitReceiveChannel()
			must(t, err)
			answers = append(answers, r)
		}
		for _, r := range append(answers, taken) {
			if err := r.Receive(new(int)); err != io.EOF {
				t.Errorf("a channel of the old connection ends with %v, want io.EOF", err)
			}
		}
		<-ended
		must(t, fresh.Send(2))
		receives(t, r, 2)
	})
}

// nest sends a sender over a channel, and a message over that one.
func nest(t *testing.T, out libchan.Sender, in libchan.Receiver) (libchan.Sender, libchan.Receiver) {
	t.Helper()
	r, s := libchan.Pipe()
	must(t, out.Send(s))
	var got libchan.Sender
	must(t, in.Receive(&got))
	must(t, got.Send(7))
	receives(t, r, 7)
	return got, r
}

func receives(t *testing.T, r libchan.Receiver, want int) {
	t.Helper()
	var got int
	if err := r.Receive(&got); err != nil || got != want {
		t.Fatalf("received %d, %v; want %d", got, err, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
