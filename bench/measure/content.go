// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

var (
	// ErrNoStreams is what a system returns that has no streams, or none of a kind.
	ErrNoStreams = errors.New("it has no such streams")

	errTooMany = errors.New("a message after the last")
)

// StreamNames are the methods of each kind.
var StreamNames = [...]string{Upload: "Upload", Download: "Download", Chat: "Chat", Turns: "Chat"}

// contents are what Content has returned, by size.
var contents sync.Map

// Content returns what messages of a size carry. It is made once, so that it costs
// the measured systems nothing, and must not be changed.
func Content(size int) []byte {
	if b, ok := contents.Load(size); ok {
		return b.([]byte)
	}
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i * 7)
	}
	contents.Store(size, b)
	return b
}

// Number returns the number that a request's value begins with: how many messages
// a download has, or how long the answer of Get is.
func Number(b []byte) int { return int(binary.BigEndian.Uint64(b)) }

// MethodFor returns the method that answers size bytes with answer bytes, and
// RequestValue what it is sent: Echo returns what it gets, Get what it is told.
func MethodFor(size, answer int) string {
	if size == answer {
		return "Echo"
	}
	return "Get"
}

// RequestValue is explained at MethodFor.
func RequestValue(size, answer int) []byte {
	b := Content(size)
	if size != answer {
		b = slices.Clone(b)
		binary.BigEndian.PutUint64(b, uint64(answer))
	}
	return b
}

// CheckSize compares the sizes of messages.
func CheckSize(got, want int) error {
	if got != want {
		return fmt.Errorf("got %d bytes instead of %d", got, want)
	}
	return nil
}

// EndOf tells whether a stream ended as it must, from what receiving returned last.
func EndOf(kind StreamKind, err error) error {
	switch {
	case kind == Upload: // that is the answer
		return err
	case err == nil:
		return errTooMany
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}
