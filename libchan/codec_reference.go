// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"reflect"
)

// A refCoder is that of types of which some values, or all, travel beside the message.
type refCoder struct {
	typ   reflect.Type
	other coder // what does not
}

func (c *refCoder) encode(e *encoder, v reflect.Value) error {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		e.null()
		return nil
	}
	if done, err := e.add(v); done || err != nil {
		return err
	}
	if v.IsZero() {
		e.null()
		return nil
	}
	return c.other.encode(e, v)
}

func (c *refCoder) decode(d *decoder, v reflect.Value) error {
	switch d.tok.kind {
	case isRef:
	case isNull:
		v.SetZero()
		return nil
	default:
		other := c.other
		if p, ok := other.(*pointerCoder); ok {
			other = p.elem.coder
		}
		if _, never := other.(refusedCoder); never {
			return d.wanted(c.typ.String())
		}
		return c.other.decode(d, v)
	}
	// A struct that is carried because of what it embeds cannot be got; that can.
	if s, ok := c.other.(*structCoder); ok && len(s.fields) == 1 && embeds(c.typ, d.refs.Carries) {
		return s.fields[0].decodeIn(d, v)
	}
	got, err := d.get(c.typ)
	if err == nil {
		v.Set(got)
	}
	return err
}

// add puts v beside the message, if it is of what goes there, and refers to it.
func (e *encoder) add(v reflect.Value) (done bool, err error) {
	index, ok, err := e.refs.Add(v)
	if err != nil || !ok {
		return false, err
	}
	e.ref(index)
	return true, nil
}

// get returns what the current token, a reference, refers to.
func (d *decoder) get(t reflect.Type) (reflect.Value, error) {
	got, err := d.refs.Get(d.tok.n, t)
	switch {
	case err != nil:
		return got, err
	case !got.IsValid() || !got.Type().AssignableTo(t):
		return got, fmt.Errorf("what travels beside the message cannot be %s", t)
	}
	return got, nil
}
