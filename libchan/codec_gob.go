// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"time"
)

// Gob is the codec of encoding/gob. A message is the gob of a struct that has the tokens
// of the value as columns, so a reference is one of the tokens, and all types travel
// that do with the other codecs: values in interfaces need not be registered. It is for who
// wants gob: each message describes its types again, which takes some 50 times as long as
// [Msgpack] for a small one. For a column whose length lies encoding/gob may take 10 MiB for a
// moment.
var Gob Codec = newNotation("gob", false,
	func() writer { return new(gobWriter) },
	func() reader { return new(gobReader) })

// A gobMessage is what travels.
//
// gob itself walks into values as deep as a peer makes them nest, until the stack is
// used up, and cannot send an interface whose types are not registered; hence columns.
type gobMessage struct {
	Kinds  []byte    // of each token
	Ints   []int64   // numbers, booleans, indices; elements of lists and maps, lengths of strings; seconds, nanoseconds
	Floats []float64 // numbers with a fraction
	Bytes  []byte    // all strings and bytes, one after the other
}

func (m *gobMessage) clear() {
	m.Kinds, m.Ints, m.Floats, m.Bytes = m.Kinds[:0], m.Ints[:0], m.Floats[:0], m.Bytes[:0]
	if cap(m.Kinds)+cap(m.Ints)+cap(m.Floats)+cap(m.Bytes) > 64<<10 {
		*m = gobMessage{}
	}
}

type gobWriter struct {
	b []byte
	m gobMessage
}

func (w *gobWriter) reset(b []byte) {
	w.b = b
	w.m.clear()
}

func (w *gobWriter) done() ([]byte, error) {
	buf := bytes.NewBuffer(w.b)
	if err := gob.NewEncoder(buf).Encode(&w.m); err != nil {
		return w.b, err
	}
	return buf.Bytes(), nil
}

func (w *gobWriter) put(k kind, ints ...int64) {
	w.m.Kinds = append(w.m.Kinds, byte(k))
	w.m.Ints = append(w.m.Ints, ints...)
}

func (w *gobWriter) null() { w.put(isNull) }

func (w *gobWriter) boolean(v bool) {
	if v {
		w.put(isBool, 1)
	} else {
		w.put(isBool, 0)
	}
}

func (w *gobWriter) signed(v int64) { w.put(isInt, v) }

func (w *gobWriter) unsigned(v uint64) {
	var t token
	t.setUint(v)
	w.put(t.kind, int64(v))
}

func (w *gobWriter) float(v float64, _ int) error {
	w.put(isFloat)
	w.m.Floats = append(w.m.Floats, v)
	return nil
}

func (w *gobWriter) text(v string) error {
	w.put(isText, int64(len(v)))
	w.m.Bytes = append(w.m.Bytes, v...)
	return nil
}

func (w *gobWriter) key(v string) error { return w.text(v) }

func (w *gobWriter) bytes(v []byte) {
	w.put(isBytes, int64(len(v)))
	w.m.Bytes = append(w.m.Bytes, v...)
}

func (w *gobWriter) time(v time.Time) error {
	w.put(isTime, v.Unix(), int64(v.Nanosecond()))
	return nil
}

func (w *gobWriter) ref(index int) { w.put(isRef, int64(index)) }

func (w *gobWriter) list(n int) { w.put(isList, int64(n)) }

func (w *gobWriter) dict(n int) { w.put(isDict, int64(n)) }

func (*gobWriter) endList() {}

func (*gobWriter) endDict() {}

// A gobReader takes tokens from the front of the columns.
type gobReader struct {
	m    gobMessage // whole, to be used again
	left gobMessage
	free int // how many elements lists and maps may still claim: each is a token
}

func (r *gobReader) reset(data []byte) error {
	r.m.clear()
	r.left = r.m
	if data == nil {
		return nil
	}
	in := bytes.NewReader(data)
	if err := gob.NewDecoder(in).Decode(&r.m); err != nil {
		return err
	}
	r.left, r.free = r.m, len(r.m.Kinds)
	return leftOver(in.Len())
}

func (r *gobReader) done() error {
	l := &r.left
	if n := len(l.Kinds) + len(l.Ints) + len(l.Floats) + len(l.Bytes); n > 0 {
		return fmt.Errorf("%d elements of its columns follow the message", n)
	}
	return nil
}

func (r *gobReader) key(t *token) error { return r.read(t) }

func (*gobReader) more(h head, i int) (bool, error) { return i < h.n, nil }

// int takes a whole number.
func (r *gobReader) int() (int64, error) {
	if len(r.left.Ints) == 0 {
		return 0, errShort
	}
	i := r.left.Ints[0]
	r.left.Ints = r.left.Ints[1:]
	return i, nil
}

// upTo takes a whole number from 0 to most.
func (r *gobReader) upTo(most int) (int, error) {
	i, err := r.int()
	if err == nil && (i < 0 || i > int64(most)) {
		err = fmt.Errorf("%d where at most %d are left", i, most)
	}
	return int(i), err
}

func (r *gobReader) read(t *token) (err error) {
	if len(r.left.Kinds) == 0 {
		return errShort
	}
	t.kind = kind(r.left.Kinds[0])
	r.left.Kinds = r.left.Kinds[1:]
	switch t.kind {
	case isNull:
	case isBool, isInt:
		t.i, err = r.int()
	case isUint:
		var i int64
		i, err = r.int()
		t.setUint(uint64(i))
	case isFloat:
		if len(r.left.Floats) == 0 {
			return errShort
		}
		t.f, r.left.Floats = r.left.Floats[0], r.left.Floats[1:]
	case isText, isBytes:
		var n int
		if n, err = r.upTo(len(r.left.Bytes)); err == nil {
			t.s, r.left.Bytes = r.left.Bytes[:n:n], r.left.Bytes[n:]
		}
	case isTime:
		err = r.time(t)
	case isList:
		t.n, err = r.upTo(r.free)
		r.free -= t.n
	case isDict:
		t.n, err = r.upTo(r.free / 2)
		r.free -= 2 * t.n
	case isRef:
		var i int64
		if i, err = r.int(); err == nil {
			err = t.setRef(uint64(i))
		}
	default:
		return fmt.Errorf("no token has the code %d", t.kind)
	}
	return err
}

func (r *gobReader) time(t *token) error {
	sec, err := r.int()
	if err != nil {
		return err
	}
	nsec, err := r.int()
	if err == nil && (nsec < 0 || nsec >= 1e9) {
		err = errors.New("a time with too many nanoseconds")
	}
	t.t = time.Unix(sec, nsec).UTC()
	return err
}
