// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// mostMessages is how many messages a template has at most: types that contain each other can
// make any number.
const mostMessages = 1000

// Template returns a message to start from: lists and maps have one element, and of a oneof
// the first field is set. A message that contains itself ends with the first repetition.
func Template(d protoreflect.MessageDescriptor) proto.Message {
	m := dynamicpb.NewMessage(d)
	t := &template{left: mostMessages}
	t.fill(m, nil)
	return m
}

type template struct{ left int }

// fill sets the fields of a message that is in others.
func (t *template) fill(m protoreflect.Message, outer []protoreflect.FullName) {
	t.left--
	name := m.Descriptor().FullName()
	if special(m) {
		return
	}
	outer = append(slices.Clip(outer), name)
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if oneof := field.ContainingOneof(); oneof != nil && oneof.Fields().Get(0) != field {
			continue
		}
		inner := field.Message()
		if field.IsMap() {
			inner = field.MapValue().Message()
		}
		if inner != nil && (slices.Contains(outer, inner.FullName()) || t.left <= 0) {
			continue
		}
		t.set(m, field, inner != nil, outer)
	}
}

// set sets one field, which holds messages or not.
func (t *template) set(m protoreflect.Message, field protoreflect.FieldDescriptor, isMessage bool, outer []protoreflect.FullName) {
	switch {
	case field.IsMap():
		values := m.Mutable(field).Map()
		value := values.NewValue()
		if isMessage {
			t.fill(value.Message(), outer)
		}
		values.Set(mapKey(field.MapKey()), value)
	case field.IsList():
		list := m.Mutable(field).List()
		value := list.NewElement()
		if isMessage {
			t.fill(value.Message(), outer)
		}
		list.Append(value)
	case isMessage:
		t.fill(m.Mutable(field).Message(), outer)
	case field.HasPresence():
		m.Set(field, field.Default())
	}
}

func mapKey(field protoreflect.FieldDescriptor) protoreflect.MapKey {
	if field.Kind() == protoreflect.StringKind {
		return protoreflect.ValueOfString("key").MapKey()
	}
	return field.Default().MapKey()
}

// special fills messages that JSON has a form of its own for, and tells whether m is one.
func special(m protoreflect.Message) bool {
	fields := m.Descriptor().Fields()
	switch m.Descriptor().FullName() {
	case "google.protobuf.Any":
		m.Set(fields.ByName("type_url"), protoreflect.ValueOfString("google.protobuf.Empty"))
	case "google.protobuf.Value":
		m.Set(fields.ByName("string_value"), protoreflect.ValueOfString(""))
	case "google.protobuf.Struct", "google.protobuf.ListValue", "google.protobuf.FieldMask":
	default:
		return false
	}
	return true
}
