// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"time"
)

// A listener is one beyond a session: a channel of conns, each a message that has nothing but
// a reference.
type listener struct {
	r    *receiver
	addr address
}

// Accept waits for the next connection. What has ended the other end is its error; after
// Close it is net.ErrClosed.
func (l *listener) Accept() (net.Conn, error) {
	m, err := l.r.c.take(context.Background(), l.r.gen)
	switch {
	case err == ErrClosed:
		return nil, errStreamClosed
	case err == io.EOF:
		return nil, fmt.Errorf("libchan: the listener has ended: %w", net.ErrClosed)
	case err != nil:
		return nil, err
	}
	if len(m.refs) != 1 {
		m.drop()
		return nil, errors.New("libchan: the peer's listener has sent something that is no connection")
	}
	conn, err := m.refs[0].as(connType)
	if err != nil {
		m.drop()
		return nil, err
	}
	return conn.Interface().(net.Conn), nil
}

// Close accepts no more. The listener at the other end is as it was.
func (l *listener) Close() error { return l.r.c.cancel(l.r.gen, net.ErrClosed) }

// Addr returns the address of the listener at the other end.
func (l *listener) Addr() net.Addr { return l.addr }

// listenerAs is as of a listener.
func (r *reference) listenerAs(t reflect.Type) (reflect.Value, error) {
	if own := reflect.TypeFor[*listener](); !own.AssignableTo(t) {
		return reflect.Value{}, r.unfit(t)
	}
	end := r.ends[0]
	return reflect.ValueOf(&listener{newReceiver(end.c, end.claim()), r.local}), nil
}

// serveListener accepts for the peer that a listener was lent to. It ends when either does,
// and closes the listener if it is owned.
func serveListener(ln net.Listener, owned bool, to *sender) {
	l := &loan{value: ln, owned: owned, parts: 1}
	stop := l.interruptible(to.c, func() time.Time { return past }, "SetDeadline")
	defer l.end(stop)
	if !to.c.awaitReceiver() {
		return
	}
	for {
		conn, err := ln.Accept()
		if err != nil {
			_ = to.CloseWithError(err)
			return
		}
		r, _ := thingReference(reflect.ValueOf(&conn).Elem())
		r.thing.owned = true
		m := &message{refs: []reference{r}}
		if sent, err := to.c.put(context.Background(), to.gen, m); !sent {
			m.drop()
			if err != nil {
				return
			}
		}
	}
}
