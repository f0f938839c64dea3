// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Yamuxbytes is the streams of hashicorp's yamux.
package main

import (
	"context"
	"encoding/gob"
	"io"
	"log"
	"net"

	"github.com/hashicorp/yamux"

	"github.com/containerd/ttrpc/bench/channels/blob"
	"github.com/containerd/ttrpc/bench/measure"
)

func main() { measure.Main(measure.System{Serve: serve, Dial: dial}) }

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
				s, err := session.AcceptStream()
				if err != nil {
					return // the client has closed the session
				}
				go serveStream(s)
			}
		}()
	}
}

func config() *yamux.Config {
	c := yamux.DefaultConfig()
	c.LogOutput = io.Discard
	return c
}

// serveStream reads what the stream is for byte by byte, as gob reads ahead where it can.
func serveStream(s *yamux.Stream) {
	defer s.Close()
	var b blob.Begin
	if gob.NewDecoder(oneByOne{s}).Decode(&b) == nil {
		_ = b.ServeBytes(s) // the client finds out
	}
}

// A oneByOne is read no further than asked.
type oneByOne struct{ io.Reader }

// ReadByte implements [io.ByteReader].
func (r oneByOne) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r.Reader, b[:])
	return b[0], err
}

type client struct {
	blob.NoCalls
	session *yamux.Session
}

func dial(path string) (measure.Client, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	session, err := yamux.Client(conn, config())
	return &client{session: session}, err
}

func (c *client) Close() { c.session.Close() }

func (c *client) Stream(_ context.Context, kind measure.StreamKind, size, count int) (measure.Stream, error) {
	s, err := c.session.OpenStream()
	if err != nil {
		return nil, err
	}
	b := blob.Begin{Kind: kind, Size: size, Count: count}
	return blob.NewBytes(halfClosed{s}, b), gob.NewEncoder(s).Encode(b)
}

// A halfClosed is a stream of yamux, whose Close closes one direction.
type halfClosed struct{ *yamux.Stream }

// CloseWrite is Close.
func (s halfClosed) CloseWrite() error { return s.Close() }
