// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
)

// maxFiles is how many files may come with one message: what the kernel allows.
const maxFiles = 253

// A FileMessage is a message that files come with: SendMsg and RecvMsg of any stream
// take a *FileMessage in the place of a message. RecvMsg decodes into Message, and sets
// Files to what came, in the order in which they were sent, which is then the caller's to
// close. SendMsg duplicates the files before it returns, and does not close them.
//
// At most 253 files come with a message, and only in extended mode over a unix socket on
// Linux; else SendMsg returns [ErrNoFiles] and sends nothing. Received files are closed on
// exec. What comes with a message that is received without a FileMessage, or not received
// because of an error, is closed; what a client has not received of a stream that the server
// has ended is closed by the garbage collector. An open file's position and its O_NONBLOCK are shared by
// all who have it.
type FileMessage struct {
	Message any
	Files   []*os.File
}

// CallFiles are the files of one call: those that come with this side's message, its
// request or answer, and those that came with the other's. Its methods may be used
// concurrently.
type CallFiles struct {
	mu  sync.Mutex
	out []*os.File // duplicates
	in  []*os.File
}

// Attach has files come with the message, after those that are attached already: with the
// request of the call that is made with the context of [WithFiles], or with the answer of
// the handler. It duplicates them; the caller may close his own at once. The error says
// that there are more than 253, or a file could not be duplicated.
func (f *CallFiles) Attach(files ...*os.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.out) + len(files); n > maxFiles {
		return fmt.Errorf("ttrpc: %d files with one message, and %d are the most", n, maxFiles)
	}
	dups, err := dupFiles(files)
	if err != nil {
		return fmt.Errorf("ttrpc: cannot pass a file: %w", err)
	}
	f.out = append(f.out, dups...)
	return nil
}

// Claim returns the files that came with the message of the other side, in the order in
// which they were attached. They are the caller's to close. A second time it returns none.
// What a handler has not claimed is closed when it returns.
func (f *CallFiles) Claim() []*os.File {
	f.mu.Lock()
	defer f.mu.Unlock()
	files := f.in
	f.in = nil
	return files
}

// take returns what was attached.
func (f *CallFiles) take() []*os.File {
	f.mu.Lock()
	defer f.mu.Unlock()
	files := f.out
	f.out = nil
	return files
}

// drop implements [contextExtras].
func (f *CallFiles) drop() { closeFiles(f.take()) }

// received implements [contextExtras].
func (f *CallFiles) received(answer *frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.in = append(f.in, takeFiles(answer)...)
}

// keep implements [contextExtras]. Each attempt sends duplicates.
func (f *CallFiles) keep() (attempt func() error, done func()) {
	kept := f.take()
	attempt = func() error {
		f.drop() // if they were not sent
		if len(kept) == 0 {
			return nil
		}
		return f.Attach(kept...)
	}
	return attempt, func() { f.drop(); closeFiles(kept) }
}

// attach implements [contextExtras].
func (f *CallFiles) attach(c *conn, request *frame) error {
	out := f.take()
	if len(out) == 0 {
		return nil
	}
	if !c.passesFiles() {
		closeFiles(out)
		return ErrNoFiles
	}
	moreOf(request).files = out
	return nil
}

// WithFiles returns a context for one call or stream of a client, and what holds its
// files: those attached to it before the call go with the request; those that came with
// the answer can be claimed once the call has returned. The call returns [ErrNoFiles], and
// nothing is sent, if files are attached that the connection cannot pass.
func WithFiles(ctx context.Context) (context.Context, *CallFiles) {
	files := new(CallFiles)
	var others extrasList
	for _, e := range extrasIn(ctx) {
		if _, ok := e.(*CallFiles); !ok {
			others = append(others, e)
		}
	}
	return withExtras(ctx, append(others, files)), files
}

// FilesFromContext returns the files of the call that a handler runs: it claims those of
// the request, and attaches to the answer. On a stream, the request is what opened it, and
// the answer what ends it; its messages have their own, see [FileMessage]. The error says
// that ctx is not a handler's.
func FilesFromContext(ctx context.Context) (*CallFiles, error) {
	call, ok := ctx.Value(callKey{}).(*callContext)
	if !ok {
		return nil, errors.New("ttrpc: the context is not that of a handler")
	}
	return &call.of.moreExtras().files, nil
}

// leave is that of [callExtras]. The answer is an error if the files cannot be passed.
func (f *CallFiles) leave(c *conn, answer *frame) *frame {
	closeFiles(f.Claim())
	files := f.take()
	if len(files) == 0 || answer == nil {
		closeFiles(files)
		return answer
	}
	if c.passesFiles() {
		moreOf(answer).files = files
		return answer
	}
	closeFiles(files)
	h, _ := parseHeader(answer.data)
	answer.release()
	return responseFrame(h.StreamID, statusOf(ErrNoFiles).Proto())
}

// passesFiles tells whether the connection can pass files.
func (c *conn) passesFiles() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.mode.(*extended)
	return ok && x.files
}

// dataFrame implements [extraMessage].
func (fm *FileMessage) dataFrame(c *conn) (*frame, error) {
	if len(fm.Files) == 0 {
		return c.cfg.codec.dataFrame(fm.Message, c.messageLimit())
	}
	if !c.passesFiles() {
		return nil, ErrNoFiles
	}
	var files CallFiles
	if err := files.Attach(fm.Files...); err != nil {
		return nil, err
	}
	f, err := c.cfg.codec.dataFrame(fm.Message, c.messageLimit())
	if err != nil {
		closeFiles(files.take())
		return nil, err
	}
	moreOf(f).files = files.take()
	return f, nil
}

// message implements [extraMessage].
func (fm *FileMessage) message() any { return fm.Message }

// received implements [extraMessage].
func (fm *FileMessage) received(f *frame) {
	fm.Files = nil
	if f != nil {
		fm.Files = takeFiles(f)
	}
}

// announceLocked queues a frame that has the files of the message f, which is queued
// next. It reports whether the caller has become the writer.
func (x *extended) announceLocked(s *stream, f *frame) (lead bool) {
	files := filesOf(f)
	if len(files) == 0 || isLarge(f) { // then they leave before the last part
		return false
	}
	a := filesFrame(s.id, takeFiles(f))
	a.owner = s
	if s.opening == f {
		s.opening = a
	}
	return x.c.pushLocked(a)
}

// filesFrame returns a sealed frame that announces files, which come with it.
func filesFrame(id uint32, files []*os.File) *frame {
	a := numberFrame(messageTypeFiles, id, uint32(len(files)))
	moreOf(a).files = files
	return a
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
