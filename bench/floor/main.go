// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Floor is what the same bytes cost without any protocol: goroutines that write as
// many as ttrpc would, and read them. From 32 KiB on each side copies the bytes once
// and allocates for them once, as who gives a message to somebody must. Streams are
// written 64 KiB at a time.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"

	"github.com/containerd/ttrpc/bench/measure"
)

func main() { measure.Main(measure.System{Serve: serve, Dial: dial, OneStream: true}) }

func serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		measure.Must(err)
		go answer(newPeer(conn))
	}
}

// answer does what the frames that arrive ask for.
func answer(p *peer) {
	defer p.conn.Close()
	for {
		b, err := p.receive()
		if err != nil {
			return // the client is done
		}
		if b.kind() == kindCall {
			err = p.answerCalls(b)
			b.release()
		} else {
			kind, n, got := b.kind(), b.number(0), len(b.data)-headerLength
			b.release()
			err = p.answerStream(kind, n, got)
		}
		if err != nil {
			return
		}
	}
}

// answerCalls answers all frames that have arrived in one write.
func (p *peer) answerCalls(b *buffer) error {
	answers := 0
	for at := 0; at < len(b.data); {
		if err := p.fill(b, at+headerLength); err != nil {
			return err
		}
		end := at + headerLength + int(binary.BigEndian.Uint32(b.data[at:]))
		if err := p.fill(b, end); err != nil {
			return err
		}
		answers += headerLength + b.number(at)
		at = end
	}
	b.hand()
	_, err := p.conn.Write(content()[:answers])
	return err
}

type client struct{ *peer }

func dial(path string) (measure.Client, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return client{newPeer(conn)}, nil
}

func (c client) Close() { c.conn.Close() }

func (c client) Caller(size, answer int) func(context.Context) error {
	f, _ := c.Batch(1, size, answer)
	return func(context.Context) error { return f() }
}

// Batch has the requests of many callers leave in one write, or in as few as can be,
// and so the answers.
func (c client) Batch(callers, size, answer int) (func() error, int) {
	one := appendFrame(nil, kindCall, requestLength(size), responseLength(answer))
	n := min(callers, max(chunk/2/len(one), 1))
	request := bytes.Repeat(one, n)
	times := (callers + n - 1) / n
	return func() error {
		for range times {
			if err := c.exchange(request, n*(headerLength+responseLength(answer))); err != nil {
				return err
			}
		}
		return nil
	}, n * times
}

// exchange writes requests and reads answers of a length.
func (c client) exchange(requests []byte, length int) error {
	if _, err := c.conn.Write(requests); err != nil {
		return err
	}
	b, err := c.receive()
	if err != nil {
		return err
	}
	defer b.release()
	if err := c.fill(b, length); err != nil {
		return err
	}
	b.hand()
	return measure.CheckSize(len(b.data), length)
}
