// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
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

// drop closes what was attached and has not left. Nil has none.
func (f *CallFiles) drop() {
	if f != nil {
		closeFiles(f.take())
	}
}

// receive adds what came with a message.
func (f *CallFiles) receive(files []*os.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.in = append(f.in, files...)
}

type (
	filesKey struct{}
	callKey  struct{}
)

// filesUsed is set once anybody passes files, so that calls of others do not have to look
// for them in their contexts.
var filesUsed atomic.Bool

// WithFiles returns a context for one call or stream of a client, and what holds its
// files: those attached to it before the call go with the request; those that came with
// the answer can be claimed once the call has returned. The call returns [ErrNoFiles], and
// nothing is sent, if files are attached that the connection cannot pass.
func WithFiles(ctx context.Context) (context.Context, *CallFiles) {
	filesUsed.Store(true)
	files := new(CallFiles)
	return context.WithValue(ctx, filesKey{}, files), files
}

// callFilesOf returns the files of WithFiles, or nil.
func callFilesOf(ctx context.Context) *CallFiles {
	if !filesUsed.Load() {
		return nil
	}
	files, _ := ctx.Value(filesKey{}).(*CallFiles)
	return files
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
	if call.files.Load() == nil {
		call.files.CompareAndSwap(nil, new(CallFiles))
	}
	return call.files.Load(), nil
}

// takeRequestFiles gives the call the files that came with its request.
func (call *serverCall) takeRequestFiles() {
	if f := call.request; f.files != nil {
		files := &CallFiles{in: f.files}
		f.files = nil
		call.files.Store(files)
	}
}

// leave attaches what the handler wants to go with the answer, and closes what it has not
// claimed. It returns the answer, which is an error if the files cannot be passed.
func (f *CallFiles) leave(c *conn, answer *frame) *frame {
	closeFiles(f.Claim())
	files := f.take()
	if len(files) == 0 || answer == nil {
		closeFiles(files)
		return answer
	}
	if c.passesFiles() {
		answer.files = files
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
	return c.ext != nil && c.ext.files
}

// attach gives a frame the files that are to leave with it.
func (c *conn) attach(f *frame, files *CallFiles) error {
	if files == nil {
		return nil
	}
	out := files.take()
	if len(out) == 0 {
		return nil
	}
	if !c.passesFiles() {
		closeFiles(out)
		return ErrNoFiles
	}
	f.files = out
	return nil
}

// callWithFiles is call, with the files of the context.
func (c *conn) callWithFiles(ctx context.Context, service, method string, request *frame) (*frame, error) {
	files := callFilesOf(ctx)
	if err := c.attach(request, files); err != nil {
		request.release()
		return nil, err
	}
	f, err := c.call(ctx, service, method, request)
	if files != nil && err == nil && f.files != nil {
		files.receive(f.files)
		f.files = nil
	}
	return f, err
}

// dataFrame returns a sealed data frame that carries a message, and its files.
func (c *conn) dataFrame(m any) (*frame, error) {
	fm, ok := m.(*FileMessage)
	if !ok {
		return dataFrame(m, c.messageLimit())
	}
	if len(fm.Files) == 0 {
		return dataFrame(fm.Message, c.messageLimit())
	}
	if !c.passesFiles() {
		return nil, ErrNoFiles
	}
	var files CallFiles
	if err := files.Attach(fm.Files...); err != nil {
		return nil, err
	}
	f, err := dataFrame(fm.Message, c.messageLimit())
	if err != nil {
		closeFiles(files.take())
		return nil, err
	}
	f.files = files.take()
	return f, nil
}

// decodeWithFiles decodes what came in a frame into m, and if that is a FileMessage gives
// it the files, unless there is an error.
func decodeWithFiles(f *frame, b []byte, m any, decode func([]byte, any) error) error {
	fm, ok := m.(*FileMessage)
	if !ok {
		return decode(b, m)
	}
	fm.Files = nil
	if err := decode(b, fm.Message); err != nil {
		return err
	}
	fm.Files, f.files = f.files, nil
	return nil
}

// announceLocked queues a frame that has the files of the message f, which is queued
// next. It reports whether the caller has become the writer.
func (c *conn) announceLocked(s *stream, f *frame) (lead bool) {
	if len(f.data) > messageHeaderLength+partSize {
		return false // they leave before the last part
	}
	a := numberFrame(messageTypeFiles, s.id, uint32(len(f.files)))
	a.files, f.files = f.files, nil
	a.stream = s
	if s.opening == f {
		s.opening = a
	}
	return c.pushLocked(a)
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
