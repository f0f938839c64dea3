// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestRecords has bytes travel as records, and be cut off anywhere.
func TestRecords(t *testing.T) {
	var wire bytes.Buffer
	for _, text := range []string{"hello ", "records", ""} {
		if err := writeRecord(&wire, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if want := "\x00\x00\x00\x06hello \x00\x00\x00\x07records\x00\x00\x00\x00"; wire.String() != want {
		t.Fatalf("B97: records are %q, want %q", wire.String(), want)
	}
	recorded, err := io.ReadAll(&recorder{r: iotest.HalfReader(strings.NewReader("hello records"))})
	if err != nil {
		t.Fatal(err)
	}
	for name, whole := range map[string][]byte{"written": wire.Bytes(), "read": recorded} {
		for n := range len(whole) + 1 {
			got, err := io.ReadAll(newPlayer(iotest.OneByteReader(bytes.NewReader(whole[:n]))))
			if n < len(whole) && (err != io.ErrUnexpectedEOF || !strings.HasPrefix("hello records", string(got))) {
				t.Errorf("B97: %s, the first %d bytes are played as %q, %v", name, n, got, err)
			}
			if n == len(whole) && (err != nil || string(got) != "hello records") {
				t.Errorf("B97: %s, all are played as %q, %v", name, got, err)
			}
		}
	}
	if n, err := (&recorder{r: strings.NewReader("x")}).Read(make([]byte, headerSize)); n != 0 || err != io.ErrShortBuffer {
		t.Errorf("B97: no room for a record: %d, %v", n, err)
	}
	trouble := &recorder{r: iotest.ErrReader(io.ErrClosedPipe)}
	if _, err := trouble.Read(make([]byte, 9)); err != io.ErrClosedPipe {
		t.Errorf("B97: what cannot be read is recorded: %v", err)
	}
}

// FuzzRecords plays whatever a peer may send, and what it was records to the same.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02hi\x00\x00\x00\x00"), 3)
	f.Add([]byte("\xff\xff\xff\xffhi"), 100)
	f.Add([]byte("\x00\x00"), 5)
	f.Fuzz(func(t *testing.T, wire []byte, size int) {
		played, err := io.ReadAll(newPlayer(bytes.NewReader(wire)))
		if err != nil && err != io.ErrUnexpectedEOF || len(played) > len(wire) {
			t.Fatalf("B97: %d bytes are played as %d, %v", len(wire), len(played), err)
		}
		buf := make([]byte, headerSize+1+uint(size)%100)
		var again bytes.Buffer
		if _, err := io.CopyBuffer(struct{ io.Writer }{&again}, &recorder{r: bytes.NewReader(played)}, buf); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(newPlayer(&again)); err != nil || !bytes.Equal(got, played) {
			t.Fatalf("B97: %d bytes are recorded and played as %d, %v", len(played), len(got), err)
		}
	})
}
