// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"errors"
	"fmt"
	"reflect"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Protobuf is the codec whose messages are those of protobuf, and no other values. What
// travels beside a message is put there by With.
var Protobuf Codec = protobufCodec{}

// An Attached is a message with what travels beside it.
type Attached struct {
	message  proto.Message
	attached []any
}

// With puts ends of channels, byte streams and files beside a protobuf message, which has
// no fields for them. Such a message is sent by the Protobuf codec, whatever the one of the
// channel is. To receive it put pointers to variables beside one that is empty, in the same
// order:
//
//	sender.Send(libchan.With(&pb.Job{Name: "x"}, results, input))
//	receiver.Receive(libchan.With(&job, &results, &input))
//
// A variable of which the message has nothing is left as it is. What has no variable is
// released.
func With(m proto.Message, attached ...any) *Attached { return &Attached{m, attached} }

// attachedField is the number of a field that is added to a message: packed, for each
// thing beside it the index and one, or zero for nil. It is the highest that protobuf
// has, and who does not know it passes over it.
const attachedField = protowire.MaxValidNumber

type protobufCodec struct{}

// Name returns the codec's name.
func (protobufCodec) Name() string { return "protobuf" }

// Marshal appends the encoding of v, which is a protobuf message or made by With.
func (protobufCodec) Marshal(b []byte, v any, refs Refs) ([]byte, error) {
	m, attached, err := protoParts(v)
	if err != nil {
		return b, err
	}
	if m.ProtoReflect().Descriptor().Fields().ByNumber(attachedField) != nil {
		return b, fmt.Errorf("libchan: protobuf: %s has a field %d, where what With attaches is", nameOf(m), attachedField)
	}
	out, err := proto.MarshalOptions{}.MarshalAppend(b, m)
	if err != nil {
		return b, protoError(m, err)
	}
	if _, was, err := cutAttached(out[len(b):]); err != nil || was != nil {
		return b, fmt.Errorf("libchan: protobuf: %s has an unknown field %d, where what With attaches is", nameOf(m), attachedField)
	}
	var packed []byte
	for i, x := range attached {
		index, err := attach(x, orNone(refs))
		if err != nil {
			return b, protoError(m, withinIndex(i, err))
		}
		packed = protowire.AppendVarint(packed, uint64(index+1))
	}
	if len(packed) > 0 {
		out = protowire.AppendTag(out, attachedField, protowire.BytesType)
		out = protowire.AppendBytes(out, packed)
	}
	return out, nil
}

// attach puts x into the table and returns its index, -1 for nil.
func attach(x any, refs Refs) (int, error) {
	v := reflect.ValueOf(x)
	if x == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return -1, nil
	}
	index, ok, err := refs.Add(v)
	if err == nil && !ok {
		err = fmt.Errorf("%T is nothing that travels beside a message", x)
	}
	return index, err
}

// Unmarshal decodes data into v, a protobuf message, a pointer to a pointer to one, or
// made by With.
func (protobufCodec) Unmarshal(data []byte, v any, refs Refs) error {
	m, attached, err := protoParts(v)
	if err != nil {
		return err
	}
	body, packed, err := cutAttached(data)
	if err == nil {
		err = proto.Unmarshal(body, m)
	}
	if err != nil {
		return protoError(m, err)
	}
	for i, x := range attached {
		if len(packed) == 0 {
			break
		}
		n, size := protowire.ConsumeVarint(packed)
		if size < 0 {
			return protoError(m, withinIndex(i, protowire.ParseError(size)))
		}
		packed = packed[size:]
		if err := detach(n, x, orNone(refs)); err != nil {
			return protoError(m, withinIndex(i, err))
		}
	}
	return nil
}

// detach sets what x points to to what the number refers to.
func detach(n uint64, x any, refs Refs) error {
	target, err := targetOf(x)
	if err != nil {
		return err
	}
	if n == 0 {
		target.SetZero()
		return nil
	}
	d := decoder{refs: refs}
	if err := d.tok.setRef(n - 1); err != nil {
		return err
	}
	got, err := d.get(target.Type())
	if err == nil {
		target.Set(got)
	}
	return err
}

// protoParts returns the message that v is, and what is attached to it. If v points to a
// nil pointer to a message, one is made.
func protoParts(v any) (proto.Message, []any, error) {
	var attached []any
	if a, ok := v.(*Attached); ok && a != nil {
		v, attached = a.message, a.attached
	}
	p := reflect.ValueOf(v)
	if p.Kind() == reflect.Pointer && !p.IsNil() && p.Elem().Kind() == reflect.Pointer {
		if p = p.Elem(); p.IsNil() && p.Type().Implements(protoType) {
			p.Set(reflect.New(p.Type().Elem()))
		}
		v = p.Interface()
	}
	m, ok := v.(proto.Message)
	switch {
	case !ok:
		return nil, nil, fmt.Errorf("libchan: protobuf: %T is no protobuf message", v)
	case p.Kind() == reflect.Pointer && p.IsNil():
		return nil, nil, fmt.Errorf("libchan: protobuf: nil %T", v)
	}
	return m, attached, nil
}

// cutAttached parts an encoded message from the field that With adds, which is the last.
func cutAttached(data []byte) (body, packed []byte, err error) {
	for rest := data; len(rest) > 0; {
		number, typ, n := protowire.ConsumeField(rest)
		if n < 0 {
			return nil, nil, protowire.ParseError(n)
		}
		if number != attachedField {
			rest = rest[n:]
			continue
		}
		if typ != protowire.BytesType || n != len(rest) {
			return nil, nil, errors.New("what is attached is not bytes at the end of the message")
		}
		_, _, tag := protowire.ConsumeTag(rest)
		packed, _ = protowire.ConsumeBytes(rest[tag:])
		return data[:len(data)-len(rest)], packed, nil
	}
	return data, nil, nil
}

func nameOf(m proto.Message) string { return string(m.ProtoReflect().Descriptor().Name()) }

func protoError(m proto.Message, err error) error {
	return fmt.Errorf("libchan: protobuf: %w", inPart(nameOf(m), err))
}
