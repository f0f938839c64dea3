// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package quic

import (
	"context"
	"time"

	quicgo "github.com/quic-go/quic-go"
)

// CloseWrite ends what this end sends. The other end reads io.EOF after what was written
// before, and may go on sending.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	first := !c.ended
	c.ended = true
	if first {
		_ = c.out.SetWriteDeadline(time.Unix(1, 0)) // ends a Write that waits
	}
	c.mu.Unlock()
	if first {
		c.writing.Lock()
		defer c.writing.Unlock()
		_ = c.out.Close() // fails where the other end reads no more
	}
	return nil
}

// Close implements net.Conn. What was written before is still sent, in the background.
func (c *Conn) Close() error {
	if c.close() {
		_ = c.CloseWrite()
		go c.leave()
	}
	return nil
}

// CloseWithError ends the connection at once, with a code, which should be 256 or more, and a
// text, which methods at the other end return in a [CloseError]. What was written before may
// be lost.
func (c *Conn) CloseWithError(code uint64, text string) error {
	c.close()
	return c.quic.CloseWithError(quicgo.ApplicationErrorCode(code), text)
}

// close has all that reads end, and tells whether it is the first to do so.
func (c *Conn) close() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.closed = true
	if in := c.in.Load(); in != nil {
		in.CancelRead(codeEnded)
	}
	if c.wake != nil {
		c.wake()
	}
	return true
}

// leave ends the connection when the other end wants nothing more of it.
func (c *Conn) leave() {
	ctx, cancel := context.WithTimeout(c.quic.Context(), linger)
	defer cancel()
	if c.part(ctx) == nil {
		_ = c.quic.CloseWithError(codeEnded, "")
	} else {
		_ = c.quic.CloseWithError(CodeUnread, "closed, and the other end has not closed its own in time")
	}
}

// part says that this end is closed, and waits until the other one has said so.
func (c *Conn) part(ctx context.Context) error {
	farewell, err := c.quic.OpenUniStream()
	if err == nil {
		err = farewell.Close()
	}
	if err != nil {
		return err
	}
	c.entering.Lock() // a Read that has waited has left
	in := c.in.Load()
	c.entering.Unlock()
	if in == nil {
		if in, err = c.quic.AcceptUniStream(ctx); err != nil {
			return err
		}
	}
	in.CancelRead(codeEnded)
	_, err = c.quic.AcceptUniStream(ctx)
	return err
}
