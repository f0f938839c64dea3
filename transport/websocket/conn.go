// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	coder "github.com/coder/websocket"

	"github.com/containerd/ttrpc/transport/internal/duplex"
)

// A conn is what a program has of a connection.
type conn struct {
	*duplex.Conn
	subprotocol string
}

// Subprotocol returns what both ends have agreed on, or "".
func (c *conn) Subprotocol() string { return c.subprotocol }

// A socket is a websocket below a conn.
type socket struct {
	limits
	ws   *coder.Conn
	link *link
	conn *conn

	lingering *time.Timer // runs after the conn's Close

	// Of Read.
	message io.Reader // the one that is read, or nil
	size    int64     // of it, so far
	turn    atomic.Int64
	verdict coder.CloseError // what the other end is told in the end
}

func newSocket(ws *coder.Conn, l *link, end duplex.End, lim limits) *socket {
	ws.SetReadLimit(-1) // Read counts
	s := &socket{limits: lim, ws: ws, link: l, verdict: coder.CloseError{Code: coder.StatusNormalClosure}}
	s.conn = &conn{subprotocol: ws.Subprotocol()}
	s.conn.Conn = duplex.New(end, func() { s.lingering = time.AfterFunc(linger, l.kill) })
	return s
}

// run moves bytes between the websocket and the conn until either has ended.
func (s *socket) run() {
	over := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.conn.Drain(s.send)
		s.end()
	}()
	if s.ping > 0 {
		go s.keepAlive(over)
	}
	if s.conn.Feed(s) == io.EOF {
		s.conn.Finish() // the websocket has ended in both directions
	}
	<-ended
	s.conn.Finish()
	if s.lingering != nil {
		s.lingering.Stop()
	}
	s.link.kill()
	close(over)
}

// send sends what the conn has written.
func (s *socket) send(b []byte) error {
	if err := s.link.awaitRoom(); err != nil {
		return err
	}
	err := s.ws.Write(context.Background(), coder.MessageBinary, b)
	if errors.Is(err, net.ErrClosed) {
		// The websocket has ended. Read knows why, and may have something yet that came before.
		_ = s.conn.Outgoing().Close()
		return nil
	}
	return err
}

// end has the other end learn that the websocket ends, and why.
func (s *socket) end() {
	if s.link.awaitSent() == nil {
		_ = s.ws.Close(s.verdict.Code, s.verdict.Reason)
	} else {
		_ = s.ws.CloseNow()
	}
}

// Read reads what is in the messages. It is called by one goroutine.
func (s *socket) Read(b []byte) (int, error) {
	s.turn.Add(1)
	defer s.turn.Add(1)
	for {
		if s.message == nil {
			kind, message, err := s.ws.Reader(context.Background())
			if err != nil {
				return 0, endOf(err)
			}
			if kind != coder.MessageBinary {
				return 0, s.refuse(coder.StatusUnsupportedData, ErrText)
			}
			s.message, s.size = message, 0
		}
		n, err := s.message.Read(b)
		s.size += int64(n)
		switch {
		case s.size > s.limits.message && s.limits.message > 0:
			return 0, s.refuse(coder.StatusMessageTooBig, fmt.Errorf("%w: %d bytes are the limit", ErrTooLarge, s.limits.message))
		case err == io.EOF:
			s.message, err = nil, nil
		case err != nil:
			err = endOf(err)
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (s *socket) refuse(code coder.StatusCode, why error) error {
	s.verdict = coder.CloseError{Code: code, Reason: why.Error()}
	return why
}

// endOf returns what an error of a websocket's means to a stream: io.EOF if it has ended in
// order.
func endOf(err error) error {
	var closed coder.CloseError
	switch {
	case errors.As(err, &closed):
		switch closed.Code {
		case coder.StatusNormalClosure, coder.StatusGoingAway, coder.StatusNoStatusRcvd:
			return io.EOF
		}
		return fmt.Errorf("the other end has closed the websocket with status %d: %s", closed.Code, duplex.OneLine([]byte(closed.Reason)))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the connection has ended without the websocket's close frame: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// keepAlive pings the other end, and ends the connection when nothing is heard.
func (s *socket) keepAlive(over <-chan struct{}) {
	ticker := time.NewTicker(s.ping)
	defer ticker.Stop()
	for {
		select {
		case <-over:
			return
		case <-ticker.C:
		}
		turn, heard := s.turn.Load(), s.link.heard.Load()
		ctx, cancel := context.WithTimeout(context.Background(), s.pong)
		err := s.ws.Ping(ctx)
		cancel()
		switch {
		case err == nil, s.link.heard.Load() != heard:
		case errors.Is(err, net.ErrClosed):
			return
		case turn%2 == 0 || s.turn.Load() != turn:
			// This end has not read all the time, as the program does not.
		default:
			s.conn.Fail(fmt.Errorf("%w, for %v", ErrSilent, s.ping+s.pong))
			s.link.kill()
			return
		}
	}
}
