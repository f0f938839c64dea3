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
// At most 253 files come with a message, in extended mode over a unix socket on Linux, and
// only if both ends ask for files, see [Limits]; else SendMsg returns an error that wraps
// [ErrNoFiles], and sends nothing. A file that the system refuses to pass fails the stream,
// as does one more than the other end may hold. Received files are closed on exec. What
// comes with a message that is received without a FileMessage, or not received because of an
// error, is closed; what a client has not received of a stream that the server has ended is
// closed by the garbage collector. An open file's position and its O_NONBLOCK are shared by
// all who have it.
type FileMessage struct {
	Message any
	Files   []*os.File
}

// CallFiles are the files of one call: those that come with this side's message, its
// request or answer, and those that came with the other's. Its methods may be used
// concurrently.
type CallFiles struct {
	mu   sync.Mutex
	out  []int        // duplicates
	lost *descriptors // out, so that it is closed if no call is made
	in   *descriptors
	over error // why nothing can be attached any more, or nil
}

var (
	errFilesUsed = errors.New("ttrpc: the context of WithFiles was used for another call: each takes one of its own")
	errFilesLeft = errors.New("ttrpc: files are attached before the call is made, or before its handler returns")
)

// Attach has files come with the message, after those that are attached already: with the
// request of the call that is made with the context of [WithFiles], or with the answer of
// the handler. It duplicates them; the caller may close its own at once. The error says
// that there are more than 253, a file could not be duplicated, or it is too late: the call
// was made, or the handler has returned.
func (f *CallFiles) Attach(files ...*os.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over != nil {
		return f.over
	}
	if n := len(f.out) + len(files); n > maxFiles {
		return fmt.Errorf("ttrpc: %d files with one message, and %d are the most", n, maxFiles)
	}
	dups, err := dupFiles(files)
	if err != nil {
		return fmt.Errorf("ttrpc: cannot pass a file: %w", err)
	}
	f.out = append(f.out, dups...)
	if f.lost != nil {
		f.lost.cleanup.Stop()
	}
	f.lost = newDescriptors(nil, f.out)
	return nil
}

// Claim returns the files that came with the message of the other side, in the order in
// which they were attached. They are the caller's to close. A second time it returns none.
// What a handler has not claimed is closed when it returns, what a caller has not by the
// garbage collector; until then it counts as held, see [Limits].
func (f *CallFiles) Claim() []*os.File {
	f.mu.Lock()
	defer f.mu.Unlock()
	in := f.in
	f.in = nil
	return in.files()
}

// take returns what was attached, and lets nothing more be attached, for the reason over.
func (f *CallFiles) take(over error) *descriptors {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.lost
	f.out, f.lost, f.over = nil, nil, over
	return out
}

// came has what came with the other side's message in the place of what came before.
func (f *CallFiles) came(in *descriptors) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.in.drop()
	f.in = in
}

// WithFiles returns a context for one call or stream of a client, and what holds its
// files: those attached to it before the call go with the request, and with each attempt if
// an interceptor or [Dial] makes the call again; those that came with the answer that the
// call has returned can be claimed then. The call returns an error that wraps [ErrNoFiles],
// and nothing is sent, if files are attached that the connection cannot pass; and an error
// if the context was used before. An interceptor sees a context without the files, so that
// its own calls neither take nor get them.
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

// begin implements [contextExtras].
func (f *CallFiles) begin() (callerExtras, error) {
	f.mu.Lock()
	over := f.over
	f.mu.Unlock()
	if over != nil {
		return nil, errFilesUsed
	}
	return &filesSent{of: f, out: f.take(errFilesLeft)}, nil
}

// A filesSent are the files of a call that is being made. It implements [callerExtras].
type filesSent struct {
	of  *CallFiles
	out *descriptors

	mu  sync.Mutex
	got []filesGot // where interceptors may choose
}

// A filesGot is what came with one answer.
type filesGot struct {
	answerMark
	files *descriptors
}

// attempt implements [callerExtras]: all attempts have the same.
func (s *filesSent) attempt() callerExtras { return s }

// attach implements [callerExtras]. Files of an interceptor's are in the place of those of
// its caller.
func (s *filesSent) attach(c *conn, request *frame) error {
	if s.out == nil || filesOf(request) != nil {
		return nil
	}
	if err := c.noFiles(); err != nil {
		return err
	}
	moreOf(request).files = s.out.share()
	return nil
}

// received implements [callerExtras].
func (s *filesSent) received(answer *frame, into *Response) {
	files := takeFiles(answer)
	if into == nil {
		s.of.came(files)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, filesGot{answerMark{into, into.Payload}, files})
}

// returned implements [callerExtras].
func (s *filesSent) returned(answer *Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.got) - 1; i >= 0; i-- {
		if got := &s.got[i]; got.isOf(answer) {
			s.of.came(got.files)
			got.files = nil
			return
		}
	}
}

// over implements [callerExtras]: begunExtras.over is called.
func (s *filesSent) over(callerExtras) callerExtras { return s }

// end implements [callerExtras].
func (s *filesSent) end() {
	s.out.drop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, got := range s.got {
		got.files.drop()
	}
	s.got = nil
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
	f.came(nil)
	files := f.take(errFilesLeft)
	if files == nil || answer == nil {
		files.drop()
		return answer
	}
	err := c.noFiles()
	if err == nil {
		moreOf(answer).files = files
		return answer
	}
	files.drop()
	h, _ := parseHeader(answer.data)
	answer.release()
	return responseFrame(h.StreamID, StatusOf(err).Proto())
}

// A noFilesError is an [ErrNoFiles] with its reason.
type noFilesError struct{ why string }

func (e *noFilesError) Error() string { return ErrNoFiles.Error() + ": " + e.why }

func (e *noFilesError) Unwrap() error { return ErrNoFiles }

// noFiles says why the connection passes no files, or nil if it does. One that ends before
// the peer has agreed is told as what it is.
func (c *conn) noFiles() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, extended := c.mode.(*extended)
	switch {
	case extended && x.files:
		return nil
	case !extended && (c.closed || c.lost != nil || c.cause != nil):
		return c.refusal()
	case c.cfg.limits.Files == 0:
		return &noFilesError{"this side has not asked for them, by Limits.Files"}
	case c.started && !c.ch.passes:
		return &noFilesError{"they pass only over a unix socket on Linux that takes them"}
	case !extended:
		return &noFilesError{"the peer has not agreed to the extended mode"}
	}
	return &noFilesError{"the peer takes none: it has not asked for them, or its socket does not pass them"}
}

// dataFrame implements [extraMessage].
func (fm *FileMessage) dataFrame(c *conn) (*frame, error) {
	if len(fm.Files) == 0 {
		return c.cfg.codec.dataFrame(fm.Message, c.messageLimit())
	}
	if err := c.noFiles(); err != nil {
		return nil, err
	}
	var files CallFiles
	if err := files.Attach(fm.Files...); err != nil {
		return nil, err
	}
	f, err := c.cfg.codec.dataFrame(fm.Message, c.messageLimit())
	if err != nil {
		files.take(nil).drop()
		return nil, err
	}
	moreOf(f).files = files.take(nil)
	return f, nil
}

// message implements [extraMessage].
func (fm *FileMessage) message() any { return fm.Message }

// received implements [extraMessage].
func (fm *FileMessage) received(f *frame) {
	fm.Files = nil
	if f != nil {
		fm.Files = takeFiles(f).files()
	}
}
