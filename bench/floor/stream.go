// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"math"

	"github.com/containerd/ttrpc/bench/measure"
)

// answerStream reads and writes n bytes as a kind of stream does; endless if n is 0.
// The first got of them have arrived with the frame that asks for it.
func (p *peer) answerStream(kind byte, n, got int) error {
	if n == 0 {
		n = math.MaxInt
	}
	for {
		if kind == kindDownload {
			got = min(n, chunk)
		}
		if kind != kindUpload {
			if _, err := p.conn.Write(content()[:got]); err != nil {
				return err
			}
		}
		if n -= got; n <= 0 {
			break
		}
		if kind != kindDownload {
			b, err := p.receive()
			if err != nil {
				return err
			}
			got = len(b.data)
			b.release()
		}
	}
	if kind != kindUpload {
		return nil
	}
	_, err := p.conn.Write(content()[:headerLength+responseLength(0)])
	return err
}

// A stream is bytes without any boundaries.
type stream struct {
	*peer
	kind    measure.StreamKind
	message int // its length
	atOnce  int // how many messages are written at once
	left    int // how many are to be sent, negative if any number

	pending int // messages that are to be written
	unread  int // bytes that have arrived of messages that have not been received
}

func (c client) Stream(_ context.Context, kind measure.StreamKind, size, count int) (measure.Stream, error) {
	s := &stream{peer: c.peer, kind: kind, message: headerLength + wrapped(size), left: count}
	s.atOnce = max(1, chunk/s.message)
	switch kind {
	case measure.Chat:
		s.atOnce = min(s.atOnce, measure.Ahead/2)
	case measure.Turns:
		s.atOnce, kind = 1, measure.Chat
	}
	if count == 0 {
		s.left = -1
	}
	_, err := c.conn.Write(appendFrame(nil, kindUpload+byte(kind), 0, s.message*count))
	return s, err
}

func (s *stream) Send() error {
	s.pending++
	s.left--
	if s.pending < s.atOnce && s.left != 0 {
		return nil
	}
	_, err := s.conn.Write(content()[:s.pending*s.message])
	s.pending = 0
	return err
}

func (s *stream) Receive() error {
	for s.unread < s.message {
		b, err := s.receive()
		if err != nil {
			return err
		}
		s.unread += len(b.data)
		b.release()
	}
	s.unread -= s.message
	return nil
}

// Finish waits for the answer of an upload; the other kinds have ended.
func (s *stream) Finish() error {
	if s.kind != measure.Upload {
		return nil
	}
	_, err := io.ReadFull(s.conn, make([]byte, headerLength+responseLength(0)))
	return err
}
