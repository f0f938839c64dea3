// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"encoding"
	"reflect"

	"google.golang.org/protobuf/proto"
)

// A protoCoder is that of protobuf messages: the bytes that protobuf makes of them.
type protoCoder struct{}

func (protoCoder) encode(e *encoder, v reflect.Value) error {
	b, err := proto.Marshal(pointerTo(v).(proto.Message))
	if err != nil {
		return err
	}
	return e.blob(b)
}

func (protoCoder) decode(d *decoder, v reflect.Value) error {
	if d.tok.kind == isNull {
		return nil
	}
	b, err := d.blob()
	if err != nil {
		return err
	}
	return proto.Unmarshal(b, pointerTo(v).(proto.Message))
}

// A marshalerCoder is that of types that know their bytes, their text, or both; bytes are
// preferred but in text.
type marshalerCoder struct{ binary, text bool }

func (c *marshalerCoder) encode(e *encoder, v reflect.Value) error {
	if p := pointerTo(v); c.text && (e.textual || !c.binary) {
		b, err := p.(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return err
		}
		return e.text(string(b))
	} else {
		b, err := p.(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			return err
		}
		return e.blob(b)
	}
}

func (c *marshalerCoder) decode(d *decoder, v reflect.Value) error {
	switch {
	case d.tok.kind == isNull:
		return nil
	case d.tok.kind == isText && c.text:
		return pointerTo(v).(encoding.TextUnmarshaler).UnmarshalText(d.tok.s)
	case !c.binary:
		return d.wanted("a string")
	}
	b, err := d.blob()
	if err != nil {
		return err
	}
	return pointerTo(v).(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
}

// pointerTo returns a pointer to v, or to a copy of it if it has no address.
func pointerTo(v reflect.Value) any {
	if !v.CanAddr() {
		v = addressable(v)
	}
	return v.Addr().Interface()
}
