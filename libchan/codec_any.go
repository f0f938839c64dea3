// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import "reflect"

var anyType = reflect.TypeFor[any]()

// An interfaceCoder writes what is in an interface.
type interfaceCoder struct {
	typ     reflect.Type
	empty   bool // any
	carried bool // what it holds travels beside the message
}

func (c *interfaceCoder) encode(e *encoder, v reflect.Value) error {
	if c.carried && !c.empty && !v.IsNil() {
		if done, err := e.add(v); done || err != nil {
			return err
		}
	}
	return e.any(v.Elem())
}

// any writes a value of any type. Of nil v is the zero Value.
func (e *encoder) any(v reflect.Value) error {
	if !v.IsValid() {
		e.null()
		return nil
	}
	return e.planOf(v.Type()).encode(e, v)
}

func (c *interfaceCoder) decode(d *decoder, v reflect.Value) error {
	switch {
	case d.tok.kind == isNull:
		v.SetZero()
		return nil
	case d.tok.kind == isRef && (c.empty || c.carried):
		got, err := d.get(c.typ)
		if err != nil {
			return err
		}
		v.Set(got)
		return nil
	case !c.empty:
		return d.wanted(c.typ.String())
	}
	x, err := d.any()
	if err != nil {
		return err
	}
	v.Set(reflect.ValueOf(x))
	return nil
}

// any returns the value that begins with the current token: nil, bool, int64, or uint64
// if it is larger, float64, string, []byte, time.Time, []any, map[string]any, or
// map[any]any if some keys are no strings; or what travels beside the message.
func (d *decoder) any() (any, error) {
	switch d.tok.kind {
	case isRef:
		got, err := d.get(anyType)
		if err != nil {
			return nil, err
		}
		return got.Interface(), nil
	case isOther:
		return nil, d.wanted("a value")
	case isList, isDict:
	default:
		return d.scalar(), nil
	}
	if d.tok.kind == isList {
		return d.anyList()
	}
	return d.anyMap()
}

// scalar returns the value that the current token is.
func (d *decoder) scalar() any {
	switch t := &d.tok; t.kind {
	case isBool:
		return t.i != 0
	case isInt:
		return t.i
	case isUint:
		return t.u
	case isFloat:
		return t.f
	case isText:
		return string(t.s)
	case isBytes:
		return append(make([]byte, 0, len(t.s)), t.s...)
	case isTime:
		return t.t
	}
	return nil
}

func (d *decoder) anyList() (any, error) {
	list := make([]any, 0, room(d.tok.n, anyType))
	err := d.list(func(int) error {
		x, err := d.any()
		list = append(list, x)
		return err
	})
	return list, err
}

func (d *decoder) anyMap() (any, error) {
	named := make(map[string]any, room(d.tok.n, anyType))
	var other map[any]any // instead of named, once there is a key that is no string
	var key any
	err := d.dict(func() error {
		key = d.scalar()
		return nil
	}, func(i int) error {
		x, err := d.any()
		if err != nil {
			return withinKey(key, err)
		}
		name, isName := key.(string)
		if other == nil && !isName {
			other = make(map[any]any)
			for name, x := range named {
				other[name] = x
			}
		}
		if other != nil {
			other[key] = x
		} else {
			named[name] = x
		}
		if i == max(len(named), len(other)) { // the keys before and no more
			return withinKey(key, errTwice)
		}
		return nil
	})
	if other != nil {
		return other, err
	}
	return named, err
}

// skip passes over the value that begins with the current token.
func (d *decoder) skip() error {
	elem := func(int) error { return d.skip() }
	switch d.tok.kind {
	case isList:
		return d.list(elem)
	case isDict:
		return d.dict(func() error { return nil }, elem)
	}
	return nil
}
