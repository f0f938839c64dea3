// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"errors"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Types resolves the types of Any values and extensions, for protojson. A type that is
// nowhere else is asked for by reflection, once.
func (s *Schema) Types() interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
} {
	return types{s}
}

type types struct{ s *Schema }

// FindMessageByName implements [protoregistry.MessageTypeResolver].
func (t types) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if !name.IsValid() {
		return nil, protoregistry.NotFound
	}
	d, err := t.s.given.find(name)
	if err != nil && t.s.server != nil {
		d = t.s.server.findType(t.s.ctx, name)
	}
	if d == nil {
		d, err = builtin().find(name)
	} else {
		err = nil
	}
	if err != nil {
		return linked(name)
	}
	message, ok := d.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, errors.New("it is a " + Kind(d) + ", not a message")
	}
	return dynamicpb.NewMessageType(message), nil
}

// linked returns a type that the program has: those of google.rpc's error details.
func linked(name protoreflect.FullName) (protoreflect.MessageType, error) {
	return protoregistry.GlobalTypes.FindMessageByName(name)
}

// FindMessageByURL implements [protoregistry.MessageTypeResolver]. As in typeurl, the name may
// stand there without a host before it.
func (t types) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	return t.FindMessageByName(protoreflect.FullName(url[strings.LastIndexByte(url, '/')+1:]))
}

// FindExtensionByName implements [protoregistry.ExtensionTypeResolver].
func (t types) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return t.extension(func(r protoregistry.ExtensionTypeResolver) (protoreflect.ExtensionType, error) {
		return r.FindExtensionByName(name)
	})
}

// FindExtensionByNumber implements [protoregistry.ExtensionTypeResolver].
func (t types) FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return t.extension(func(r protoregistry.ExtensionTypeResolver) (protoreflect.ExtensionType, error) {
		return r.FindExtensionByNumber(message, field)
	})
}

func (t types) extension(find func(protoregistry.ExtensionTypeResolver) (protoreflect.ExtensionType, error)) (protoreflect.ExtensionType, error) {
	if x, err := find(t.s.given.types); err == nil {
		return x, nil
	}
	if t.s.server != nil {
		if x, err := t.s.server.extension(find); err == nil {
			return x, nil
		}
	}
	return find(builtin().types)
}
