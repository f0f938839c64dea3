// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// What stands on the wire: other languages read it.
func TestMsgpackBytes(t *testing.T) {
	rep := strings.Repeat
	for want, v := range map[string]any{
		"\xc0": nil, "\xc2": false, "\xc3": true,
		"\x00": 0, "\x7f": 127, "\xcc\x80": 128, "\xcc\xff": uint8(255), "\xcd\x01\x00": 256, "\xce\x00\x01\x00\x00": 65536,
		"\xcf\x00\x00\x00\x01\x00\x00\x00\x00": int64(1 << 32), "\xcf" + rep("\xff", 8): uint64(math.MaxUint64),
		"\xff": -1, "\xe0": -32, "\xd0\xdf": -33, "\xd1\xff\x7f": -129, "\xd2\xff\xff\x7f\xff": -32769,
		"\xd3\x80" + rep("\x00", 7): int64(math.MinInt64),
		"\xca\x3f\x80\x00\x00":      float32(1), "\xcb\x3f\xf0" + rep("\x00", 6): 1.0,
		"\xa0": "", "\xa1a": "a", "\xbf" + rep("a", 31): rep("a", 31), "\xd9\x20" + rep("a", 32): rep("a", 32),
		"\xda\x01\x00" + rep("a", 256): rep("a", 256), "\xdb\x00\x01\x00\x00" + rep("a", 65536): rep("a", 65536),
		"\xc4\x00": []byte{}, "\xc4\x01b": []byte("b"), "\xc5\x01\x00" + rep("b", 256): []byte(rep("b", 256)),
		"\xc6\x00\x01\x00\x00" + rep("b", 65536): []byte(rep("b", 65536)),
		"\x90":                                   []int{}, "\x92\x01\x02": []int{1, 2}, "\xdc\x00\x10" + rep("\x05", 16): make5(16), "\xdd\x00\x01\x00\x00" + rep("\x05", 65536): make5(65536),
		"\x80": map[string]int{}, "\x81\xa1a\x01": map[string]int{"a": 1}, "\x81\x03\xc3": map[int]bool{3: true},
		"\x82\xa2ID\x01\xa4Name\xa1n":                   Base{ID: 1, Name: "n"},
		"\xd6\xff\x00\x00\x00\x01":                      time.Unix(1, 0),
		"\xd7\xff\x00\x00\x00\x04\x00\x00\x00\x01":      time.Unix(1, 1),
		"\xc7\x0c\xff\x00\x00\x00\x00" + rep("\xff", 8): time.Unix(-1, 0),
		"\xd4\x4c\x00":                                  Ref(0), "\xd5\x4c\x01\x00": Ref(256), "\xd6\x4c\x00\x01\x00\x00": Ref(65536),
	} {
		b, err := Msgpack.Marshal(nil, v, plainRefs{})
		if err != nil || string(b) != want {
			t.Errorf("L1: %.80v is %.80q, %v, and should be %.80q", v, b, err, want)
		}
	}
}

func make5(n int) []int {
	l := make([]int, n)
	for i := range l {
		l[i] = 5
	}
	return l
}

// What other encoders write, in forms that are not the shortest.
func TestMsgpackReads(t *testing.T) {
	for data, want := range map[string]any{
		"\xcc\x01": int64(1), "\xcd\x00\x01": int64(1), "\xce\x00\x00\x00\x01": int64(1), "\xcf\x00\x00\x00\x00\x00\x00\x00\x01": int64(1),
		"\xd0\x01": int64(1), "\xd1\xff\xff": int64(-1), "\xd2\xff\xff\xff\xff": int64(-1), "\xd3\xff\xff\xff\xff\xff\xff\xff\xff": int64(-1),
		"\xd9\x01a": "a", "\xda\x00\x01a": "a", "\xdb\x00\x00\x00\x01a": "a", "\xc5\x00\x01b": []byte("b"), "\xc6\x00\x00\x00\x01b": []byte("b"),
		"\xdc\x00\x01\x01": []any{int64(1)}, "\xdd\x00\x00\x00\x01\x01": []any{int64(1)},
		"\xde\x00\x01\xa1a\x01": map[string]any{"a": int64(1)}, "\xdf\x00\x00\x00\x01\xa1a\x01": map[string]any{"a": int64(1)},
		"\xc7\x04\xff\x00\x00\x00\x01": time.Unix(1, 0).UTC(), "\xc8\x00\x04\xff\x00\x00\x00\x01": time.Unix(1, 0).UTC(),
		"\xc9\x00\x00\x00\x04\xff\x00\x00\x00\x01": time.Unix(1, 0).UTC(),
		"\xd6\xff\xff\xff\xff\xff":                 time.Unix(math.MaxUint32, 0).UTC(), "\xc7\x01\x4c\x07": Ref(7), "\xd6\x4c\x00\x00\x00\x07": Ref(7),
	} {
		var got any
		if err := Msgpack.Unmarshal([]byte(data), &got, plainRefs{}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("L1: %q is %v, %v, and should be %v", data, got, err, want)
		}
	}
	for data, want := range map[string]string{
		"\xc1":                     "no value begins with the byte c1",
		"\xd4\x05\x00":             "an extension that is not known where a value is wanted",
		"\xc7\x03\x4c\x00\x00\x00": "a reference of 3 bytes",
		"\xc7\x00\x4c":             "a reference of 0 bytes",
		"\xd7\x4c\x00\x00\x00\x00\x00\x00\x00\x01": "a reference of 8 bytes",
		"\xd6\x4c\xff\xff\xff\xff":                 "a reference with the index 4294967295",
		"\xd5\xff\x00\x00":                         "a time of 2 bytes",
		"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff": "a time with 1073741823 nanoseconds",
		"\x81\xc0\x01":                             "a key: nil where a string, a number or a boolean is wanted",
		"\x81\x91\x01\x01":                         "a key: a list where",
		"\x81\x80\x01":                             "a key: a map where",
		"\x81\xc4\x00\x01":                         "a key: bytes where",
		"\x81\xd4\x4c\x00\x01":                     "a key: a reference to what travels beside the message where",
		"\x82\xa1a\x01\xa1a\x01":                   `["a"]: it stands twice in the message`,
		"\x83\x01\x01\xa1a\x01\x01\x01":            `[1]: it stands twice in the message`,
	} {
		fails(t, Msgpack.Unmarshal([]byte(data), new(any), plainRefs{}), want)
		if data[0]&0xf0 == 0x80 { // also where nobody wants to know
			if strings.Contains(want, "key") {
				fails(t, Msgpack.Unmarshal([]byte(data), new(struct{}), plainRefs{}), want)
				fails(t, Msgpack.Unmarshal([]byte("\x81\xa1x"+data), new(struct{}), plainRefs{}), want)
			}
			fails(t, Msgpack.Unmarshal([]byte(data), new(map[string]int), plainRefs{}), "")
		}
	}
	for _, into := range []any{new(map[string]int), new(map[any]int), new(struct {
		A int `libchan:"a"`
	})} {
		fails(t, Msgpack.Unmarshal([]byte("\x82\xa1a\x01\xa1a\x01"), into, nil), "a")
		fails(t, Msgpack.Unmarshal([]byte("\x82\xa1a\x01\xa1a\x01"), into, nil), "it stands twice in the message")
	}
	var got struct{ A int }
	if err := Msgpack.Unmarshal([]byte("\x83\xa1x\xd4\x05\x00\xa1A\x03\x05\xc7\x00\x09"), &got, nil); err != nil || got.A != 3 {
		t.Errorf("L1: beside extensions and a number as a key %v, %v were received", got, err)
	}
}

func TestJSONText(t *testing.T) {
	type m = map[string]any
	for want, v := range map[string]any{
		`null`: nil, `true`: true, `-5`: -5, `18446744073709551615`: uint64(math.MaxUint64), `1.0`: 1.0, `1e+21`: 1e21, `0.1`: float32(0.1), `-0.0`: math.Copysign(0, -1),
		`"a\"\\\n\r\t\u0000\u001f/é` + "\u2028\"": "a\"\\\n\r\t\x00\x1f/é\u2028",
		`[]`: []int{}, `[1,[2],{}]`: []any{1, []any{2}, m{}}, `"YWI="`: []byte("ab"), `""`: []byte{},
		`{"a":{"b":[null]}}`: m{"a": m{"b": []any{nil}}}, `{"3":true}`: map[int]bool{3: true}, `{"$$libchan":1}`: m{"$libchan": 1},
		`{"ID":1,"Name":"<&>"}`: Base{ID: 1, Name: "<&>"}, `"2026-07-01T12:00:00.5Z"`: time.Date(2026, 7, 1, 12, 0, 0, 5e8, time.UTC),
		`[{"$libchan":0},{"$libchan":12}]`: []Ref{0, 12}, `"level 2"`: level(2), `1000000000`: time.Second,
	} {
		if b, err := JSON.Marshal(nil, v, plainRefs{}); err != nil || string(b) != want {
			t.Errorf("L1: %v is %s, %v, and should be %s", v, b, err, want)
		}
	}
	for text, want := range map[string]any{
		`0`: int64(0), `-0`: int64(0), `1e2`: 100.0, `1E-2`: 0.01, `0.50`: 0.5, `9223372036854775807`: int64(math.MaxInt64), `9223372036854775808`: uint64(math.MaxInt64 + 1),
		`-9223372036854775809`: -9223372036854775809.0, `1e-400`: 0.0,
		`"\u00e9\uD83D\ude00\/\b\f"`: "é😀/\b\f", ` [ ] `: []any{}, `{ }`: m{}, `{"a" : [ 1 , "x" ] , "b":null}`: m{"a": []any{int64(1), "x"}, "b": nil},
	} {
		var got any
		if err := JSON.Unmarshal([]byte(text), &got, nil); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("L1: %s is %#v, %v, and should be %#v", text, got, err, want)
		}
	}
	for _, text := range []string{
		``, ` `, `nul`, `nulll`, `True`, `+1`, `01`, `-`, `-a`, `1.`, `.5`, `1e`, `1e+`, `1e400`, `0x1`, `NaN`, `Infinity`, `'a'`, `"a`, `"\`, `"\x"`, `"\u12"`,
		`"\u12g4"`, `"\ud800"`, `"\ud800\u0041"`, `"\ud800x"`, `"\udc00"`, "\"\n\"", "\"\\n\n\"", "\"\xff\"", "\"\\n\xff\"", `[`, `[1`, `[1,`, `[1,]`, `[,1]`, `[1 2]`, `]`,
		`{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{a:1}`, `{1:1}`, `{"a" 1}`, `{"a":1 "b":2}`, `{"a":1]`, `[1}`, `1,`, `1 1`, "\ufeff1", "[1\x00]", "\x00",
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `//`, `1/**/`,
	} {
		var got any
		fails(t, JSON.Unmarshal([]byte(text), &got, nil), "")
		fails(t, JSON.Unmarshal([]byte(`{"a":`+text+`}`), new(map[string]any), nil), "")
	}
}

func TestPlain(t *testing.T) {
	one := &oddment{"one"}
	v := wanted{P: one, Any: []any{uint8(1), float32(0.5)}, Plain: "s", M: map[string]thinger{}}
	refs := new(things)
	plain, err := Plain(v, refs)
	must(t, err)
	want := map[string]any{"P": Ref(0), "I": nil, "Any": []any{int64(1), 0.5}, "L": nil, "M": map[string]any{}, "A": []any{nil, nil},
		"PP": nil, "Deep": nil, "Plain": "s", "Held": nil}
	if !reflect.DeepEqual(plain, want) {
		t.Errorf("L1: the plain value is %#v", plain)
	}
	var got wanted
	must(t, Fill(&got, plain, refs))
	if v.Any = []any{int64(1), 0.5}; !reflect.DeepEqual(got, v) {
		t.Errorf("L1: filled in is %+v", got)
	}
	_, err = Plain(struct{ F func() }{}, nil)
	fails(t, err, "libchan: message.F: func() cannot travel")
	fails(t, Fill(&got, map[string]any{"Plain": 5}, nil), "wanted.Plain: a number where a string is wanted")
	fails(t, Fill(&got, map[string]any{"P": Ref(1)}, refs), "wanted.P: no oddment 1")
	fails(t, Fill(&got, map[string]any{"Plain": Ref(0)}, refs), "wanted.Plain: a reference")
	fails(t, Fill(&got, map[string]any{"P": Ref(-1)}, refs), "a reference with the index -1")
	fails(t, Fill(&got, func() {}, refs), "func() cannot travel")
}

// Values of a map are new ones, that have nothing of each other.
func TestMapValuesAreNew(t *testing.T) {
	got := map[string]Base{"b": {ID: 7}}
	must(t, JSON.Unmarshal([]byte(`{"a":{"ID":1,"Name":"a"},"b":{"Name":"b"},"c":{}}`), &got, nil))
	if want := (map[string]Base{"a": {ID: 1, Name: "a"}, "b": {Name: "b"}, "c": {}}); !reflect.DeepEqual(got, want) {
		t.Errorf("L1: received %v", got)
	}
}
