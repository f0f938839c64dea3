// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"
)

type boolCoder struct{}

func (boolCoder) encode(e *encoder, v reflect.Value) error {
	e.boolean(v.Bool())
	return nil
}

func (boolCoder) decode(d *decoder, v reflect.Value) error {
	switch d.tok.kind {
	case isBool:
		v.SetBool(d.tok.i != 0)
	case isNull:
	default:
		return d.wanted("a boolean")
	}
	return nil
}

type intCoder struct{}

func (intCoder) encode(e *encoder, v reflect.Value) error {
	e.signed(v.Int())
	return nil
}

func (intCoder) decode(d *decoder, v reflect.Value) error {
	switch d.tok.kind {
	case isInt:
		if v.OverflowInt(d.tok.i) {
			return errFit(d.tok.i, v)
		}
		v.SetInt(d.tok.i)
	case isUint:
		return errFit(d.tok.u, v)
	case isNull:
	default:
		return d.wantedWhole(v)
	}
	return nil
}

type uintCoder struct{}

func (uintCoder) encode(e *encoder, v reflect.Value) error {
	e.unsigned(v.Uint())
	return nil
}

func (uintCoder) decode(d *decoder, v reflect.Value) error {
	u := d.tok.u
	switch d.tok.kind {
	case isInt:
		if d.tok.i < 0 {
			return errFit(d.tok.i, v)
		}
		u = uint64(d.tok.i)
	case isUint:
	case isNull:
		return nil
	default:
		return d.wantedWhole(v)
	}
	if v.OverflowUint(u) {
		return errFit(u, v)
	}
	v.SetUint(u)
	return nil
}

// wantedWhole is the error about a token that is no whole number, or one that is so large
// that text has it as a float.
func (d *decoder) wantedWhole(v reflect.Value) error {
	if f := d.tok.f; d.tok.kind == isFloat && f == math.Trunc(f) && math.Abs(f) >= 1<<63 {
		return errFit(f, v)
	}
	return d.wanted("a whole number")
}

func errFit(n any, v reflect.Value) error { return fmt.Errorf("%v does not fit %s", n, v.Type()) }

type floatCoder struct{ bits int }

func (c floatCoder) encode(e *encoder, v reflect.Value) error { return e.float(v.Float(), c.bits) }

func (c floatCoder) decode(d *decoder, v reflect.Value) error {
	f := d.tok.f
	switch d.tok.kind {
	case isFloat:
	case isInt:
		f = float64(d.tok.i)
	case isUint:
		f = float64(d.tok.u)
	case isNull:
		return nil
	default:
		return d.wanted("a number")
	}
	// A decimal of the largest float32 may be a little above it.
	if c.bits == 32 && math.IsInf(float64(float32(f)), 0) && !math.IsInf(f, 0) {
		return errFit(f, v)
	}
	v.SetFloat(f)
	return nil
}

type stringCoder struct{}

func (stringCoder) encode(e *encoder, v reflect.Value) error { return e.text(v.String()) }

func (stringCoder) decode(d *decoder, v reflect.Value) error {
	switch d.tok.kind {
	case isText:
		v.SetString(string(d.tok.s))
	case isNull:
	default:
		return d.wanted("a string")
	}
	return nil
}

// A bytesCoder is that of slices and arrays of bytes.
type bytesCoder struct {
	list *listCoder // how they may come, too
}

func (c *bytesCoder) encode(e *encoder, v reflect.Value) error {
	if v.Kind() == reflect.Slice {
		if v.IsNil() {
			e.null()
			return nil
		}
	} else if !v.CanAddr() {
		v = addressable(v)
	}
	return e.blob(v.Bytes())
}

func (c *bytesCoder) decode(d *decoder, v reflect.Value) error {
	if d.tok.kind == isList || d.tok.kind == isNull {
		return c.list.decode(d, v)
	}
	b, err := d.blob()
	if err != nil {
		return err
	}
	if v.Kind() == reflect.Array {
		if len(b) != v.Len() {
			return fmt.Errorf("%d bytes where %d are wanted", len(b), v.Len())
		}
		reflect.Copy(v, reflect.ValueOf(b))
		return nil
	}
	v.SetBytes(append(make([]byte, 0, len(b)), b...))
	return nil
}

// blob writes bytes; text has them in base 64.
func (e *encoder) blob(b []byte) error {
	if !e.textual {
		e.bytes(b)
		return nil
	}
	return e.text(base64.StdEncoding.EncodeToString(b))
}

// blob returns the bytes that the current token is. They are the reader's.
func (d *decoder) blob() ([]byte, error) {
	switch {
	case d.tok.kind == isBytes:
		return d.tok.s, nil
	case d.tok.kind == isText && d.textual:
		b, err := base64.StdEncoding.AppendDecode(nil, d.tok.s)
		if err != nil {
			return nil, errors.New("a string that is not base 64 where bytes are wanted")
		}
		return b, nil
	}
	return nil, d.wanted("a list of bytes")
}

// A timeCoder writes the instant; where the clock that told it stood does not travel.
type timeCoder struct{}

func (timeCoder) encode(e *encoder, v reflect.Value) error {
	var t time.Time
	if v.CanAddr() { // then Interface would make a copy
		t = *v.Addr().Interface().(*time.Time)
	} else {
		t = v.Interface().(time.Time)
	}
	t = t.UTC()
	if !e.textual {
		return e.time(t)
	}
	text, err := t.MarshalText()
	if err != nil {
		return err
	}
	return e.text(string(text))
}

func (timeCoder) decode(d *decoder, v reflect.Value) error {
	t := d.tok.t
	switch {
	case d.tok.kind == isTime:
	case d.tok.kind == isText && d.textual:
		if err := t.UnmarshalText(d.tok.s); err != nil {
			return err
		}
	case d.tok.kind == isNull:
		return nil
	default:
		return d.wanted("a time")
	}
	*pointerTo(v).(*time.Time) = t.UTC()
	return nil
}

// addressable returns a copy of v that has an address.
func addressable(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	return c
}
