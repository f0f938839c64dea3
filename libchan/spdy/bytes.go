// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"context"
	"io"
	"slices"
	"sync"

	"github.com/containerd/ttrpc/libchan"
)

// Byte streams are package libchan's own, too. A goroutine for each direction copies.

// onlyReader and onlyWriter are one direction of a byte stream.
type (
	onlyReader struct{ s libchan.ByteStream }
	onlyWriter struct{ s libchan.ByteStream }
)

func (o onlyReader) Read(p []byte) (int, error)     { return o.s.Read(p) }
func (o onlyReader) CloseWithError(err error) error { return o.s.CloseWithError(err) }

func (o onlyWriter) Write(p []byte) (int, error)    { return o.s.Write(p) }
func (o onlyWriter) CloseWithError(err error) error { return o.s.CloseWithError(err) }

// giveBytes copies between the stream and a byte stream, or one direction of it.
func (st *stream) giveBytes(end any) {
	closer := end.(interface{ CloseWithError(error) error })
	forget := context.AfterFunc(st.t.closed, func() { _ = closer.CloseWithError(ended(libchan.ErrClosed)) })
	out, isReader := end.(io.Reader)
	in, isWriter := end.(io.Writer)
	if isWriter {
		st.grow()
	} else {
		st.deafen()
	}
	if !isReader && st.t.opts.dialect == Released { // where every byte stream can be read
		go st.finish()
	}
	copying := func(f func() error) func() {
		return func() {
			if err := f(); err != nil {
				_ = closer.CloseWithError(err)
			}
		}
	}
	go func() {
		var both sync.WaitGroup
		if isReader {
			both.Go(copying(func() error { return st.sendBytes(out) }))
		}
		if isWriter {
			both.Go(copying(func() error { return st.receiveBytes(in) }))
		}
		both.Wait()
		if !isReader {
			st.finish()
		}
		forget()
	}()
}

// sendBytes sends what it reads, to the end. An error is that of the stream.
func (st *stream) sendBytes(from io.Reader) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if err := st.send(nil, slices.Clone(buf[:n]), 1); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			st.finish()
			return nil
		case err != nil:
			st.reset(err)
			return err
		}
	}
}

// receiveBytes writes what arrives, to the end.
func (st *stream) receiveBytes(to io.Writer) error {
	for {
		piece, err := st.next(nil)
		if err == io.EOF {
			if both, ok := to.(libchan.ByteStream); ok {
				_ = both.CloseWrite()
				return nil
			}
			return to.(libchan.EndWriter).CloseWithError(nil)
		}
		if err != nil {
			return err
		}
		_, err = to.Write(piece)
		st.consumed(len(piece))
		if err != nil { // nobody reads on; what this side sends goes on
			st.deafen()
			return nil
		}
	}
}

// deafen is deafenLocked.
func (st *stream) deafen() {
	st.t.mu.Lock()
	defer st.t.mu.Unlock()
	st.deafenLocked()
}
