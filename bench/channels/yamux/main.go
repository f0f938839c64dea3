// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Yamux is what one would build without this library: encoding/gob over streams of
// hashicorp's yamux. A caller has a stream of its own.
package main

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"io"
	"log"
	"net"

	"github.com/hashicorp/yamux"

	"github.com/containerd/ttrpc/bench/channels/blob"
	"github.com/containerd/ttrpc/bench/measure"
)

func main() { measure.Main(measure.System{Serve: serve, Dial: dial}) }

// config is yamux's own but for what it prints.
func config() *yamux.Config {
	c := yamux.DefaultConfig()
	c.LogOutput = io.Discard
	return c
}

// A method says what the messages of a yamux stream are for.
type method struct {
	Name string // Echo, Get, or empty for a stream
	blob.Begin
}

// A stream is one of yamux with messages.
type stream struct {
	conn *yamux.Stream
	w    *bufio.Writer
	enc  *gob.Encoder
	dec  *gob.Decoder

	message blob.Blob
	kind    measure.StreamKind
}

func newStream(conn *yamux.Stream) *stream {
	w := bufio.NewWriter(conn)
	return &stream{conn: conn, w: w, enc: gob.NewEncoder(w), dec: gob.NewDecoder(conn)}
}

func (s *stream) send(v any) error {
	if err := s.enc.Encode(v); err != nil {
		return err
	}
	return s.w.Flush()
}

func serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		session, err := yamux.Server(conn, config())
		measure.Must(err)
		go func() {
			for {
				conn, err := session.AcceptStream()
				if err != nil {
					return // the client has closed the session
				}
				go serveStream(newStream(conn))
			}
		}()
	}
}

func serveStream(s *stream) {
	defer s.conn.Close()
	var m method
	if s.dec.Decode(&m) != nil {
		return
	}
	isEnd := func(err error) bool { return errors.Is(err, io.EOF) }
	receive := func(b *blob.Blob) error { return s.dec.Decode(b) }
	send := func(b *blob.Blob) error { return s.send(b) }
	if m.Name == "Get" {
		for {
			var request blob.Blob
			if receive(&request) != nil {
				return
			}
			answer := blob.Answer(m.Name, request)
			if send(&answer) != nil {
				return
			}
		}
	}
	_ = m.Serve(receive, send, isEnd) // the client finds out
}

type client struct{ session *yamux.Session }

func dial(path string) (measure.Client, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	session, err := yamux.Client(conn, config())
	return client{session}, err
}

func (c client) Close() { c.session.Close() }

func (c client) open(m method) (*stream, error) {
	conn, err := c.session.OpenStream()
	if err != nil {
		return nil, err
	}
	s := newStream(conn)
	s.kind, s.message = m.Kind, blob.Blob{Value: measure.Content(m.Size)}
	return s, s.send(&m)
}

func (c client) Caller(size, answer int) func(context.Context) error {
	s, err := c.open(method{measure.MethodFor(size, answer), blob.Begin{Kind: measure.Chat}})
	measure.Must(err)
	s.message = blob.Request(size, answer)
	return func(context.Context) error {
		var m blob.Blob
		if err := s.send(&s.message); err != nil {
			return err
		}
		if err := s.dec.Decode(&m); err != nil {
			return err
		}
		return measure.CheckSize(len(m.Value), answer)
	}
}

func (c client) Stream(_ context.Context, kind measure.StreamKind, size, count int) (measure.Stream, error) {
	return c.open(method{"", blob.Begin{Kind: kind, Size: size, Count: count}})
}

func (s *stream) Send() error { return s.send(&s.message) }

func (s *stream) Receive() error {
	var m blob.Blob
	if err := s.dec.Decode(&m); err != nil {
		return err
	}
	return measure.CheckSize(len(m.Value), len(s.message.Value))
}

func (s *stream) Finish() error {
	if err := s.conn.Close(); err != nil { // yamux's half-close
		return err
	}
	return measure.EndOf(s.kind, s.dec.Decode(new(blob.Blob)))
}
