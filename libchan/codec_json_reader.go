// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// A jsonReader reads what RFC 8259 allows, and nothing else.
type jsonReader struct {
	b       []byte
	at      int
	scratch []byte // the last string, if it had escapes
}

func (r *jsonReader) reset(data []byte) error {
	r.b, r.at = data, 0
	if cap(r.scratch) > 64<<10 {
		r.scratch = nil
	}
	return nil
}

func (r *jsonReader) done() error {
	r.peek()
	return leftOver(len(r.b) - r.at)
}

// peek passes over white space and returns the byte behind, 0 at the end.
func (r *jsonReader) peek() byte {
	for ; r.at < len(r.b); r.at++ {
		switch c := r.b[r.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// take passes over the byte c, which must be next.
func (r *jsonReader) take(c byte) error {
	if r.peek() != c || r.at == len(r.b) {
		return r.unexpected()
	}
	r.at++
	return nil
}

func (r *jsonReader) unexpected() error {
	if r.at >= len(r.b) {
		return errShort
	}
	return fmt.Errorf("%q at byte %d is no JSON", r.b[r.at], r.at)
}

func (r *jsonReader) read(t *token) error {
	switch c := r.peek(); {
	case c == '"':
		return r.text(t)
	case c == '[':
		r.at++
		t.kind, t.n = isList, -1
		return nil
	case c == '{':
		r.at++
		t.kind, t.n = isDict, -1
		return r.ref(t)
	case c == '-' || c >= '0' && c <= '9':
		return r.number(t)
	}
	for _, w := range jsonWords {
		if bytes.HasPrefix(r.b[r.at:], w.text) {
			r.at += len(w.text)
			t.kind, t.i = w.kind, w.i
			return nil
		}
	}
	return r.unexpected()
}

var jsonWords = []struct {
	text []byte
	kind kind
	i    int64
}{
	{[]byte("null"), isNull, 0},
	{[]byte("false"), isBool, 0},
	{[]byte("true"), isBool, 1},
}

// more looks for the end of a list or map, else for the comma before another element.
func (r *jsonReader) more(h head, i int) (bool, error) {
	end := byte(']')
	if h.kind == isDict {
		end = '}'
	}
	if r.peek() == end {
		r.at++
		return false, nil
	}
	if i == 0 {
		return true, nil
	}
	return true, r.take(',')
}

func (r *jsonReader) key(t *token) error {
	if r.peek() != '"' {
		return r.unexpected()
	}
	if err := r.text(t); err != nil {
		return err
	}
	if isEscaped(string(t.s)) {
		if len(t.s) == len(jsonRef) {
			return errors.New("a reference with more than its index")
		}
		t.s = t.s[1:]
	}
	return r.take(':')
}

// ref makes t a reference, if the object that has begun is one.
func (r *jsonReader) ref(t *token) error {
	if r.peek() != '"' {
		return nil
	}
	from := r.at
	if err := r.text(t); err != nil {
		return err
	}
	if string(t.s) != jsonRef {
		r.at = from
		t.kind = isDict
		return nil
	}
	if err := r.take(':'); err != nil {
		return err
	}
	if c := r.peek(); c < '0' || c > '9' {
		return errors.New("a reference without an index")
	}
	if err := r.number(t); err != nil {
		return err
	}
	if t.kind != isInt {
		return errors.New("a reference whose index is no whole number")
	}
	if err := t.setRef(uint64(t.i)); err != nil {
		return err
	}
	if r.peek() != '}' {
		return errors.New("a reference with more than its index")
	}
	r.at++
	return nil
}

// number reads a number. It is a whole one if it has no fraction and no exponent.
func (r *jsonReader) number(t *token) error {
	from := r.at
	if r.b[r.at] == '-' {
		r.at++
	}
	if first := r.at; r.digits() == 0 || r.b[first] == '0' && r.at > first+1 {
		return fmt.Errorf("no number at byte %d", from)
	}
	whole := true
	if r.at < len(r.b) && r.b[r.at] == '.' {
		whole = false
		if r.at++; r.digits() == 0 {
			return r.unexpected()
		}
	}
	if r.at < len(r.b) && r.b[r.at]|0x20 == 'e' {
		whole = false
		if r.at++; r.at < len(r.b) && (r.b[r.at] == '+' || r.b[r.at] == '-') {
			r.at++
		}
		if r.digits() == 0 {
			return r.unexpected()
		}
	}
	text := string(r.b[from:r.at])
	if whole {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			t.kind, t.i = isInt, i
			return nil
		}
		if u, err := strconv.ParseUint(text, 10, 64); err == nil {
			t.setUint(u)
			return nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && math.IsInf(f, 0) {
		return fmt.Errorf("the number %.40s is too large", r.b[from:r.at])
	}
	t.kind, t.f = isFloat, f
	return nil
}

// digits passes over digits and returns how many.
func (r *jsonReader) digits() int {
	from := r.at
	for r.at < len(r.b) && r.b[r.at] >= '0' && r.b[r.at] <= '9' {
		r.at++
	}
	return r.at - from
}

// text reads a string.
func (r *jsonReader) text(t *token) error {
	r.at++
	from := r.at
	for ; r.at < len(r.b); r.at++ {
		switch c := r.b[r.at]; {
		case c == '"':
			t.kind, t.s = isText, r.b[from:r.at]
			r.at++
			return checkUTF8(t.s)
		case c < ' ':
			return r.unexpected()
		case c == '\\':
			return r.escaped(t, from)
		}
	}
	return errShort
}

func checkUTF8(s []byte) error {
	if !utf8.Valid(s) {
		return errors.New("a string that is not UTF-8")
	}
	return nil
}

// escaped reads a string that has escapes.
func (r *jsonReader) escaped(t *token, from int) error {
	r.scratch = append(r.scratch[:0], r.b[from:r.at]...)
	for r.at < len(r.b) {
		c := r.b[r.at]
		if c < ' ' {
			return r.unexpected()
		}
		r.at++
		switch c {
		case '"':
			t.kind, t.s = isText, r.scratch
			return checkUTF8(t.s)
		case '\\':
			if err := r.escape(); err != nil {
				return err
			}
		default:
			r.scratch = append(r.scratch, c)
		}
	}
	return errShort
}

// escape reads what follows a backslash.
func (r *jsonReader) escape() error {
	const names, values = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if r.at == len(r.b) {
		return errShort
	}
	if i := bytes.IndexByte([]byte(names), r.b[r.at]); i >= 0 {
		r.scratch = append(r.scratch, values[i])
		r.at++
		return nil
	}
	c, err := r.unit()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(c) {
		if r.at == len(r.b) {
			return errShort
		}
		if r.b[r.at] != '\\' {
			return r.unexpected()
		}
		r.at++
		second, err := r.unit()
		if err != nil {
			return err
		}
		if c = utf16.DecodeRune(c, second); c == utf8.RuneError {
			return errors.New("a string with half a character")
		}
	}
	r.scratch = utf8.AppendRune(r.scratch, c)
	return nil
}

// unit reads u and four hexadecimal digits.
func (r *jsonReader) unit() (rune, error) {
	if len(r.b)-r.at < 5 {
		return 0, errShort
	}
	if r.b[r.at] != 'u' {
		return 0, r.unexpected()
	}
	n, err := strconv.ParseUint(string(r.b[r.at+1:r.at+5]), 16, 16)
	if err != nil {
		return 0, fmt.Errorf("no character at byte %d", r.at)
	}
	r.at += 5
	return rune(n), nil
}
