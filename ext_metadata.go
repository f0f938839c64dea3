// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"sync"
)

// In extended mode an answer has metadata, as a request has: a header that comes before
// all of it, and a trailer that comes with its end.

// ResponseMetadata is the metadata of the answer to one call or stream. Its methods may be
// used concurrently, and the maps that they return are the caller's.
type ResponseMetadata struct {
	mu              sync.Mutex
	header, trailer MD
	err             error
	known           bool          // no more is to come of the header
	kept            bool          // for a call that may be made again
	expected        bool          // a stream that has not ended brings it
	knows           chan struct{} // closed once known; nil if nobody waits
}

// WithResponseMetadata returns a context for one call or stream of a client, and what will
// hold the metadata of the answer. It may be used on a context that it has returned, so by
// interceptors, too: then both hold it.
func WithResponseMetadata(ctx context.Context) (context.Context, *ResponseMetadata) {
	r := new(ResponseMetadata)
	others := extrasIn(ctx)
	return withExtras(ctx, append(others[:len(others):len(others)], r)), r
}

// ResponseMetadataFromContext returns the metadata that has been set so far for the answer
// of the call that a handler runs. It is for interceptors around the handler. The error
// says that ctx is not a handler's.
func ResponseMetadataFromContext(ctx context.Context) (*ResponseMetadata, error) {
	call, ok := ctx.Value(callKey{}).(*callContext)
	if !ok {
		return nil, errNoHandler
	}
	return &call.of.moreExtras().answer, nil
}

// Header returns the header. It waits until the header has come, or it is clear that there
// is none: the first message of a stream has come, or the call or stream has ended. With
// interceptors at the client the header of a call is known when Call returns, and not while it
// runs, for they may make more than one attempt. The error is ctx.Err() if ctx ends first, or
// [ErrNoResponseMetadata].
func (r *ResponseMetadata) Header(ctx context.Context) (MD, error) {
	for {
		r.mu.Lock()
		if r.known {
			defer r.mu.Unlock()
			return r.header.Clone(), r.err
		}
		if r.knows == nil {
			r.knows = make(chan struct{})
		}
		knows := r.knows
		r.mu.Unlock()
		select {
		case <-knows:
		case <-ctx.Done():
			return nil, errOf(ctx)
		}
	}
}

// Trailer returns the trailer, or nil if none came. It is complete once the call has
// returned, or RecvMsg has returned an error.
func (r *ResponseMetadata) Trailer() MD {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.trailer.Clone()
}

// set puts what has come in its place. Of the header nothing more is to come.
func (r *ResponseMetadata) set(md MD, trailer bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if trailer {
		r.trailer = md
	} else {
		r.header = md
	}
	r.knownLocked()
}

func (r *ResponseMetadata) knownLocked() {
	if r.known = true; r.knows != nil {
		close(r.knows)
		r.knows = nil
	}
}

// expect says whether a stream is to bring it.
func (r *ResponseMetadata) expect(expected bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.expected = expected; !expected && !r.kept {
		r.knownLocked()
	}
}

// attach implements [callerExtras].
func (r *ResponseMetadata) attach(c *conn, request *frame) error {
	comes := c.carriesMetadata()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.header, r.trailer, r.err, r.known = nil, nil, nil, false
	if !comes {
		r.err = ErrNoResponseMetadata
		r.knownLocked()
		return nil
	}
	more := moreOf(request)
	more.told = append(more.told, r)
	return nil
}

// begin implements [contextExtras].
func (r *ResponseMetadata) begin() (callerExtras, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = true
	return &metadataAwaited{ResponseMetadata: r}, nil
}

// end is called when the call has returned, or the stream is open. If none was opened, nothing
// comes.
func (r *ResponseMetadata) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = false
	if !r.expected {
		r.knownLocked()
	}
}

// become makes it that of another, which is complete.
func (r *ResponseMetadata) become(other *ResponseMetadata) {
	other.mu.Lock()
	header, trailer, err := other.header, other.trailer, other.err
	other.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.header, r.trailer, r.err = header, trailer, err
}

// A metadataAwaited is the metadata that the answer to a call is to bring. It implements
// [callerExtras]. Where interceptors make attempts each has its own, and that of the answer
// which they return counts, else that of the last attempt.
type metadataAwaited struct {
	*ResponseMetadata

	tries struct {
		sync.Mutex
		last *ResponseMetadata // nil without interceptors
		got  []metadataGot
	}
}

// A metadataGot is what came with one answer.
type metadataGot struct {
	answerMark
	metadata *ResponseMetadata
}

// over implements [callerExtras]: begunExtras.over is called.
func (m *metadataAwaited) over(callerExtras) callerExtras { return m }

// received implements [callerExtras].
func (m *metadataAwaited) received(*frame, *Response) {}

// returned implements [callerExtras].
func (m *metadataAwaited) returned(answer *Response) {
	m.tries.Lock()
	defer m.tries.Unlock()
	for _, got := range m.tries.got {
		if got.isOf(answer) {
			m.tries.last = got.metadata
		}
	}
}

// end implements [callerExtras].
func (m *metadataAwaited) end() {
	m.tries.Lock()
	last := m.tries.last
	m.tries.Unlock()
	if last != nil {
		m.become(last)
	}
	m.ResponseMetadata.end()
}

// attempt implements [callerExtras].
func (m *metadataAwaited) attempt() callerExtras {
	r := new(ResponseMetadata)
	m.tries.Lock()
	m.tries.last = r
	m.tries.Unlock()
	return &metadataTry{metadataAwaited{ResponseMetadata: r}, m}
}

// A metadataTry is that of one attempt.
type metadataTry struct {
	metadataAwaited
	of *metadataAwaited
}

// received implements [callerExtras].
func (t *metadataTry) received(_ *frame, into *Response) {
	t.of.tries.Lock()
	defer t.of.tries.Unlock()
	t.of.tries.got = append(t.of.tries.got, metadataGot{answerMark{into, into.Payload}, t.ResponseMetadata})
}

// carriesMetadata tells whether answers have metadata.
func (c *conn) carriesMetadata() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.mode.(*extended)
	return ok && x.peer.Metadata
}
