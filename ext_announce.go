// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The files of a message leave with a frame that announces them, alone: the kernel may
// refuse them, which is then the failure of that message, or ask for patience, which is
// then that of its stream.

// errFilesTruncated ends a connection on which files came and could not be taken.
var errFilesTruncated = errors.New("ttrpc: not all files that were sent have arrived: too many are open")

// When too many descriptors that were sent are not yet received, the kernel takes no
// more, and does not tell when it would.
const (
	errTooManyInFlight = syscall.ETOOMANYREFS
	inFlightPause      = 10 * time.Millisecond
)

// A refusedFilesError is the error of a message with files that the kernel does not pass.
// Nothing of the message was sent.
type refusedFilesError struct {
	why     error
	unbegun bool // it was what begins the call
}

func (e *refusedFilesError) Error() string {
	return fmt.Sprintf("ttrpc: the system does not pass the files: %v", e.why)
}

// GRPCStatus makes the error a status of google.golang.org/grpc.
func (e *refusedFilesError) GRPCStatus() *status.Status {
	return status.New(codes.FailedPrecondition, e.Error())
}

func (*refusedFilesError) refused() {}

func (e *refusedFilesError) Unwrap() []error {
	if e.unbegun {
		return []error{ErrNotExecuted, e.why}
	}
	return []error{e.why}
}

// A fileSender writes what a kernel socket takes, with descriptors.
type fileSender func(fd int, b []byte, d *descriptors) (n int, err error)

// announceLocked queues a frame that has the files of the message f, which is queued
// next. It reports whether the caller has become the writer.
func (x *extended) announceLocked(s *stream, f *frame) (lead bool) {
	if filesOf(f).count() == 0 || isLarge(f) { // then they leave before the last part
		return false
	}
	a := filesFrame(s, takeFiles(f), partFlags(f))
	a.owner = s
	if s.opening == f {
		s.opening = a
		moreOf(a).opens = true
	}
	return x.c.pushLocked(a)
}

// filesFrame returns a sealed frame that announces files of a message of the stream.
func filesFrame(s *stream, files *descriptors, flags uint8) *frame {
	a := numberFrame(messageTypeFiles, s.id, uint32(files.count()))
	a.data[messageHeaderLength-1] = flags
	m := moreOf(a)
	m.files, m.of, m.flags = files, s, flags
	return a
}

// refused implements [frameExtras].
func (m *frameMore) refused(f *frame, err error) bool {
	var no syscall.Errno
	if m.of == nil || !errors.As(err, &no) || !isRefusal(no) {
		return false
	}
	h, _ := parseHeader(f.data)
	c := m.of.conn
	c.mu.Lock()
	defer c.unlock()
	x := c.mode.(*extended)
	if c.closed || c.lost != nil || m.of.id != h.StreamID || !x.followsLocked(m.of) {
		return true // the message was withdrawn
	}
	if no == errTooManyInFlight {
		x.postponeLocked(m)
	} else {
		x.refuseLocked(m, err)
	}
	return true
}

// followsLocked tells whether a frame of the stream is queued.
func (x *extended) followsLocked(s *stream) bool {
	return s.queued.first != nil || s.more != nil && s.extra().train != nil
}

// refuseLocked ends the call of which the kernel does not pass a message's files. Who writes
// calls it, so what follows them has not left.
func (x *extended) refuseLocked(m *frameMore, err error) {
	s := m.of
	unbegun := m.opens
	if s.more != nil && s.extra().train != nil {
		unbegun = unbegun || s.extra().train.head.header.Type == messageTypeRequest
	}
	if m.opens {
		s.passed = false
	}
	err = &refusedFilesError{err, unbegun}
	if s.isActive() {
		x.c.failLocked(s, err)
		return
	}
	x.withdrawAllLocked(s) // it was an answer
	x.c.replyLocked(s.id, StatusOf(err))
}

// postponeLocked has files, and what follows them on their stream, leave later. All else
// goes on.
func (x *extended) postponeLocked(m *frameMore) {
	s := m.of
	more := s.moreLocked()
	if more.train == nil {
		more.train = &train{of: s}
	}
	tr := more.train
	if m.opens {
		x.urgeLocked(emptyPart(s.id)) // so that later ids may overtake it
	}
	if tr.sent > 0 { // they belong to the last part
		moreOf(tr.head).files = m.files
	} else {
		a := filesFrame(s, m.files, m.flags)
		a.header, _ = parseHeader(a.data)
		tr.pushFront(a)
	}
	m.files = nil
	x.dequeueLocked(tr)
	if x.held == nil {
		time.AfterFunc(inFlightPause, x.resume)
	}
	x.held = append(x.held, tr)
}

// resume tries once more to send what was postponed.
func (x *extended) resume() {
	c := x.c
	c.mu.Lock()
	defer c.unlock()
	x.waiting = append(x.waiting, x.held...)
	x.held = nil
	if !c.closed && c.lost == nil && len(x.waiting) > 0 && !c.writing {
		c.writing = true
		go c.writeOut(nil, 0)
	}
}
