// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchantest

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/libchan"
)

// bytesRows are of L3.
var bytesRows = []row{
	{"L3: a byte stream both ways, with half-close", false, testByteStream},
	{"L3: fields of package io", true, testIOFields},
	{"L3: an io.Pipe as what it is", true, testIOPipe},
	{"L3: what ended the other end", false, testStreamErrors},
	{"L3: backpressure on a byte stream", false, testStreamUnread},
	{"L5: a byte stream passed on", false, testPassStream},
}

// giveStream makes a byte stream of which one end is sent from a to b.
func (k *kit) giveStream() (own, given libchan.ByteStream) {
	k.Helper()
	own, sent := libchan.NewByteStream()
	return own, k.give(sent).(libchan.ByteStream)
}

// write writes and checks that all was.
func (k *kit) write(w io.Writer, text string) {
	k.Helper()
	if n, err := io.WriteString(w, text); n != len(text) || err != nil {
		k.Fatalf("Write of %d bytes: %d, %v", len(text), n, err)
	}
}

// reads expects the text to come next.
func (k *kit) reads(r io.Reader, text string) {
	k.Helper()
	buf := make([]byte, len(text))
	if n, err := io.ReadFull(r, buf); err != nil || string(buf) != text {
		k.Fatalf("read %q, %v; want %q", buf[:n], err, text)
	}
}

// readsAll expects the text to come next, and to be all.
func (k *kit) readsAll(r io.Reader, text string) {
	k.Helper()
	if all, err := io.ReadAll(r); err != nil || string(all) != text {
		k.Fatalf("read %q, %v; want %q and the end", all, err, text)
	}
}

func testByteStream(k *kit) {
	halfClose(k, k.giveStream)
}

// halfClose talks over byte streams, and ends either direction first.
func halfClose(k *kit, stream func() (a, b libchan.ByteStream)) {
	k.Helper()
	for _, swap := range []bool{false, true} {
		a, b := stream()
		if swap {
			a, b = b, a
		}
		for range 10 {
			k.write(a, "there")
			k.reads(b, "there")
			k.write(b, "back")
			k.reads(a, "back")
		}
		long := bytes.Repeat([]byte("0123456789"), 5_000)
		go func() {
			_, _ = a.Write(long)
			_ = a.CloseWrite()
		}()
		k.readsAll(b, string(long))
		if _, err := a.Write([]byte("x")); !errors.Is(err, libchan.ErrClosed) {
			k.Errorf("Write after CloseWrite: %v, want ErrClosed", err)
		}
		k.write(b, "and still back")
		k.must(b.Close())
		k.readsAll(a, "and still back")
		k.must(a.Close())
	}
}

type ioFields struct {
	R   io.Reader
	W   io.Writer
	RWC io.ReadWriteCloser
}

// testIOFields has the receiver get of each stream what the field's type says.
func testIOFields(k *kit) {
	out, in := k.top()
	r, r2 := libchan.NewByteStream()
	w, w2 := libchan.NewByteStream()
	c, c2 := libchan.NewByteStream()
	k.must(out.Send(ioFields{r2, w2, c2}))
	var got ioFields
	k.must(in.Receive(&got))
	k.write(r, "to read")
	k.must(r.CloseWrite())
	k.readsAll(got.R, "to read")
	k.write(got.W, "written")
	k.must(got.W.(io.Closer).Close())
	k.readsAll(w, "written")
	k.write(c, "there")
	k.reads(got.RWC, "there")
	k.write(got.RWC, "back")
	k.must(got.RWC.Close())
	k.readsAll(c, "back")
	for name, err := range map[string]error{
		"an io.Reader": second(got.R.(io.Writer).Write([]byte("x"))),
		"an io.Writer": second(got.W.(io.Reader).Read(make([]byte, 1))),
	} {
		if err == nil {
			k.Errorf("what came as %s does the other, too", name)
		}
	}
}

func second(_ int, err error) error { return err }

// testIOPipe sends what is no byte stream of package libchan.
func testIOPipe(k *kit) {
	out, in := k.top()
	r, w := io.Pipe()
	r2, w2 := io.Pipe()
	k.must(out.Send(ioFields{R: r, W: w2}))
	var got ioFields
	k.must(in.Receive(&got))
	go func() {
		_, _ = io.WriteString(w, "through a pipe")
		_ = w.CloseWithError(status.Error(codes.DataLoss, "it leaks"))
	}()
	all, err := io.ReadAll(got.R)
	if string(all) != "through a pipe" || status.Code(err) != codes.DataLoss {
		k.Errorf("read %q, %v; want all, and DataLoss", all, err)
	}
	go func() {
		_, _ = io.Copy(got.W, strings.NewReader("and back"))
		_ = got.W.(libchan.ByteStream).CloseWithError(nil)
	}()
	k.reads(r2, "and back")
	k.must(r2.Close())
}

func testStreamErrors(k *kit) {
	for _, swap := range []bool{false, true} {
		a, b := k.giveStream()
		if swap {
			a, b = b, a
		}
		k.write(a, "some")
		k.must(a.CloseWithError(status.Error(codes.DataLoss, "half is gone")))
		all, err := io.ReadAll(b)
		if string(all) != "some" || status.Code(err) != codes.DataLoss || !strings.Contains(err.Error(), "half is gone") {
			k.Errorf("read %q, %v; want what was written, and DataLoss", all, err)
		}
		if err := writeUntil(b); status.Code(err) != codes.DataLoss {
			k.Errorf("Write returns %v, want DataLoss", err)
		}
	}
	a, b := k.giveStream()
	k.must(a.Close())
	k.readsAll(b, "")
	if err := writeUntil(b); !errors.Is(err, io.ErrClosedPipe) {
		k.Errorf("Write to an end that was closed: %v, want io.ErrClosedPipe", err)
	}
}

// writeUntil writes until there is an error, which it returns.
func writeUntil(w io.Writer) error {
	for {
		if _, err := w.Write([]byte("more")); err != nil {
			return err
		}
	}
}

// testStreamUnread writes until there is no room, and reads all of it.
func testStreamUnread(k *kit) {
	const most = 64 << 20
	a, b := k.giveStream()
	chunk, written, filled := make([]byte, 32<<10), 0, make(chan bool)
	go func() {
		defer close(filled)
		for written < most {
			n, err := a.Write(chunk)
			if written += n; err != nil {
				return
			}
		}
	}()
	<-k.brief().Done()
	other, otherIn := k.top()
	k.send(other, 1)
	k.expect(otherIn, 1, 0)
	k.must(a.Close())
	<-filled
	if written >= most {
		k.Fatalf("%d bytes were written that nobody reads", written)
	}
	if n, err := io.Copy(io.Discard, b); n != int64(written) || err != nil {
		k.Errorf("read %d bytes, %v; want %d", n, err, written)
	}
}

func testPassStream(k *kit) {
	halfClose(k, func() (a, b libchan.ByteStream) {
		a, middle := k.giveStream()
		return a, k.passOn(middle).(libchan.ByteStream)
	})
}
