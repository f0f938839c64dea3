// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"context"
	"errors"
	"io"

	"github.com/containerd/ttrpc/bench/measure"
)

// ServeBytes does the server's part of a byte stream. What was uploaded is answered with as many
// bytes as one write has.
func (b Begin) ServeBytes(s io.ReadWriter) error {
	buf := make([]byte, b.Size)
	if b.Kind == measure.Download {
		content := measure.Content(b.Size)
		for range b.Count {
			if _, err := s.Write(content); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		n, err := io.ReadFull(s, buf)
		switch {
		case errors.Is(err, io.EOF) && b.Kind == measure.Upload:
			_, err = s.Write(buf)
			return err
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if b.Kind == measure.Upload {
			continue
		}
		if _, err := s.Write(buf[:n]); err != nil {
			return err
		}
	}
}

// A Bytes is the client's end of a byte stream, whose messages are writes of a size.
type Bytes struct {
	conn interface {
		io.ReadWriter
		CloseWrite() error
	}
	content, buf []byte
	kind         measure.StreamKind
}

// NewBytes returns an end of a stream that begins so.
func NewBytes(conn interface {
	io.ReadWriter
	CloseWrite() error
}, b Begin) *Bytes {
	return &Bytes{conn, measure.Content(b.Size), make([]byte, b.Size), b.Kind}
}

// Send implements [measure.Stream].
func (b *Bytes) Send() error {
	_, err := b.conn.Write(b.content)
	return err
}

// Receive implements [measure.Stream].
func (b *Bytes) Receive() error {
	_, err := io.ReadFull(b.conn, b.buf)
	return err
}

// Finish implements [measure.Stream].
func (b *Bytes) Finish() error {
	if err := b.conn.CloseWrite(); err != nil {
		return err
	}
	return measure.EndOf(b.kind, b.Receive())
}

// NoCalls is the part of a client of which only streams are measured.
type NoCalls struct{}

// Caller implements [measure.Client].
func (NoCalls) Caller(int, int) func(context.Context) error {
	return func(context.Context) error { return errors.New("there are only streams") }
}
