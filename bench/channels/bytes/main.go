// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Bytes is the byte streams of this library's package libchan.
package main

import (
	"context"
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
	Stream libchan.ByteStream
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
			r, err := s.WaitReceiveChannel()
			if err != nil {
				return // the client has closed the session
			}
			for b, err := range libchan.From[begin](r).All(context.Background()) {
				if err != nil {
					return
				}
				go func() {
					if b.ServeBytes(b.Stream) == nil {
						b.Stream.CloseWrite()
					}
				}()
			}
		}()
	}
}

type client struct {
	blob.NoCalls
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
	streams, err := s.NewSendChannel()
	return &client{session: s, streams: streams}, err
}

func (c *client) Close() { c.session.Close() }

func (c *client) Stream(_ context.Context, kind measure.StreamKind, size, count int) (measure.Stream, error) {
	near, far := libchan.NewByteStream()
	b := blob.Begin{Kind: kind, Size: size, Count: count}
	return blob.NewBytes(near, b), c.streams.Send(begin{b, far})
}
