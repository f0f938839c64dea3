// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"github.com/containerd/ttrpc/libchan"
)

type streams struct {
	Both libchan.ByteStream `libchan:",omitempty"`
	R    io.Reader          `libchan:",omitempty"`
	W    io.Writer          `libchan:",omitempty"`
}

// TestByteStream holds that a byte stream goes both ways, far more than a window, and that each
// direction ends apart.
func TestByteStream(t *testing.T) {
	inDialects(t, func(t *testing.T, from, to *Transport) {
		s, r := channel(t, from, to)
		ours, theirs := libchan.NewByteStream()
		send(t, s, streams{Both: theirs})
		var got streams
		receive(t, r, &got)
		want := bytes.Repeat([]byte("0123456789abcdef"), 1<<20/16)
		for _, way := range [][2]libchan.ByteStream{{ours, got.Both}, {got.Both, ours}} {
			wrote := make(chan error, 1)
			go func() {
				_, err := way[0].Write(want)
				wrote <- errors.Join(err, way[0].CloseWrite())
			}()
			within(t, func() {
				all, err := io.ReadAll(way[1])
				if err != nil || !bytes.Equal(all, want) {
					t.Errorf("L11: read %d bytes, %v", len(all), err)
				}
				if err := <-wrote; err != nil {
					t.Errorf("L11: Write: %v", err)
				}
			})
		}
	})
}

// TestOneDirection sends an io.Reader and an io.Writer, and a file and a connection, which
// are lent.
func TestOneDirection(t *testing.T) {
	inDialects(t, func(t *testing.T, from, to *Transport) {
		s, r := channel(t, from, to)
		pr, pw, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer pr.Close()
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		read := bytes.NewReader([]byte("to be read"))
		send(t, s, streams{R: read, W: pw})
		send(t, s, map[string]any{"conn": b})
		var got streams
		receive(t, r, &got)
		all, err := io.ReadAll(got.R)
		if err != nil || string(all) != "to be read" {
			t.Errorf("L11: read %q, %v", all, err)
		}
		if _, err := got.W.Write([]byte("written")); err != nil {
			t.Errorf("L11: Write: %v", err)
		}
		buf := make([]byte, 7)
		within(t, func() { _, err = io.ReadFull(pr, buf) })
		if err != nil || string(buf) != "written" {
			t.Errorf("L11: the pipe has %q, %v", buf, err)
		}
		pw.Close()
		var conn map[string]io.ReadWriteCloser
		receive(t, r, &conn)
		go conn["conn"].Write([]byte("hello"))
		within(t, func() { _, err = io.ReadFull(a, buf[:5]) })
		if err != nil || string(buf[:5]) != "hello" {
			t.Errorf("L11: the connection has %q, %v", buf[:5], err)
		}
		conn["conn"].Close()
	})
}

// TestByteStreamEnds holds that a byte stream's error, and the end of its session, are told at
// both ends.
func TestByteStreamEnds(t *testing.T) {
	client, server := pair(t)
	s, r := channel(t, client, server)
	var ours, theirs [3]libchan.ByteStream
	for i := range ours {
		a, b := libchan.NewByteStream()
		ours[i] = a
		send(t, s, streams{Both: b})
		var got streams
		receive(t, r, &got)
		theirs[i] = got.Both
	}
	ours[0].CloseWithError(errors.New("broken"))
	theirs[1].Close()
	within(t, func() {
		if _, err := theirs[0].Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("L11: Read after the other end's error: %v", err)
		}
		if _, err := ours[1].Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("L11: Read after the other end's Close: %v", err)
		}
		for err := error(nil); err == nil; {
			_, err = ours[1].Write(make([]byte, 1000))
		}
	})
	server.Close()
	within(t, func() {
		for _, s := range []libchan.ByteStream{ours[2], theirs[2]} {
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, libchan.ErrSessionEnded) {
				t.Errorf("L11: Read after the end of the session: %v", err)
			}
		}
	})
}
