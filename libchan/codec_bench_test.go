// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A reading is a small message, of about 64 bytes in msgpack.
type reading struct {
	ID     uint64
	Sensor string
	At     time.Time
	Value  float64
	Ok     bool
	Unit   string `libchan:",omitempty"`
}

var oneReading = reading{1 << 40, "sensor-17", time.Unix(1_800_000_000, 0).UTC(), 21.5, true, "°C"}

// BenchmarkCodec encodes and decodes messages; B is how large the encoding is.
func BenchmarkCodec(b *testing.B) {
	many := make([]reading, 1000)
	fields := make(map[string]any)
	for i := range many {
		many[i] = oneReading
		fields[fmt.Sprint(i)] = strings.Repeat("x", 50)
	}
	protoMany, err := structpb.NewStruct(fields)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range builtin {
		small, large := any(oneReading), any(many)
		if c == Protobuf {
			small, large = wrapperspb.String(strings.Repeat("x", 62)), protoMany
		}
		for name, v := range map[string]any{"small": small, "large": large} {
			b.Run(c.Name()+"/"+name+"/encode", func(b *testing.B) { benchEncode(b, c, v) })
			b.Run(c.Name()+"/"+name+"/decode", func(b *testing.B) { benchDecode(b, c, v) })
		}
	}
}

func benchEncode(b *testing.B, c Codec, v any) {
	var buf []byte
	refs := new(sentRefs)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = c.Marshal(buf[:0], v, refs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(buf)), "B")
}

func benchDecode(b *testing.B, c Codec, v any) {
	data, err := c.Marshal(nil, v, new(sentRefs))
	if err != nil {
		b.Fatal(err)
	}
	into := reflect.New(reflect.TypeOf(v)).Interface()
	if m, ok := v.(proto.Message); ok {
		into = m.ProtoReflect().New().Interface()
	}
	refs := new(receivedRefs)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Unmarshal(data, into, refs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(data)), "B")
}
