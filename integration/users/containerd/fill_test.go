// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"fmt"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// depth is how many messages are nested in each other.
const depth = 4

// fill sets all fields of a message, of oneofs the last one.
func fill(m protoreflect.Message, seed, depth int) {
	if a, ok := m.Interface().(*anypb.Any); ok {
		proto.Merge(a, packed(seed))
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		seed := seed*31 + i
		switch {
		case f.IsMap():
			entries := m.Mutable(f).Map()
			for n := range 2 {
				key := scalar(f.MapKey(), seed+n).MapKey()
				if f.MapValue().Message() == nil {
					entries.Set(key, scalar(f.MapValue(), seed+n))
				} else if depth > 0 {
					fill(entries.Mutable(key).Message(), seed+n, depth-1)
				}
			}
		case f.IsList():
			list := m.Mutable(f).List()
			for n := range 2 {
				if f.Message() == nil {
					list.Append(scalar(f, seed+n))
				} else if depth > 0 {
					fill(list.AppendMutable().Message(), seed+n, depth-1)
				}
			}
		case f.Message() == nil:
			m.Set(f, scalar(f, seed))
		case depth > 0:
			fill(m.Mutable(f).Message(), seed, depth-1)
		}
	}
}

func scalar(f protoreflect.FieldDescriptor, seed int) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(values.Len() - 1).Number())
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(fmt.Sprintf("%s-%d-ü", f.Name(), seed))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(fmt.Appendf(nil, "%s\x00\xff%d", f.Name(), seed))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(seed) / 4)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(seed%1000) / 4)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(-int32(seed % 1e9))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(-int64(seed) << 20)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(seed))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(seed) << 20)
	}
	panic(fmt.Sprintf("no value of kind %v", f.Kind()))
}

// packed is what containerd has in its Anys: here runc's options.
func packed(seed int) *anypb.Any {
	a, err := typeurl.MarshalAnyToProto(&options.Options{BinaryName: fmt.Sprintf("runc-%d", seed), SystemdCgroup: true})
	if err != nil {
		panic(err)
	}
	return a
}
