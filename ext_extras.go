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

// begin implements [contextExtras].
func (l extrasList) begin() (callerExtras, error) {
	var begun begunExtras
	for _, e := range l {
		b, err := e.begin()
		if err != nil {
			begun.end()
			return nil, err
		}
		begun = append(begun, b)
	}
	return begun, nil
}

// A begunExtras is an extrasList whose call is being made. It implements [callerExtras].
type begunExtras []callerExtras

func (l begunExtras) over(others callerExtras) callerExtras {
	if more, ok := others.(begunExtras); ok {
		return append(l[:len(l):len(l)], more...)
	}
	return l
}

func (l begunExtras) attempt() callerExtras {
	attempts := make(begunExtras, len(l))
	for i, e := range l {
		attempts[i] = e.attempt()
	}
	return attempts
}

func (l begunExtras) attach(c *conn, request *frame) error {
	for _, e := range l {
		if err := e.attach(c, request); err != nil {
			return err
		}
	}
	return nil
}

func (l begunExtras) received(answer *frame, into *Response) {
	for _, e := range l {
		e.received(answer, into)
	}
}

func (l begunExtras) returned(answer *Response) {
	for _, e := range l {
		e.returned(answer)
	}
}

func (l begunExtras) end() {
	for _, e := range l {
		e.end()
	}
}

// An answerMark tells the answer of one attempt from those of others, though interceptors may
// have put it into another response.
type answerMark struct {
	into    *Response
	payload []byte
}

// isOf tells whether the response has the answer.
func (m *answerMark) isOf(r *Response) bool {
	return m.into == r || len(m.payload) > 0 && len(r.Payload) > 0 && &m.payload[0] == &r.Payload[0]
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
