// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"errors"
	"fmt"
	"reflect"
)

// A structCoder writes a struct as a map from names to fields.
type structCoder struct {
	fields   []*field
	byName   map[string]int
	optional bool // some fields are left out at times
}

func (pl planner) structOf(t reflect.Type) *structCoder {
	c := &structCoder{byName: make(map[string]int), fields: pl.fieldsOf(t)}
	for i, f := range c.fields {
		c.byName[f.name] = i
		c.optional = c.optional || f.omitEmpty || len(f.index) > 1
	}
	return c
}

func (c *structCoder) encode(e *encoder, v reflect.Value) error {
	if e.depth++; e.depth > maxDepth {
		return errDepth
	}
	n := len(c.fields)
	if c.optional {
		n = 0
		for _, f := range c.fields {
			if _, there := f.of(v); there {
				n++
			}
		}
	}
	e.dict(n)
	for _, f := range c.fields {
		fv, there := f.of(v)
		if !there {
			continue
		}
		if err := e.key(f.name); err != nil {
			return err
		}
		if err := f.encode(e, fv); err != nil {
			return withinField(f.name, err)
		}
	}
	e.endDict()
	e.depth--
	return nil
}

// of returns the field of a struct. It is not there if it is empty and may be left out,
// or in an embedded struct that a nil pointer embeds.
func (f *field) of(v reflect.Value) (fv reflect.Value, there bool) {
	if len(f.index) == 1 {
		fv = v.Field(f.index[0])
	} else {
		for i, at := range f.index {
			if i > 0 && v.Kind() == reflect.Pointer {
				if v.IsNil() {
					return v, false
				}
				v = v.Elem()
			}
			v = v.Field(at)
		}
		fv = v
	}
	return fv, !f.omitEmpty || !isEmpty(fv)
}

// isEmpty tells what omitempty leaves out: zero values, also whole structs, and what has
// no elements.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	return v.IsZero()
}

func (c *structCoder) decode(d *decoder, v reflect.Value) error {
	switch d.tok.kind {
	case isNull: // as if it were not there
		return nil
	case isDict:
	default:
		return d.wanted("a struct")
	}
	var seen fieldSet
	at, known := -1, false
	return d.dict(func() error {
		next := at + 1 // mostly the order is that of the fields
		if known = d.tok.kind == isText; !known {
			return nil
		}
		if next < len(c.fields) && c.fields[next].name == string(d.tok.s) {
			at = next
			return nil
		}
		at, known = c.byName[string(d.tok.s)]
		return nil
	}, func(int) error {
		if !known {
			return d.skip()
		}
		f := c.fields[at]
		if seen.add(at) {
			return withinField(f.name, errTwice)
		}
		if err := f.decodeIn(d, v); err != nil {
			return withinField(f.name, err)
		}
		return nil
	})
}

var errTwice = errors.New("it stands twice in the message")

// decodeIn sets the field of a struct. Embedded pointers on the way are made.
func (f *field) decodeIn(d *decoder, v reflect.Value) error {
	for i, at := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !v.CanSet() {
					return fmt.Errorf("the embedded pointer to %s is not exported, and nil", v.Type().Elem())
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(at)
	}
	return f.decode(d, v)
}

// A fieldSet is a set of small numbers.
type fieldSet struct {
	low  uint64
	high map[int]bool
}

// add puts i into the set, and tells whether it was there.
func (s *fieldSet) add(i int) (was bool) {
	if i < 64 {
		was = s.low&(1<<i) != 0
		s.low |= 1 << i
		return was
	}
	if was = s.high[i]; !was {
		if s.high == nil {
			s.high = make(map[int]bool)
		}
		s.high[i] = true
	}
	return was
}
