// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/containerd/ttrpc/libchan"
	"github.com/containerd/ttrpc/transport/websocket"
)

// A member is in a room.
type member struct {
	session *libchan.Session
	events  libchan.RecvChan[Event]
	say     libchan.SendChan[string]
}

// dial connects to a room. Nothing else depends on what lies below.
func dial(ctx context.Context, address string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return websocket.Dial(ctx, address)
}

// newMember joins the room at an address.
func newMember(ctx context.Context, address, name string) (*member, error) {
	conn, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	session, err := libchan.NewClient(conn)
	if err != nil {
		return nil, err
	}
	m := &member{session: session}
	if err := m.join(ctx, name); err != nil {
		session.Close()
		return nil, err
	}
	return m, nil
}

func (m *member) join(ctx context.Context, name string) error {
	joins, err := m.session.NewSendChannel()
	if err != nil {
		return err
	}
	events, theirs := libchan.Make[Event](10)
	say, ret := libchan.Make[libchan.SendChan[string]](1)
	if err := joins.Send(Join{Name: name, Events: theirs, Say: ret}); err != nil {
		return err
	}
	m.events = events
	m.say, err = say.Receive(ctx)
	return err
}

// leave leaves the room, after all that was said.
func (m *member) leave(ctx context.Context) error {
	_ = m.say.Close()
	for range m.events.All(ctx) {
		// The room ends it when the member has left.
	}
	return m.session.Close()
}

// String returns an event as it is printed.
func (e Event) String() string {
	if e.From == "" {
		return "* " + e.Text
	}
	return e.From + ": " + e.Text
}

// join says the lines of in, and prints what happens.
func join(ctx context.Context, address, name string, in io.Reader, out io.Writer) error {
	m, err := newMember(ctx, address, name)
	if err != nil {
		return err
	}
	defer m.session.Close()
	go func() {
		defer m.say.Close()
		for lines := bufio.NewScanner(in); lines.Scan(); {
			if m.say.Send(ctx, lines.Text()) != nil {
				return
			}
		}
	}()
	for event, err := range m.events.All(ctx) {
		if err != nil {
			return err
		}
		fmt.Fprintln(out, event)
	}
	return nil
}
