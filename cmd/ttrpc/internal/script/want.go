// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// A want is the fields that a message has to have for a rule to be used.
type want struct{ fields []wantField }

// A wantField is one of them, with the fields that it has to have itself, or its value.
type wantField struct {
	desc  protoreflect.FieldDescriptor
	value protoreflect.Value
	inner *want // or nil
}

// parseWant understands the value of "when": a message, of which only the fields that are
// named count, also if their values are the defaults.
func (s *Script) parseWant(desc protoreflect.MessageDescriptor, data json.RawMessage) (*want, error) {
	m := dynamicpb.NewMessage(desc)
	if err := s.read(data, m); err != nil {
		return nil, err
	}
	return wantOf(m, data)
}

// wantOf makes a want of a message and the JSON that it was made of, which names the fields.
func wantOf(m protoreflect.Message, data json.RawMessage) (*want, error) {
	named := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &named); err != nil {
		return nil, fmt.Errorf("it is not an object: %w", err)
	}
	w := new(want)
	for name, value := range named {
		fields := m.Descriptor().Fields()
		field := fields.ByJSONName(name)
		if field == nil {
			field = fields.ByTextName(name)
		}
		if field == nil {
			return nil, fmt.Errorf("field %q cannot be compared", name)
		}
		f := wantField{desc: field, value: m.Get(field)}
		if isPlain(field) && string(value) != "null" {
			var err error
			if f.inner, err = wantOf(f.value.Message(), value); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		w.fields = append(w.fields, f)
	}
	return w, nil
}

// isPlain tells whether a field is one message whose JSON has its fields by name. Those of
// google.protobuf have forms of their own.
func isPlain(field protoreflect.FieldDescriptor) bool {
	return field.Message() != nil && field.Cardinality() != protoreflect.Repeated && field.Message().ParentFile().Package() != "google.protobuf"
}

// matches tells whether a message has the fields. Lists, maps and messages of google.protobuf
// have to be the same as a whole.
func (w *want) matches(m protoreflect.Message) bool {
	for _, f := range w.fields {
		switch {
		case f.inner != nil:
			if !m.Has(f.desc) || !f.inner.matches(m.Get(f.desc).Message()) {
				return false
			}
		case !m.Get(f.desc).Equal(f.value):
			return false
		}
	}
	return true
}
