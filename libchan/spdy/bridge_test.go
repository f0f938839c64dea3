// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"io"
	"net"
	"testing"

	"github.com/containerd/ttrpc/libchan"
)

// session returns the two sides of a session over ttrpc.
func session(t *testing.T) (client, server *libchan.Session) {
	t.Helper()
	a, b := net.Pipe()
	begun := make(chan error, 1)
	go func() {
		var err error
		server, err = libchan.NewServer(b)
		begun <- err
	}()
	client, err := libchan.NewClient(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-begun; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// TestBridge has a process in the middle copy between a session over ttrpc and an old peer, in
// both directions: all that messages carry works from end to end.
func TestBridge(t *testing.T) {
	for _, d := range dialects {
		for _, toOld := range []bool{true, false} {
			t.Run(d.String(), func(t *testing.T) {
				client, middle := session(t)
				near, old := pair(t, WithDialect(d))
				from, in, out, to := libchan.Transport(client), libchan.Transport(middle), libchan.Transport(near), libchan.Transport(old)
				if !toOld {
					from, in, out, to = to, out, in, from
				}
				bridge(t, from, in, out, to)
			})
		}
	}
}

func bridge(t *testing.T, from, in, out, to libchan.Transport) {
	type both struct {
		request
		Bytes io.ReadWriteCloser
	}
	s, err := from.NewSendChannel()
	if err != nil {
		t.Fatal(err)
	}
	copied := make(chan int, 1)
	go func() {
		r, err := in.WaitReceiveChannel()
		if err != nil {
			t.Error(err)
			return
		}
		w, err := out.NewSendChannel()
		if err != nil {
			t.Error(err)
			return
		}
		n, err := libchan.Copy(w, r)
		if err != nil {
			t.Errorf("L11: Copy: %v", err)
		}
		w.Close()
		copied <- n
	}()
	answers, ret := libchan.Pipe()
	nested, feed := libchan.Pipe()
	ours, theirs := libchan.NewByteStream()
	send(t, s, both{request{1, "through", ret, nested}, theirs})
	send(t, s, answer{"second"})
	s.Close()
	var r libchan.Receiver
	within(t, func() { r, err = to.WaitReceiveChannel() })
	if err != nil {
		t.Fatal(err)
	}
	var got both
	receive(t, r, &got)
	if got.N != 1 || got.Text != "through" {
		t.Fatalf("L11: received %+v", got)
	}
	send(t, got.Ret, answer{"back"})
	var a answer
	if receive(t, answers, &a); a.Text != "back" {
		t.Errorf("L11: the answer is %+v", a)
	}
	send(t, feed, answer{"fed"})
	if receive(t, got.In, &a); a.Text != "fed" {
		t.Errorf("L11: received %+v by the channel in the message", a)
	}
	go func() { ours.Write([]byte("bytes")); ours.CloseWrite() }()
	within(t, func() {
		all, err := io.ReadAll(got.Bytes)
		if err != nil || string(all) != "bytes" {
			t.Errorf("L11: read %q, %v", all, err)
		}
	})
	if receive(t, r, &a); a.Text != "second" {
		t.Errorf("L11: received %+v", a)
	}
	within(t, func() {
		if err := r.Receive(&a); err != io.EOF {
			t.Errorf("L11: after the last message: %v", err)
		}
		if n := <-copied; n != 2 {
			t.Errorf("L11: Copy has copied %d messages", n)
		}
	})
}
