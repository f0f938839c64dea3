// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/containerd/ttrpc/internal/wire"
)

// How metadata of answers leaves and comes. A handler's is queued in the order of its
// stream, ahead of the frame that it must come before.

var (
	errNoHandler  = errors.New("ttrpc: the context is not that of a handler")
	errHeaderSent = errors.New("ttrpc: the header of the answer has been sent")
	errAnswered   = errors.New("ttrpc: the call has ended, and its answer takes no metadata")
)

// SetHeader adds to the header of the answer that the handler with this context, or an
// interceptor around it, is to give. The header is sent before the first message or the
// answer, or by [SendHeader]. Values of a key that was set before are added to its values.
//
// The error is [ErrNoResponseMetadata] if the header would not arrive; or it says that the
// header was sent, that the call has ended, that ctx is not a handler's, that md is not
// valid UTF-8, or that the header would be larger than 64 KiB. Nothing is set then.
func SetHeader(ctx context.Context, md MD) error { return setMetadata(ctx, md, false, false) }

// SendHeader is [SetHeader], and sends the header now, even if it is empty.
func SendHeader(ctx context.Context, md MD) error { return setMetadata(ctx, md, false, true) }

// SetTrailer adds to the trailer, which is sent with the end of the answer, whether that
// is an error or not. A stream that ends before its handler returns, because its deadline
// has passed or it was cancelled, has none. The errors are those of [SetHeader].
func SetTrailer(ctx context.Context, md MD) error { return setMetadata(ctx, md, true, false) }

func setMetadata(ctx context.Context, md MD, trailer, now bool) error {
	running, ok := ctx.Value(callKey{}).(*callContext)
	if !ok {
		return errNoHandler
	}
	call := running.of
	c, more := call.conn, call.moreExtras()
	c.mu.Lock()
	x, ok := c.mode.(*extended)
	var err error
	switch {
	case !ok || !x.peer.Metadata:
		err = ErrNoResponseMetadata
	case !call.isActive() || c.closed || c.lost != nil:
		err = errAnswered
	case !trailer && call.hasBegunLocked():
		err = errHeaderSent
	default:
		err = more.answer.add(md, trailer)
	}
	if err == nil && now && x.sendHeaderLocked(call, more) {
		c.unlockAndLead(1, false)
		return nil
	}
	c.unlock()
	return err
}

// add adds a copy of md.
func (r *ResponseMetadata) add(md MD, trailer bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	into := &r.header
	if trailer {
		into = &r.trailer
	}
	size := sizeOfMetadata(*into)
	for key, values := range md {
		for _, value := range values {
			size += wire.SizeMetadata(key, value)
			if !utf8.ValidString(key) || !utf8.ValidString(value) {
				return errNotUTF8
			}
		}
	}
	if size > maxControl {
		return fmt.Errorf("ttrpc: %d bytes of metadata, and %d are the most", size, maxControl)
	}
	if *into == nil && len(md) > 0 {
		*into = make(MD, len(md))
	}
	for key, values := range md {
		(*into)[key] = append((*into)[key], values...)
	}
	return nil
}

// frame returns a sealed frame with the header, or with flagTrailer the trailer.
func (r *ResponseMetadata) frame(id uint32, flags uint8) *frame {
	r.mu.Lock()
	defer r.mu.Unlock()
	md := r.header
	if flags&flagTrailer != 0 {
		md = r.trailer
	}
	f := newOutFrame(sizeOfMetadata(md))
	for _, kv := range keyValues(md) {
		f.data = wire.AppendMetadata(f.data, kv.Key, kv.Value)
	}
	f.seal(messageHeader{StreamID: id, Type: messageTypeMetadata, Flags: flags})
	return f
}

// has tells whether any header, or trailer, was set.
func (r *ResponseMetadata) has(trailer bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return trailer && len(r.trailer) > 0 || !trailer && len(r.header) > 0
}

func sizeOfMetadata(md MD) (n int) {
	for key, values := range md {
		for _, value := range values {
			n += wire.SizeMetadata(key, value)
		}
	}
	return n
}

// sendHeaderLocked queues the header. It reports whether the caller has become the writer.
func (x *extended) sendHeaderLocked(call *serverCall, more *callMore) (lead bool) {
	call.moreLocked().answer = answerBegun
	f := more.answer.frame(call.id, 0)
	f.owner = &call.stream
	return x.c.pushLocked(f)
}

// describeLocked queues the metadata that must stand before f, a frame of the call's
// answer that is queued next. It reports whether the caller has become the writer.
func (x *extended) describeLocked(call *serverCall, f *frame) (lead bool) {
	begun := call.hasBegunLocked()
	if call.more != nil {
		call.extra().answer = answerBegun
	}
	call.mu.Lock()
	more, ok := call.extras.(*callMore)
	call.mu.Unlock()
	if !ok {
		return false
	}
	if !begun && more.answer.has(false) {
		lead = x.sendHeaderLocked(call, more)
	}
	h, _ := parseHeader(f.data)
	if (h.Type == messageTypeResponse || h.Flags&flagRemoteClosed != 0) && more.answer.has(true) {
		t := more.answer.frame(call.id, flagTrailer)
		t.owner = &call.stream
		lead = x.c.pushLocked(t) || lead
	}
	return lead
}

// hasBegunLocked tells whether the call's header, or a frame that it must stand before, has
// been queued.
func (call *serverCall) hasBegunLocked() bool {
	return call.more != nil && call.extra().answer != answerAwaited
}

// An answerPhase is what has come of the answer to a stream, or been queued of it.
type answerPhase uint8

const (
	answerAwaited  answerPhase = iota // nothing
	answerBegun                       // the header, or a message without one
	answerFinished                    // the trailer
)

// expectMetadataLocked has those who want it told the metadata of the answer to a
// request, which is queued next.
func (x *extended) expectMetadataLocked(s *stream, request *frame) {
	m := moreOf(request)
	if m.told == nil {
		return
	}
	s.moreLocked().told = m.told
	for _, r := range m.told {
		r.expect(true)
	}
	if m.told = nil; m.files == nil {
		request.extras = nil // so that it leaves together with others
	}
}

// describedLocked takes the metadata of an answer.
func (x *extended) describedLocked(s *stream, f *frame) {
	v, err := parseRequest(f.data)
	switch {
	case !x.peer.Metadata:
		err = errors.New("the peer has not said that it knows it")
	case err == nil && (s == nil || !s.isActive()): // late
		return
	}
	if err != nil {
		x.failConnLocked(&connError{fmt.Sprintf("metadata of an answer: %v", err)})
		return
	}
	phase := answerBegun
	if f.header.Flags&flagTrailer != 0 {
		phase = answerFinished
	}
	if s.call != nil || s.moreLocked().answer >= phase {
		x.c.failLocked(s, failure(s.call != nil, violationType, f.header, nil))
		return
	}
	s.extra().answer = phase
	for _, r := range s.extra().told {
		r.set(v.metadata, phase == answerFinished)
	}
}

// headerPassedLocked is called when a message has come for the stream, which is not
// unary: no header follows.
func (s *stream) headerPassedLocked() {
	if s.extra().answer != answerAwaited {
		return
	}
	s.extra().answer = answerBegun
	for _, r := range s.extra().told {
		r.set(nil, false)
	}
}

// endMetadataLocked is called when the stream has ended.
func (s *stream) endMetadataLocked() {
	if s.more == nil {
		return
	}
	for _, r := range s.extra().told {
		r.expect(false)
	}
	s.extra().told = nil
}
