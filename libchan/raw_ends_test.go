// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// TestRawEnds takes what a message carries out of it and puts it into another one: all that
// there is works then, one direction of a byte stream as such.
func TestRawEnds(t *testing.T) {
	type message struct {
		R     Receiver
		S     SendChan[string]
		Bytes ByteStream
		In    io.Reader
		Out   io.Writer
	}
	answers, s := Make[string](1)
	r, feed := Pipe()
	a, b := NewByteStream()
	var out bytes.Buffer
	from, to := Pipe()
	if err := to.Send(message{r, s, b, strings.NewReader("read"), &out}); err != nil {
		t.Fatal(err)
	}
	var raw Raw
	if err := from.Receive(&raw); err != nil {
		t.Fatal(err)
	}
	ends, err := raw.Ends()
	if err != nil || len(ends) != 5 || raw.Len() != 0 {
		t.Fatalf("L5: Ends: %v, %v, and %d are left", ends, err, raw.Len())
	}
	for i, is := range []func(any) bool{
		func(v any) bool { _, ok := v.(ContextReceiver); return ok },
		func(v any) bool { _, ok := v.(ContextSender); return ok },
		func(v any) bool { _, ok := v.(ByteStream); return ok },
		func(v any) bool { _, ok := v.(EndReader); _, both := v.(io.Writer); return ok && !both },
		func(v any) bool { _, ok := v.(EndWriter); _, both := v.(io.Reader); return ok && !both },
	} {
		if !is(ends[i]) {
			t.Errorf("L5: the end %d is a %T", i, ends[i])
		}
	}
	if err := feed.Send("fed"); err != nil {
		t.Fatal(err)
	}
	other, err := NewRaw(raw.Codec, raw.Body, ends...)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Send(other); err != nil {
		t.Fatal(err)
	}
	var got message
	if err := from.Receive(&got); err != nil {
		t.Fatal(err)
	}
	var text string
	if err := got.R.Receive(&text); err != nil || text != "fed" {
		t.Errorf("L5: received %q, %v", text, err)
	}
	if err := got.S.Send(t.Context(), "answer"); err != nil {
		t.Errorf("L5: Send: %v", err)
	}
	if text, err := answers.Receive(t.Context()); err != nil || text != "answer" {
		t.Errorf("L5: the answer is %q, %v", text, err)
	}
	if all, err := io.ReadAll(got.In); err != nil || string(all) != "read" {
		t.Errorf("L5: read %q, %v", all, err)
	}
	go func() { a.Write([]byte("bytes")); a.Close() }()
	if all, err := io.ReadAll(got.Bytes); err != nil || string(all) != "bytes" {
		t.Errorf("L5: read %q, %v", all, err)
	}
	if _, err := got.Out.Write([]byte("written")); err != nil {
		t.Errorf("L5: Write: %v", err)
	}
	got.Out.(io.Closer).Close()
	feed.Close()
	got.S.Close()
}

// TestNewRawRefuses holds that what cannot travel is an error that names it, and that the
// others stay good.
func TestNewRawRefuses(t *testing.T) {
	r, s := Pipe()
	defer s.Close()
	if _, err := NewRaw("msgpack", nil, r, 7); err == nil || !strings.Contains(err.Error(), "index 1: libchan: a int") {
		t.Errorf("L2: NewRaw of a number as an end: %v", err)
	}
	if _, err := NewRaw("msgpack", nil, r); err != nil {
		t.Errorf("L2: NewRaw of an end that was refused with others: %v", err)
	}
	if _, err := NewRaw("msgpack", nil, r); !errors.Is(err, ErrGivenAway) {
		t.Errorf("L2: NewRaw of an end that was given away: %v", err)
	}
	if ends, err := new(Raw).Ends(); !reflect.DeepEqual(ends, []any(nil)) || err != nil {
		t.Errorf("L2: Ends of a message that carries nothing: %v, %v", ends, err)
	}
}
