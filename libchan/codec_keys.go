// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
)

// A keyCoder walks through keys of maps: strings, numbers and booleans, and types that
// know their text.
type keyCoder struct {
	typ  reflect.Type
	kind reflect.Kind // Invalid if it cannot be a key in a message
	text bool
}

func (pl planner) keyOf(t reflect.Type) keyCoder {
	c := keyCoder{t, t.Kind(), does(t, knowsText)}
	switch t.Kind() {
	case reflect.Complex64, reflect.Complex128, reflect.Array, reflect.Struct, reflect.Pointer, reflect.Chan:
		c.kind = reflect.Invalid
	case reflect.Interface:
		if t.NumMethod() > 0 {
			c.kind = reflect.Invalid
		}
	}
	return c
}

func (c keyCoder) encode(e *encoder, v reflect.Value) error {
	if c.text {
		text, err := pointerTo(v).(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return err
		}
		return e.key(string(text))
	}
	switch c.kind {
	case reflect.Invalid:
		return c.refused()
	case reflect.Interface:
		if v.IsNil() {
			return fmt.Errorf("nil cannot be the key of a map in a message")
		}
		return planner{}.keyOf(v.Elem().Type()).encode(e, v.Elem())
	case reflect.String:
		return e.key(v.String())
	}
	if e.textual {
		return e.key(quote(v))
	}
	return scalar(c.kind).encode(e, v)
}

// quote returns a key that is a number or a boolean as a string.
func quote(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10)
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10)
	}
	return strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits())
}

func (c keyCoder) refused() error {
	return fmt.Errorf("the keys of a map in a message are strings, numbers or booleans, not %s", c.typ)
}

func (c keyCoder) decode(d *decoder, v reflect.Value) error {
	switch {
	case c.text:
		if d.tok.kind != isText {
			return d.wanted("a string")
		}
		return pointerTo(v).(encoding.TextUnmarshaler).UnmarshalText(d.tok.s)
	case c.kind == reflect.Invalid:
		return c.refused()
	case c.kind == reflect.Interface:
		v.Set(reflect.ValueOf(d.scalar()))
		return nil
	case d.textual && c.kind != reflect.String:
		d.unquote(c.kind)
	}
	return scalar(c.kind).decode(d, v)
}

// unquote makes the key, which is text, the token that is wanted, if it is one.
func (d *decoder) unquote(wanted reflect.Kind) {
	s := string(d.tok.s)
	if wanted == reflect.Bool {
		if s == "true" || s == "false" {
			d.tok.setBool(s == "true")
		}
	} else if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		d.tok.kind, d.tok.i = isInt, i
	} else if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		d.tok.setUint(u)
	} else if f, err := strconv.ParseFloat(s, 64); err == nil {
		d.tok.kind, d.tok.f = isFloat, f
	}
}

// scalar returns the coder of a kind of key.
func scalar(k reflect.Kind) coder {
	switch k {
	case reflect.Bool:
		return boolCoder{}
	case reflect.Float32:
		return floatCoder{32}
	case reflect.Float64:
		return floatCoder{64}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return intCoder{}
	case reflect.String:
		return stringCoder{}
	}
	return uintCoder{}
}
