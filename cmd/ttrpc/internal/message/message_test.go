// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package message

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/typepb"
)

func compact() *Format { return &Format{Types: protoregistry.GlobalTypes, Compact: true} }

// anyOf returns an Any that typeurl might have made.
func anyOf(url string, value []byte) *anypb.Any { return &anypb.Any{TypeUrl: url, Value: value} }

func encode(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// anyCases are Any values, and their JSON.
func anyCases(t *testing.T) map[string]struct {
	any  *anypb.Any
	json string
} {
	process := `{"args":["sh"],"rlimits":[{"hard":18446744073709551615}],"z":1,"a":2}`
	return map[string]struct {
		any  *anypb.Any
		json string
	}{
		"bare": {anyOf("google.protobuf.Duration", encode(t, durationpb.New(1e9))),
			`{"@type":"google.protobuf.Duration","value":"1s"}`},
		"with a host": {anyOf("types.containerd.io/google.protobuf.Duration", encode(t, durationpb.New(1e9))),
			`{"@type":"types.containerd.io/google.protobuf.Duration","value":"1s"}`},
		"with fields": {anyOf("google.protobuf.Option", encode(t, &typepb.Option{Name: "n"})),
			`{"@type":"google.protobuf.Option","name":"n"}`},
		"JSON": {anyOf("opencontainers/runtime-spec/1/Process", []byte(process)),
			`{"@type":"opencontainers/runtime-spec/1/Process","value":` + process + `}`},
		"an array":    {anyOf("x/1/List", []byte(`[1,2]`)), `{"@type":"x/1/List","value":[1,2]}`},
		"unknown":     {anyOf("x.y/Unknown", []byte{8, 1}), `{"@type":"x.y/Unknown","value":"CAE="}`},
		"of no value": {anyOf("x.y/Unknown", nil), `{"@type":"x.y/Unknown","value":""}`},
		"of no type":  {anyOf("", []byte{8, 1}), `{"@type":"","value":"CAE="}`},
		"empty":       {anyOf("", nil), `{}`},
		"a string of JSON": {anyOf("x/1/Name", []byte(`"CAE="`)),
			`{"@type":"x/1/Name","value":"IkNBRT0i"}`},
		"JSON that is no UTF-8": {anyOf("x/1/Bad", []byte("{\"a\":\"\xff\"}")),
			`{"@type":"x/1/Bad","value":"eyJhIjoi/yJ9"}`},
		"damaged": {anyOf("google.protobuf.Duration", []byte{8}),
			`{"@type":"google.protobuf.Duration","value":"CA=="}`},
		"of no time": {anyOf("google.protobuf.Option", encode(t, &typepb.Option{Value: anyOf("google.protobuf.Duration", encode(t, &durationpb.Duration{Seconds: 1 << 60}))})),
			`{"@type":"google.protobuf.Option","value":{"@type":"google.protobuf.Duration","value":"CICAgICAgICAEA=="}}`},
		"in an Any": {anyOf("google.protobuf.Option", encode(t, &typepb.Option{Value: anyOf("x/1/Process", []byte(`{"b":1}`))})),
			`{"@type":"google.protobuf.Option","value":{"@type":"x/1/Process","value":{"b":1}}}`},
	}
}

func TestAny(t *testing.T) { // B173
	for name, test := range anyCases(t) {
		t.Run(name, func(t *testing.T) {
			m := &typepb.Option{Name: "whole", Value: test.any}
			before := proto.Clone(m)
			out, err := compact().Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if want := `{"name":"whole","value":` + test.json + `}`; string(out) != want {
				t.Errorf("written %s, want %s", out, want)
			}
			if !proto.Equal(m, before) {
				t.Error("the message was changed")
			}
			if name == "damaged" || name == "of no time" { // which is not taken back, as the type is known
				return
			}
			back := new(typepb.Option)
			if err := compact().Unmarshal(out, back); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(back, before) {
				t.Errorf("read back as %v, want %v", back, before)
			}
		})
	}
}

func TestTokensDoNotLeak(t *testing.T) { // B173: what only looks like an Any stays as it is
	for _, in := range []string{
		`{"a":{"@type":"x/1/Y","value":[1]}}`,
		`{"a":{"@type":"x/1/Y","value":"s"}}`,
		`{"a":{"@type":"x/1/Y","value":{"@type":"x/1/Z","value":{}}}}`,
		`{"a":{"@type":"google.protobuf.Duration","value":"1s"}}`,
	} {
		m := new(structpb.Struct)
		if err := compact().Unmarshal([]byte(in), m); err != nil {
			t.Error(err)
			continue
		}
		if out, err := compact().Marshal(m); err != nil || string(out) != in {
			t.Errorf("%s became %s, %v", in, out, err)
		}
	}
}

// nested returns an Any in as many others.
func nested(levels int) *anypb.Any {
	const name = "google.protobuf.Any"
	var heads [][]byte
	size := 0
	for range levels {
		head := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
		head = protowire.AppendVarint(protowire.AppendTag(head, 2, protowire.BytesType), uint64(size))
		heads = append(heads, head)
		size += len(head)
	}
	slices.Reverse(heads)
	return anyOf(name, slices.Concat(heads...))
}

func TestDeepAny(t *testing.T) { // B177
	m := nested(10_000)
	out, err := compact().Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(out) || len(out) > 2*proto.Size(m) {
		t.Errorf("%d bytes became %d bytes of JSON", proto.Size(m), len(out))
	}
	back := new(anypb.Any)
	if err := compact().Unmarshal([]byte(strings.Repeat(`{"@type":"google.protobuf.Any","value":`, 20_000)), back); err == nil {
		t.Error("20,000 levels were read")
	}
	deep := func(n int) []byte {
		return []byte(strings.Repeat(`{"@type":"google.protobuf.Any","value":`, n) + "{}" + strings.Repeat("}", n))
	}
	if err := compact().Unmarshal(deep(mostAnys+1), back); err != nil {
		t.Error(err)
	}
	if err := compact().Unmarshal(deep(9000), back); err == nil || err.Error() != "an Any stands in more than 64 others" {
		t.Errorf("9,000 levels: %v", err)
	}
}

func TestReader(t *testing.T) { // B174
	const in = "{\"name\":\"a\"} {\"name\":\"b\"}\n\n{\"name\":\n\"c\"}{}"
	r := compact().NewReader(strings.NewReader(in))
	var names []string
	for {
		m := new(typepb.Option)
		err := r.Next(m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, m.Name)
	}
	if got := strings.Join(names, ","); got != "a,b,c," {
		t.Errorf("B174: read %q", got)
	}
	for in, want := range map[string]string{
		`{} {"nam":1}`: `message 2, behind byte 2: (line 1:2): unknown field "nam"`,
		`{} x`:         "message 2, behind byte 2: invalid character 'x' looking for beginning of value",
		`{"name":`:     "message 1: it ends before its JSON does",
		"{}{\"value\":{\"@type\":\"x/1/Y\",\"value\":[\n1,\n2]},\n\"nam\":1}": `message 2, behind byte 2: (line 4:1): unknown field "nam"`,
	} {
		r := compact().NewReader(strings.NewReader(in))
		err := r.Next(new(typepb.Option))
		for err == nil {
			err = r.Next(new(typepb.Option))
		}
		if err.Error() != want {
			t.Errorf("B174: %s: %v, want %s", in, err, want)
		}
	}
}

func TestTree(t *testing.T) { // B175
	var data []byte
	data = protowire.AppendTag(data, 1, protowire.BytesType)
	data = protowire.AppendBytes(data, []byte("text"))
	data = protowire.AppendTag(data, 2, protowire.VarintType)
	data = protowire.AppendVarint(data, 1<<64-1)
	data = protowire.AppendTag(data, 3, protowire.BytesType)
	data = protowire.AppendBytes(data, []byte{8, 1})
	data = protowire.AppendTag(data, 4, protowire.BytesType)
	data = protowire.AppendBytes(data, []byte{0xff})
	data = protowire.AppendTag(data, 5, protowire.Fixed32Type)
	data = protowire.AppendFixed32(data, 0x3fc00000)
	data = append(data, 0x0a, 9)
	const want = `1: "text"
2: 18446744073709551615 (-1)
3 {
  1: 1
}
4: 1 bytes ff
5: 0x3fc00000 (1069547520, or 1.5)
2 bytes that are no field: 0a09
`
	if got := Tree(data); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDeepTree(t *testing.T) { // B177
	data := []byte{8, 1}
	for range 2000 {
		data = append(protowire.AppendVarint([]byte{0x0a}, uint64(len(data))), data...)
	}
	if out := Tree(data); len(out) > 10*len(data) || strings.Count(out, "{") != mostLevelsOfTree {
		t.Errorf("B177: %d bytes became %d, in %d levels", len(data), len(out), strings.Count(out, "{"))
	}
}

func TestParse(t *testing.T) { // B175
	for in, want := range map[string]string{"0a 01\n41": "\n\x01A", "base64:CgFB": "\n\x01A", "base64:_-8=": "\xff\xef", "": ""} {
		if got, err := Parse(in); err != nil || string(got) != want {
			t.Errorf("%q: %x, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"0a0":       "a raw message in hex has 3 digits, so half a byte is missing",
		"CgFB":      `a raw message must be hex, or base64 behind "base64:": 'g' is no hex digit`,
		"base64:*":  "a raw message in base64: it is no base64: illegal base64 data at input byte 0",
		"\x00\xff!": `a raw message must be hex, or base64 behind "base64:": '\x00' is no hex digit`,
	} {
		if _, err := Parse(in); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}
