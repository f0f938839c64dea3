// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// JSON is the codec for ends that a person, or a program in another language, reads along
// with. Bytes are strings in base 64, and times are strings as RFC 3339 has them, so what
// is received into an any has strings there. A reference is {"$libchan": index}; a key
// that looks like that one has a $ more.
var JSON Codec = newNotation("json", true,
	func() writer { return new(jsonWriter) },
	func() reader { return new(jsonReader) })

// jsonRef is the key of the only pair of an object that is a reference.
const jsonRef = "$libchan"

// isEscaped tells whether a key is jsonRef or has more of its first character.
func isEscaped(key string) bool {
	return strings.HasPrefix(key, "$") && strings.TrimLeft(key, "$") == jsonRef[1:]
}

type jsonWriter struct {
	b     []byte
	comma bool // before what is next
}

func (w *jsonWriter) reset(b []byte) { w.b, w.comma = b, false }

func (w *jsonWriter) done() ([]byte, error) { return w.b, nil }

// before appends the comma that parts a value from the one before.
func (w *jsonWriter) before() []byte {
	if w.comma {
		w.b = append(w.b, ',')
	}
	w.comma = true
	return w.b
}

func (w *jsonWriter) null() { w.b = append(w.before(), "null"...) }

func (w *jsonWriter) boolean(v bool) { w.b = strconv.AppendBool(w.before(), v) }

func (w *jsonWriter) signed(v int64) { w.b = strconv.AppendInt(w.before(), v, 10) }

func (w *jsonWriter) unsigned(v uint64) { w.b = strconv.AppendUint(w.before(), v, 10) }

// float writes a number that can be told from a whole one: 1.0.
func (w *jsonWriter) float(v float64, bits int) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("JSON has no number %v", v)
	}
	from := len(w.before())
	w.b = strconv.AppendFloat(w.b, v, 'g', -1, bits)
	if !strings.ContainsAny(string(w.b[from:]), ".e") {
		w.b = append(w.b, ".0"...)
	}
	return nil
}

func (w *jsonWriter) text(v string) error {
	b, err := appendQuoted(w.before(), v)
	w.b = b
	return err
}

func (w *jsonWriter) key(v string) error {
	if isEscaped(v) {
		v = "$" + v
	}
	b, err := appendQuoted(w.before(), v)
	w.b, w.comma = append(b, ':'), false
	return err
}

func (*jsonWriter) bytes([]byte) { panic("bytes are text in JSON") }

func (*jsonWriter) time(time.Time) error { panic("times are text in JSON") }

func (w *jsonWriter) ref(index int) {
	w.b = append(w.before(), `{"`+jsonRef+`":`...)
	w.b = append(strconv.AppendInt(w.b, int64(index), 10), '}')
}

func (w *jsonWriter) list(int) { w.b, w.comma = append(w.before(), '['), false }

func (w *jsonWriter) endList() { w.b, w.comma = append(w.b, ']'), true }

func (w *jsonWriter) dict(int) { w.b, w.comma = append(w.before(), '{'), false }

func (w *jsonWriter) endDict() { w.b, w.comma = append(w.b, '}'), true }

// appendQuoted appends a string with the escapes that JSON asks for, and no others.
func appendQuoted(b []byte, s string) ([]byte, error) {
	const hex = "0123456789abcdef"
	if !utf8.ValidString(s) {
		return b, fmt.Errorf("the string %q is not UTF-8, as JSON's are", s)
	}
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&0xf])
		}
	}
	return append(append(b, s[from:]...), '"'), nil
}
