// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// A field of a struct, or of what it embeds.
type field struct {
	name      string
	index     []int
	omitEmpty bool
	*plan

	tagged bool // the name stands in the tag
	typ    reflect.Type
}

// fieldsOf returns the fields of a struct that travel, those of embedded structs among
// them. Of several with one name there travels the one that is embedded least deep, of
// several such the only one that is named by a tag; else none does. These are
// the rules of encoding/json.
func (pl planner) fieldsOf(t reflect.Type) []*field {
	var found []*field
	visited := make(map[reflect.Type]bool)
	type level struct {
		typ   reflect.Type
		index []int
	}
	for next := []level{{typ: t}}; len(next) > 0; {
		level0 := next
		next = nil
		times := make(map[reflect.Type]int) // how often a type is embedded at this depth
		for _, l := range level0 {
			times[l.typ]++
		}
		for _, l := range level0 {
			if visited[l.typ] {
				continue
			}
			visited[l.typ] = true
			for i := range l.typ.NumField() {
				f := l.typ.Field(i)
				index := append(slices.Clone(l.index), i)
				travels, inner := pl.fieldOf(f, index)
				if inner != nil {
					next = append(next, level{inner, index})
				}
				if travels == nil {
					continue
				}
				found = append(found, travels)
				if times[l.typ] > 1 { // twice is a conflict
					found = append(found, travels)
				}
			}
		}
	}
	return unambiguous(found)
}

// fieldOf returns a field if it travels as such, or the struct whose fields do.
func (pl planner) fieldOf(f reflect.StructField, index []int) (*field, reflect.Type) {
	name, options, hasOptions := strings.Cut(f.Tag.Get("libchan"), ",")
	if name == "-" && !hasOptions {
		return nil, nil
	}
	inner := f.Type
	if inner.Kind() == reflect.Pointer && inner.Name() == "" {
		inner = inner.Elem()
	}
	isStruct := f.Anonymous && inner.Kind() == reflect.Struct
	if !f.IsExported() && !isStruct {
		return nil, nil
	}
	if isStruct && name == "" && !pl.isWhole(f.Type, inner) {
		return nil, inner
	}
	if !f.IsExported() {
		return nil, nil
	}
	found := &field{name: name, index: index, tagged: name != "", typ: f.Type}
	if name == "" {
		found.name = f.Name
	}
	switch options {
	case "":
		found.plan = pl.of(f.Type)
	case "omitempty":
		found.omitEmpty, found.plan = true, pl.of(f.Type)
	default:
		found.plan = &plan{refusedCoder{fmt.Sprintf("libchan tags have no option %q", options)}}
	}
	return found, nil
}

// isWhole tells whether an embedded struct travels as one value, as it would in a field
// that has a name. t is the struct or a pointer to it.
func (pl planner) isWhole(t, inner reflect.Type) bool {
	for _, is := range []func(reflect.Type) bool{pl.carries, knowsProto, knowsBinary, knowsText} {
		if (is(t) || is(inner)) && !embeds(inner, is) {
			return true
		}
	}
	return false
}

// unambiguous returns the fields that win their names, in the order of the struct.
func unambiguous(found []*field) []*field {
	byName := make(map[string][]*field)
	for _, f := range found {
		byName[f.name] = append(byName[f.name], f)
	}
	var won []*field
	for _, same := range byName {
		rank := func(f *field) int { // the lower, the better
			if f.tagged {
				return 2 * len(f.index)
			}
			return 2*len(f.index) + 1
		}
		slices.SortStableFunc(same, func(a, b *field) int { return rank(a) - rank(b) })
		if len(same) == 1 || rank(same[0]) < rank(same[1]) {
			won = append(won, same[0])
		}
	}
	slices.SortFunc(won, func(a, b *field) int { return slices.Compare(a.index, b.index) })
	return won
}
