// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"reflect"
)

// A pointerCoder writes what is pointed to.
type pointerCoder struct{ elem *plan }

func (c *pointerCoder) encode(e *encoder, v reflect.Value) error {
	if v.IsNil() {
		e.null()
		return nil
	}
	if e.depth++; e.depth > maxDepth {
		return errDepth
	}
	err := c.elem.encode(e, v.Elem())
	e.depth--
	return err
}

func (c *pointerCoder) decode(d *decoder, v reflect.Value) error {
	if d.tok.kind == isNull {
		v.SetZero()
		return nil
	}
	if d.depth++; d.depth > maxDepth {
		return errDepth
	}
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	err := c.elem.decode(d, v.Elem())
	d.depth--
	return err
}

// A listCoder is that of slices and arrays.
type listCoder struct {
	typ  reflect.Type
	elem *plan
}

func (c *listCoder) encode(e *encoder, v reflect.Value) error {
	if c.typ.Kind() == reflect.Slice && v.IsNil() {
		e.null()
		return nil
	}
	if e.depth++; e.depth > maxDepth {
		return errDepth
	}
	n := v.Len()
	e.list(n)
	for i := range n {
		if err := c.elem.encode(e, v.Index(i)); err != nil {
			return withinIndex(i, err)
		}
	}
	e.endList()
	e.depth--
	return nil
}

func (c *listCoder) decode(d *decoder, v reflect.Value) error {
	switch d.tok.kind {
	case isNull:
		if c.typ.Kind() == reflect.Slice {
			v.SetZero()
		}
		return nil
	case isList:
	default:
		return d.wanted("a list")
	}
	isSlice, n := c.typ.Kind() == reflect.Slice, 0
	if isSlice {
		// A new one: the old elements may be in use, and what they have must not shine
		// through. It grows as elements come, if the head claims much.
		v.Set(reflect.MakeSlice(c.typ, 0, room(d.tok.n, c.typ.Elem())))
	}
	err := d.list(func(i int) error {
		if n++; isSlice {
			if n > v.Cap() {
				v.Grow(1)
			}
			v.SetLen(n)
		} else if n > v.Len() {
			return fmt.Errorf("one more than the %d elements that are wanted", i)
		}
		return c.elem.decode(d, v.Index(i))
	})
	if err == nil && n != v.Len() {
		err = fmt.Errorf("a list of %d where %d are wanted", n, v.Len())
	}
	return err
}

// room returns for how many of n elements there is room to be made at once.
func room(n int, elem reflect.Type) int {
	const most = 64 << 10
	return max(0, min(n, most/max(1, int(elem.Size()))))
}

// A mapCoder is that of maps.
type mapCoder struct {
	typ  reflect.Type
	key  keyCoder
	elem *plan
}

func (c *mapCoder) encode(e *encoder, v reflect.Value) error {
	if v.IsNil() {
		e.null()
		return nil
	}
	if e.depth++; e.depth > maxDepth {
		return errDepth
	}
	e.dict(v.Len())
	key, elem := reflect.New(c.typ.Key()).Elem(), reflect.New(c.typ.Elem()).Elem()
	for iter := v.MapRange(); iter.Next(); {
		key.SetIterKey(iter)
		if err := c.key.encode(e, key); err != nil {
			return withinKey(key.Interface(), err)
		}
		elem.SetIterValue(iter)
		if err := c.elem.encode(e, elem); err != nil {
			return withinKey(key.Interface(), err)
		}
	}
	e.endDict()
	e.depth--
	return nil
}

func (c *mapCoder) decode(d *decoder, v reflect.Value) error {
	switch d.tok.kind {
	case isNull:
		v.SetZero()
		return nil
	case isDict:
	default:
		return d.wanted("a map")
	}
	into := v
	if into.Len() > 0 || into.IsNil() { // a key that stands twice is found in a map that was empty
		into = reflect.MakeMapWithSize(c.typ, room(d.tok.n, c.typ.Elem()))
	}
	key, elem := reflect.New(c.typ.Key()).Elem(), reflect.New(c.typ.Elem()).Elem()
	err := d.dict(func() error {
		key.SetZero()
		return c.key.decode(d, key)
	}, func(i int) error {
		elem.SetZero()
		if err := c.elem.decode(d, elem); err != nil {
			return withinKey(key.Interface(), err)
		}
		if into.SetMapIndex(key, elem); into.Len() == i {
			return withinKey(key.Interface(), errTwice)
		}
		return nil
	})
	if err == nil {
		c.merge(v, into)
	}
	return err
}

// merge puts what has been decoded into the map that is there.
func (c *mapCoder) merge(v, decoded reflect.Value) {
	if v.IsNil() {
		v.Set(decoded)
		return
	}
	if v.Pointer() == decoded.Pointer() {
		return
	}
	for iter := decoded.MapRange(); iter.Next(); {
		v.SetMapIndex(iter.Key(), iter.Value())
	}
}
