// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Libchan is this library's package libchan: a call is a message with a return channel, and
// a stream two channels in a message.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"

	"github.com/containerd/ttrpc/libchan"

	"github.com/containerd/ttrpc/bench/channels/blob"
	"github.com/containerd/ttrpc/bench/measure"
)

func main() { measure.Main(measure.System{Serve: serve, Dial: dial}) }

// A begin opens a stream.
type begin struct {
	blob.Begin
	Up   libchan.RecvChan[blob.Blob]
	Down libchan.SendChan[blob.Blob]
}

func serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			s, err := libchan.NewServer(conn)
			measure.Must(err)
			for {
				name, r, err := s.Accept(context.Background())
				if err != nil {
					return // the client has closed the session
				}
				if name == "Stream" {
					go serveStreams(r)
				} else {
					go libchan.Serve(context.Background(), r, func(_ context.Context, m blob.Blob) (blob.Blob, error) {
						return blob.Answer(name, m), nil
					})
				}
			}
		}()
	}
}

func serveStreams(r libchan.Receiver) {
	for b, err := range libchan.From[begin](r).All(context.Background()) {
		if err != nil {
			return
		}
		go func() {
			up, down := b.Up.Receiver(), b.Down.Sender()
			err := b.Serve(
				func(m *blob.Blob) error { return up.Receive(m) },
				func(m *blob.Blob) error { return down.Send(m) },
				func(err error) bool { return errors.Is(err, io.EOF) })
			down.CloseWithError(err)
		}()
	}
}

type client struct {
	session *libchan.Session
	streams libchan.Sender
}

func dial(path string) (measure.Client, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	s, err := libchan.NewClient(conn)
	if err != nil {
		return nil, err
	}
	streams, err := s.OpenChannel(context.Background(), "Stream")
	return &client{s, streams}, err
}

func (c *client) Close() { c.session.Close() }

func (c *client) Caller(size, answer int) func(context.Context) error {
	request := blob.Request(size, answer)
	to, err := c.session.OpenChannel(context.Background(), measure.MethodFor(size, answer))
	measure.Must(err)
	return func(ctx context.Context) error {
		m, err := libchan.Call[blob.Blob, blob.Blob](ctx, to, request)
		if err != nil {
			return err
		}
		return measure.CheckSize(len(m.Value), answer)
	}
}

func (c *client) Stream(_ context.Context, kind measure.StreamKind, size, count int) (measure.Stream, error) {
	fromUp, up := libchan.Pipe()
	down, toDown := libchan.Pipe()
	b := begin{blob.Begin{Kind: kind, Size: size, Count: count}, libchan.From[blob.Blob](fromUp), libchan.Of[blob.Blob](toDown)}
	if err := c.streams.Send(b); err != nil {
		return nil, err
	}
	return &stream{up, down, blob.Blob{Value: measure.Content(size)}, kind}, nil
}

type stream struct {
	up      libchan.Sender
	down    libchan.Receiver
	message blob.Blob
	kind    measure.StreamKind
}

func (s *stream) Send() error { return s.up.Send(&s.message) }

func (s *stream) Receive() error {
	var m blob.Blob
	if err := s.down.Receive(&m); err != nil {
		return err
	}
	return measure.CheckSize(len(m.Value), len(s.message.Value))
}

func (s *stream) Finish() error {
	if err := s.up.Close(); err != nil {
		return err
	}
	return measure.EndOf(s.kind, s.down.Receive(new(blob.Blob)))
}
