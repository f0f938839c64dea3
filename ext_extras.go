// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import "context"

// An extrasList is what several functions like WithFiles put into one context. It
// implements [contextExtras].
type extrasList []contextExtras

// extrasIn returns what the context has.
func extrasIn(ctx context.Context) extrasList {
	list, _ := extrasOf(ctx).(extrasList)
	return list
}

// withExtras returns a context that has all of the list, and nothing else.
func withExtras(ctx context.Context, list extrasList) context.Context {
	extrasUsed.Store(true)
	return context.WithValue(ctx, extrasKey{}, contextExtras(list))
}

func (l extrasList) attach(c *conn, request *frame) error {
	for _, e := range l {
		if err := e.attach(c, request); err != nil {
			return err
		}
	}
	return nil
}

func (l extrasList) received(answer *frame) {
	for _, e := range l {
		e.received(answer)
	}
}

func (l extrasList) drop() {
	for _, e := range l {
		e.drop()
	}
}

func (l extrasList) keep() (attempt func() error, done func()) {
	var attempts []func() error
	var dones []func()
	for _, e := range l {
		attempt, done := e.keep()
		attempts, dones = append(attempts, attempt), append(dones, done)
	}
	attempt = func() error {
		for _, f := range attempts {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	}
	return attempt, func() {
		for _, f := range dones {
			f()
		}
	}
}

// A callMore is what the handler of a call has in extended mode. It implements
// [callExtras].
type callMore struct {
	files CallFiles

	// Guarded by the connection's mu, but for what has a lock of its own.
	answer ResponseMetadata // what the handler has set
}

// moreExtras returns what the call has in extended mode.
func (call *serverCall) moreExtras() *callMore {
	call.mu.Lock()
	defer call.mu.Unlock()
	if call.extras == nil {
		more := new(callMore)
		more.answer.known = true
		call.extras = more
	}
	return call.extras.(*callMore)
}

// leave implements [callExtras].
func (m *callMore) leave(c *conn, last *frame) *frame { return m.files.leave(c, last) }
