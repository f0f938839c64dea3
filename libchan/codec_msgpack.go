// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// Msgpack is the codec that channels have if they ask for no other: MessagePack, which is
// small and fast, in its shortest form. A reference is an extension of type 76.
var Msgpack Codec = newMsgpack("msgpack")

func newMsgpack(name string) *notation {
	return newNotation(name, false, func() writer { return new(msgpackWriter) }, func() reader { return new(msgpackReader) })
}

// The first byte of a value says what it is. Small ones have their number or their
// length in it.
const (
	mpPosFix  = 0x00 // to 7f: 0 to 127
	mpFixMap  = 0x80 // to 8f
	mpFixList = 0x90 // to 9f
	mpFixStr  = 0xa0 // to bf
	mpNil     = 0xc0
	mpFalse   = 0xc2
	mpTrue    = 0xc3
	mpBin     = 0xc4 // 8, 16 and 32 bits of length follow, each a code up
	mpExt     = 0xc7 // the same, then the type
	mpFloat32 = 0xca
	mpFloat64 = 0xcb
	mpUint    = 0xcc // 8, 16, 32 and 64 bits
	mpInt     = 0xd0 // the same
	mpFixExt  = 0xd4 // 1, 2, 4, 8 and 16 bytes
	mpStr     = 0xd9 // 8, 16 and 32 bits of length
	mpList    = 0xdc // 16 and 32
	mpMap     = 0xde // 16 and 32
	mpNegFix  = 0xe0 // to ff: -32 to -1

	extTime = 0xff // -1, MessagePack's own
	extRef  = 76   // its index in 1, 2 or 4 bytes
)

type msgpackWriter struct{ b []byte }

func (w *msgpackWriter) reset(b []byte) { w.b = b }

// done refuses what has lengths that a head does not hold.
func (w *msgpackWriter) done() ([]byte, error) {
	if n := uint64(len(w.b)); n > math.MaxUint32 {
		return nil, fmt.Errorf("a message of %d bytes, which MessagePack cannot have", n)
	}
	return w.b, nil
}

func (w *msgpackWriter) null() { w.b = append(w.b, mpNil) }

func (w *msgpackWriter) boolean(v bool) {
	if v {
		w.b = append(w.b, mpTrue)
	} else {
		w.b = append(w.b, mpFalse)
	}
}

func (w *msgpackWriter) signed(v int64) {
	switch {
	case v >= 0:
		w.unsigned(uint64(v))
	case v >= -32:
		w.b = append(w.b, byte(v))
	case v >= math.MinInt8:
		w.b = append(w.b, mpInt, byte(v))
	case v >= math.MinInt16:
		w.b = binary.BigEndian.AppendUint16(append(w.b, mpInt+1), uint16(v))
	case v >= math.MinInt32:
		w.b = binary.BigEndian.AppendUint32(append(w.b, mpInt+2), uint32(v))
	default:
		w.b = binary.BigEndian.AppendUint64(append(w.b, mpInt+3), uint64(v))
	}
}

func (w *msgpackWriter) unsigned(v uint64) {
	switch {
	case v < mpFixMap:
		w.b = append(w.b, byte(v))
	case v <= math.MaxUint32:
		w.sized(mpUint, v)
	default:
		w.b = binary.BigEndian.AppendUint64(append(w.b, mpUint+3), v)
	}
}

// sized appends a code and n in 8, 16 or 32 bits: the codes for those follow each other.
func (w *msgpackWriter) sized(code byte, n uint64) {
	switch {
	case n <= math.MaxUint8:
		w.b = append(w.b, code, byte(n))
	case n <= math.MaxUint16:
		w.b = binary.BigEndian.AppendUint16(append(w.b, code+1), uint16(n))
	default:
		w.b = binary.BigEndian.AppendUint32(append(w.b, code+2), uint32(n))
	}
}

func (w *msgpackWriter) float(v float64, bits int) error {
	if bits == 32 {
		w.b = binary.BigEndian.AppendUint32(append(w.b, mpFloat32), math.Float32bits(float32(v)))
	} else {
		w.b = binary.BigEndian.AppendUint64(append(w.b, mpFloat64), math.Float64bits(v))
	}
	return nil
}

func (w *msgpackWriter) text(v string) error {
	if len(v) < 32 {
		w.b = append(w.b, mpFixStr|byte(len(v)))
	} else {
		w.sized(mpStr, uint64(len(v)))
	}
	w.b = append(w.b, v...)
	return nil
}

func (w *msgpackWriter) key(v string) error { return w.text(v) }

func (w *msgpackWriter) bytes(v []byte) {
	w.sized(mpBin, uint64(len(v)))
	w.b = append(w.b, v...)
}

func (w *msgpackWriter) time(v time.Time) error {
	sec, nsec := v.Unix(), v.Nanosecond()
	switch {
	case sec >= 0 && sec <= math.MaxUint32 && nsec == 0:
		w.b = binary.BigEndian.AppendUint32(append(w.b, mpFixExt+2, extTime), uint32(sec))
	case sec >= 0 && sec < 1<<34:
		w.b = binary.BigEndian.AppendUint64(append(w.b, mpFixExt+3, extTime), uint64(nsec)<<34|uint64(sec))
	default:
		w.b = binary.BigEndian.AppendUint32(append(w.b, mpExt, 12, extTime), uint32(nsec))
		w.b = binary.BigEndian.AppendUint64(w.b, uint64(sec))
	}
	return nil
}

func (w *msgpackWriter) ref(index int) {
	switch {
	case index <= math.MaxUint8:
		w.b = append(w.b, mpFixExt, extRef, byte(index))
	case index <= math.MaxUint16:
		w.b = binary.BigEndian.AppendUint16(append(w.b, mpFixExt+1, extRef), uint16(index))
	default:
		w.b = binary.BigEndian.AppendUint32(append(w.b, mpFixExt+2, extRef), uint32(index))
	}
}

func (w *msgpackWriter) list(n int) { w.head(mpFixList, mpList, n) }

func (w *msgpackWriter) dict(n int) { w.head(mpFixMap, mpMap, n) }

func (w *msgpackWriter) head(fix, code byte, n int) {
	switch {
	case n < 16:
		w.b = append(w.b, fix|byte(n))
	case n <= math.MaxUint16:
		w.b = binary.BigEndian.AppendUint16(append(w.b, code), uint16(n))
	default:
		w.b = binary.BigEndian.AppendUint32(append(w.b, code+1), uint32(n))
	}
}

func (*msgpackWriter) endList() {}

func (*msgpackWriter) endDict() {}

type msgpackReader struct {
	b    []byte
	free int // how many elements lists and maps may still claim: each takes a byte at least
}

func (r *msgpackReader) reset(data []byte) error {
	r.b, r.free = data, len(data)
	return nil
}

func (r *msgpackReader) done() error { return leftOver(len(r.b)) }

func leftOver(n int) error {
	if n > 0 {
		return fmt.Errorf("%d bytes follow the message", n)
	}
	return nil
}

func (r *msgpackReader) key(t *token) error { return r.read(t) }

func (*msgpackReader) more(h head, i int) (bool, error) { return i < h.n, nil }

var errShort = errors.New("the message is cut off")

func (r *msgpackReader) read(t *token) error {
	if len(r.b) == 0 {
		return errShort
	}
	c := r.b[0]
	r.b = r.b[1:]
	switch {
	case c < mpFixMap:
		t.kind, t.i = isInt, int64(c)
	case c >= mpNegFix:
		t.kind, t.i = isInt, int64(int8(c))
	case c < mpFixList:
		return r.elements(t, isDict, uint64(c&0xf), 2)
	case c < mpFixStr:
		return r.elements(t, isList, uint64(c&0xf), 1)
	case c < mpNil:
		return r.content(t, isText, uint64(c&0x1f))
	default:
		return r.coded(t, c)
	}
	return nil
}

// coded reads what has a code from c0 to df.
func (r *msgpackReader) coded(t *token, c byte) error {
	switch {
	case c == mpNil:
		t.kind = isNull
		return nil
	case c == mpFalse, c == mpTrue:
		t.setBool(c == mpTrue)
		return nil
	case c >= mpFixExt && c < mpStr:
		return r.extension(t, 1<<(c-mpFixExt))
	case c >= mpFloat32 && c < mpFixExt:
		return r.number(t, c)
	}
	var width int
	switch {
	case c >= mpBin && c < mpFloat32: // bin and ext
		width = 1 << ((c - mpBin) % 3)
	case c >= mpStr && c < mpList:
		width = 1 << (c - mpStr)
	case c >= mpList:
		width = 2 << ((c - mpList) % 2)
	default:
		return fmt.Errorf("no value begins with the byte %02x", c)
	}
	n, err := r.fixed(width)
	switch {
	case err != nil:
		return err
	case c < mpExt:
		return r.content(t, isBytes, n)
	case c < mpFloat32:
		return r.extension(t, n)
	case c < mpList:
		return r.content(t, isText, n)
	case c < mpMap:
		return r.elements(t, isList, n, 1)
	}
	return r.elements(t, isDict, n, 2)
}

// fixed reads a number of 1, 2, 4 or 8 bytes.
func (r *msgpackReader) fixed(width int) (uint64, error) {
	if len(r.b) < width {
		return 0, errShort
	}
	n := bigEndian(r.b[:width])
	r.b = r.b[width:]
	return n, nil
}

func bigEndian(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

// number reads a number with a code from ca to d3.
func (r *msgpackReader) number(t *token, c byte) error {
	width := 1 << (c & 3) // right for whole ones
	switch c {
	case mpFloat32:
		width = 4
	case mpFloat64:
		width = 8
	}
	n, err := r.fixed(width)
	switch {
	case err != nil:
		return err
	case c == mpFloat32:
		t.kind, t.f = isFloat, float64(math.Float32frombits(uint32(n)))
	case c == mpFloat64:
		t.kind, t.f = isFloat, math.Float64frombits(n)
	case c < mpInt:
		t.setUint(n)
	default:
		shift := 64 - 8*width
		t.kind, t.i = isInt, int64(n<<shift)>>shift
	}
	return nil
}

// elements makes t the head of a list or map whose elements take a byte or two at least. So
// heads that lie together claim no more than the message has, and little is made for them.
func (r *msgpackReader) elements(t *token, k kind, n, least uint64) error {
	if n > uint64(min(r.free, len(r.b)))/least {
		return fmt.Errorf("%s of %d elements, for which the message is too short", k, n)
	}
	r.free -= int(n * least)
	t.kind, t.n = k, int(n)
	return nil
}

// content makes t a string or bytes.
func (r *msgpackReader) content(t *token, k kind, n uint64) error {
	if n > uint64(len(r.b)) {
		return errShort
	}
	t.kind, t.s = k, r.b[:n:n]
	r.b = r.b[n:]
	return nil
}

// extension reads a type and n bytes.
func (r *msgpackReader) extension(t *token, n uint64) error {
	ext, err := r.fixed(1)
	if err == nil {
		err = r.content(t, isOther, n)
	}
	if err != nil {
		return err
	}
	switch ext {
	case extRef:
		if n != 1 && n != 2 && n != 4 {
			return fmt.Errorf("a reference of %d bytes", n)
		}
		return t.setRef(bigEndian(t.s))
	case extTime:
		return timestamp(t)
	}
	return nil
}

// timestamp makes t the time in its bytes.
func timestamp(t *token) error {
	var sec, nsec uint64
	switch len(t.s) {
	case 4:
		sec = bigEndian(t.s)
	case 8:
		n := bigEndian(t.s)
		sec, nsec = n&(1<<34-1), n>>34
	case 12:
		sec, nsec = bigEndian(t.s[4:]), bigEndian(t.s[:4])
	default:
		return fmt.Errorf("a time of %d bytes", len(t.s))
	}
	if nsec >= 1e9 {
		return fmt.Errorf("a time with %d nanoseconds", nsec)
	}
	t.kind, t.t = isTime, time.Unix(int64(sec), int64(nsec)).UTC()
	return nil
}
