// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/deadline"
)

const (
	// chunkSize is how many bytes of a Write go in one message. gRPC writes up to 32 KiB at a
	// time and a frame's header.
	chunkSize = 64 << 10

	// linger is how long an end that was closed waits for the other one to close, until it
	// ends the stream.
	linger = 5 * time.Second
)

// A stream is one of ttrpc, of either end.
type stream interface {
	SendMsg(m any) error
	RecvMsg(m any) error
}

// A tunnel is a net.Conn whose bytes are those of the messages of a stream, both ways. An
// empty message ends its direction. The end of the stream ends both.
type tunnel struct {
	stream stream
	leave  func() // tells the other end that this one is closed, after what was written
	remote *addr

	readBy, writeBy deadline.Deadline

	reading sync.Mutex
	rest    []byte // guarded by reading: what has come and was not read
	end     error  // guarded by reading: what Read returns from now on

	writing sync.Mutex
	done    error // guarded by writing: what Write returns from now on

	closing sync.Mutex
	closed  bool // guarded by closing: no deadline counts any more
}

// errClosedPipe is what Write returns once the other end reads no more.
var errClosedPipe = os.NewSyscallError("write", syscall.EPIPE)

// Read implements net.Conn.
func (t *tunnel) Read(p []byte) (int, error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	for len(t.rest) == 0 {
		if err := t.receiveLocked(len(p) == 0); err != nil {
			return 0, err
		}
		if len(p) == 0 {
			return 0, nil
		}
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

// ReadOnReady reads into a buffer of the pool, which it takes only once there is something to
// read. gRPC asks conns for this method: those without it have a buffer of 32 KiB for as long as
// they live.
func (t *tunnel) ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	for len(t.rest) == 0 {
		if err := t.receiveLocked(false); err != nil {
			return nil, 0, err
		}
	}
	buf := pool.Get(size)
	n := copy(*buf, t.rest)
	t.rest = t.rest[n:]
	return buf, n, nil
}

// WriteTo implements io.WriterTo, without a copy.
func (t *tunnel) WriteTo(w io.Writer) (n int64, err error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	for {
		for len(t.rest) > 0 {
			k, err := w.Write(t.rest)
			n += int64(k)
			t.rest = t.rest[k:]
			if err != nil {
				return n, err
			}
		}
		if err := t.receiveLocked(false); err != nil {
			if err == io.EOF {
				err = nil
			}
			return n, err
		}
	}
}

// receiveLocked waits for the next chunk, unless it is only to tell whether it may be read.
func (t *tunnel) receiveLocked(only bool) error {
	ctx := t.readBy.Context()
	if ctx.Err() != nil {
		return t.expired("read")
	}
	if t.end != nil || only {
		return t.end
	}
	var chunk ttrpc.RawMessage
	err := t.stream.RecvMsg(ttrpc.Within(ctx, &chunk))
	switch {
	case err == nil && len(chunk.Payload) > 0:
		t.rest = chunk.Payload
		return nil
	case err == nil:
		t.end = io.EOF
	case ctx.Err() != nil:
		return t.expired("read")
	case err == io.EOF:
		t.end = io.EOF
	default:
		t.end = t.failure("read", err)
	}
	return t.end
}

// Write implements net.Conn.
func (t *tunnel) Write(p []byte) (n int, err error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	if len(p) == 0 {
		return 0, t.mayWriteLocked()
	}
	for n < len(p) {
		chunk := p[n:min(len(p), n+chunkSize)]
		if err := t.sendLocked(chunk); err != nil {
			return n, err
		}
		n += len(chunk)
	}
	return n, nil
}

func (t *tunnel) mayWriteLocked() error {
	if t.writeBy.Context().Err() != nil {
		return t.expired("write")
	}
	return t.done
}

// sendLocked sends a chunk, which is not kept.
func (t *tunnel) sendLocked(chunk []byte) error {
	if err := t.mayWriteLocked(); err != nil {
		return err
	}
	ctx := t.writeBy.Context()
	err := t.stream.SendMsg(ttrpc.Within(ctx, &ttrpc.RawMessage{Payload: chunk}))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return t.expired("write")
	case err == io.EOF:
		t.done = t.failure("write", errClosedPipe)
	default:
		t.done = t.failure("write", err)
	}
	return t.done
}

// CloseWrite ends what is written: the other end reads all of it, and then io.EOF.
func (t *tunnel) CloseWrite() error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if err := t.sendLocked(nil); err != nil {
		return err
	}
	t.done = t.failure("write", errClosedPipe)
	return nil
}

// Close implements net.Conn. What was written before still arrives.
func (t *tunnel) Close() error {
	t.closing.Lock()
	if t.closed {
		t.closing.Unlock()
		return t.failure("close", net.ErrClosed)
	}
	t.closed = true
	past := time.Unix(0, 0)
	t.readBy.Set(past)
	t.writeBy.Set(past)
	t.closing.Unlock()
	t.writing.Lock() // whoever writes has got out, or is about to
	defer t.writing.Unlock()
	t.leave()
	return nil
}

// expired is the error of an operation whose deadline has passed, which Close makes so, too.
func (t *tunnel) expired(op string) error {
	t.closing.Lock()
	defer t.closing.Unlock()
	if t.closed {
		return t.failure(op, net.ErrClosed)
	}
	return t.failure(op, os.ErrDeadlineExceeded)
}

// failure is an error as those of package net are.
func (t *tunnel) failure(op string, why error) error {
	var already *net.OpError
	if errors.As(why, &already) {
		return why
	}
	return &net.OpError{Op: op, Net: t.remote.Network(), Source: t.LocalAddr(), Addr: t.remote, Err: plain(why)}
}

// LocalAddr implements net.Conn.
func (t *tunnel) LocalAddr() net.Addr { return t.remote.peer.LocalAddr }

// RemoteAddr implements net.Conn. It tells which connection the tunnel is of.
func (t *tunnel) RemoteAddr() net.Addr { return t.remote }

// SetDeadline implements net.Conn.
func (t *tunnel) SetDeadline(at time.Time) error { return t.set(at, &t.readBy, &t.writeBy) }

// SetReadDeadline implements net.Conn.
func (t *tunnel) SetReadDeadline(at time.Time) error { return t.set(at, &t.readBy) }

// SetWriteDeadline implements net.Conn.
func (t *tunnel) SetWriteDeadline(at time.Time) error { return t.set(at, &t.writeBy) }

func (t *tunnel) set(at time.Time, of ...*deadline.Deadline) error {
	t.closing.Lock()
	defer t.closing.Unlock()
	if t.closed {
		return t.failure("set", net.ErrClosed)
	}
	for _, d := range of {
		d.Set(at)
	}
	return nil
}

// IsByteStream implements ttrpc.ByteStreamConn, for connections in a tunnel.
func (t *tunnel) IsByteStream() bool { return true }

// dialed returns the tunnel of a stream that this end has opened. cancel ends the stream.
func dialed(s ttrpc.ClientStream, cancel context.CancelFunc, remote *addr) *tunnel {
	return &tunnel{stream: s, remote: remote, leave: func() {
		if s.CloseSend() != nil {
			cancel()
			return
		}
		time.AfterFunc(linger, cancel)
	}}
}

// accepted returns the tunnel of a stream that the other end has opened.
func accepted(s *ttrpc.DetachedStream, remote *addr) *tunnel {
	return &tunnel{stream: s, remote: remote, leave: func() { s.End(nil, nil) }}
}
