// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"runtime"
	"sync"
	"time"

	"github.com/containerd/ttrpc/internal/deadline"
)

// A ByteStream is one end of a stream of bytes both ways. It can be sent in a message, as an
// io.Reader or an io.Writer one direction of it. Its methods may be used concurrently.
//
// Close delivers what was written, and has the other end's Write return io.ErrClosedPipe. An
// operation that its deadline has ended returns os.ErrDeadlineExceeded, and the stream is good.
// What ended the other end otherwise the errors say, as those of channels do.
type ByteStream interface {
	net.Conn

	// CloseWrite ends what is written: the other end reads all of it, and then io.EOF.
	CloseWrite() error

	// CloseWithError is Close with an error that the other end gets instead of io.EOF and
	// io.ErrClosedPipe: a status of google.golang.org/grpc as such, any other by its text.
	CloseWithError(err error) error
}

// NewByteStream returns the two ends of a byte stream in memory. Either holds 256 KiB that was
// written and not read.
func NewByteStream() (a, b ByteStream) {
	x, y := newChunks(), newChunks()
	return newByteStream(half{x, 1}, half{y, 1}, address{}, address{}), newByteStream(half{y, 1}, half{x, 1}, address{}, address{})
}

// newChunks returns a channel whose messages are chunks of a byte stream.
func newChunks() *channel {
	c := newChannel(-1)
	c.chunks = true
	return c
}

// A half is the handle of a channel of chunks, of the side that the user knows. The zero half
// is none.
type half struct {
	c   *channel
	gen uint32
}

// A byteStream is what all byte streams of this package are. Those that were sent as an
// io.Reader or io.Writer have one half.
type byteStream struct {
	r, w          half
	local, remote address

	readBy, writeBy deadline.Deadline
	writing         sync.Mutex // has the chunks of one Write follow each other
}

var (
	streamType = reflect.TypeFor[*byteStream]()
	fileType   = reflect.TypeFor[*os.File]()
)

// errStreamClosed is what an end of a byte stream returns that was closed.
var errStreamClosed = fmt.Errorf("%w: %w", ErrClosed, net.ErrClosed)

func newByteStream(r, w half, local, remote address) *byteStream {
	for _, a := range []*address{&local, &remote} {
		if a.network == "" {
			*a = address{"libchan", "stream"}
		}
	}
	s := &byteStream{r: r, w: w, local: local, remote: remote}
	onGarbage(s, func(ends [2]end) {
		for _, e := range ends {
			if e.c != nil {
				e.lapse()
			}
		}
	}, [2]end{s.end(receiving), s.end(sending)})
	return s
}

// end returns the end of one of the stream's channels.
func (s *byteStream) end(of side) end {
	if of == sending {
		return end{s.w.c, sending, s.w.gen}
	}
	return end{s.r.c, receiving, s.r.gen}
}

func (s *byteStream) Read(p []byte) (int, error) {
	if s.r.c == nil {
		return 0, errors.New("libchan: the byte stream was sent to be written, and cannot be read")
	}
	ctx := s.readBy.Context()
	if ctx.Err() != nil {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := s.r.c.read(ctx, s.r.gen, p)
	runtime.KeepAlive(s) // else it might be garbage while it waits
	return n, streamError(err)
}

// WriteTo implements [io.WriterTo].
func (s *byteStream) WriteTo(w io.Writer) (n int64, err error) {
	if s.r.c == nil {
		_, err := s.Read(nil)
		return 0, err
	}
	defer runtime.KeepAlive(s)
	for {
		m, err := s.r.c.take(s.readBy.Context(), s.r.gen)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, streamError(err)
		}
		k, err := w.Write(m.body)
		if n += int64(k); err != nil {
			return n, err
		}
	}
}

func (s *byteStream) Write(p []byte) (n int, err error) {
	if s.w.c == nil {
		return 0, errors.New("libchan: the byte stream was sent to be read, and cannot be written")
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	ctx := s.writeBy.Context()
	if ctx.Err() != nil {
		return 0, os.ErrDeadlineExceeded
	}
	if len(p) == 0 {
		return 0, streamError(s.w.c.mayPut(s.w.gen))
	}
	for n < len(p) {
		chunk := p[n:min(len(p), n+chunkSize)]
		sent, err := s.w.c.put(ctx, s.w.gen, &message{chunk: true, borrowed: true, body: chunk})
		if sent {
			n += len(chunk)
		}
		if err != nil {
			return n, streamError(err)
		}
	}
	return n, nil
}

// streamError returns an error of a channel as a byte stream returns it.
func streamError(err error) error {
	switch err {
	case ErrClosed:
		return errStreamClosed
	case context.Canceled: // by the deadline
		return os.ErrDeadlineExceeded
	}
	return err
}

func (s *byteStream) CloseWrite() error { return s.closeWrite(nil) }

func (s *byteStream) closeWrite(end error) error {
	if s.w.c == nil {
		return nil
	}
	return s.w.c.close(s.w.gen, end)
}

func (s *byteStream) Close() error { return s.CloseWithError(nil) }

func (s *byteStream) CloseWithError(cause error) error {
	err := s.closeWrite(cause)
	if s.r.c == nil {
		return err
	}
	if cause == nil {
		cause = io.ErrClosedPipe
	}
	return errors.Join(err, s.r.c.cancel(s.r.gen, cause))
}

func (s *byteStream) LocalAddr() net.Addr  { return s.local }
func (s *byteStream) RemoteAddr() net.Addr { return s.remote }

func (s *byteStream) SetDeadline(t time.Time) error {
	s.readBy.Set(t)
	s.writeBy.Set(t)
	return nil
}

func (s *byteStream) SetReadDeadline(t time.Time) error {
	s.readBy.Set(t)
	return nil
}

func (s *byteStream) SetWriteDeadline(t time.Time) error {
	s.writeBy.Set(t)
	return nil
}

// give takes the halves from the stream that are sent in a field of type t.
func (s *byteStream) give(carrier *channel, t reflect.Type) (r reference, err error) {
	r = reference{kind: refBytes, local: s.local, remote: s.remote}
	all := t.Kind() != reflect.Interface || !t.Implements(readerType) && !t.Implements(writerType)
	for _, of := range []side{receiving, sending} {
		iface := readerType
		if of == sending {
			iface = writerType
		}
		e := s.end(of)
		if e.c == nil || !all && !t.Implements(iface) {
			continue
		}
		to, err := e.give(carrier)
		if err != nil {
			return r, err
		}
		r.ends = append(r.ends, to)
	}
	return r, nil
}

// bytesAs is as of a byte stream.
func (r *reference) bytesAs(t reflect.Type) (reflect.Value, error) {
	needs := func(s side, iface reflect.Type) bool { return r.end(s) == nil && t.Implements(iface) }
	switch {
	case t == fileType:
		return r.fileAs()
	case !streamType.AssignableTo(t),
		t.Kind() == reflect.Interface && (needs(receiving, readerType) || needs(sending, writerType)):
		return reflect.Value{}, r.unfit(t)
	}
	return reflect.ValueOf(r.claimStream()), nil
}

// claimStream returns what was received as a stream.
func (r *reference) claimStream() *byteStream {
	return newByteStream(r.claimHalf(receiving), r.claimHalf(sending), r.local, r.remote)
}

func (r *reference) claimHalf(s side) half {
	end := r.end(s)
	if end == nil {
		return half{}
	}
	return half{end.c, end.claim()}
}

// read reads from the first chunk. It counts as taken when all of it was read.
func (c *channel) read(ctx context.Context, gen uint32, p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.unlock()
	if len(p) == 0 {
		if !c.ownsLocked(receiving, gen) {
			return 0, ErrGivenAway
		}
		return 0, nil
	}
	if err := c.awaitLocked(ctx, gen); err != nil {
		return 0, err
	}
	m := c.queue[0]
	n = copy(p, m.body)
	m.body = m.body[n:]
	c.countLocked(-n)
	if len(m.body) == 0 {
		c.popLocked()
		c.tookLocked(c.sent-uint64(len(c.queue)), 0)
	}
	return n, nil
}

// mayPut is mayPutLocked.
func (c *channel) mayPut(gen uint32) error {
	c.mu.Lock()
	defer c.unlock()
	return c.mayPutLocked(gen)
}
