// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// notations are the codecs for any value.
var notations = []Codec{Msgpack, JSON, Gob}

// encoded returns the encoding of v.
func encoded(t *testing.T, c Codec, v any) []byte {
	t.Helper()
	b, err := c.Marshal([]byte("before"), v, nil)
	if err != nil {
		t.Fatalf("L1: Marshal(%T): %v", v, err)
	}
	b, ok := bytes.CutPrefix(b, []byte("before"))
	if !ok {
		t.Fatalf("L1: Marshal has not appended: %q", b)
	}
	return b
}

// sent returns what arrives in a variable of the type of v, or in into if that is not nil.
func sent(t *testing.T, c Codec, v, into any) any {
	t.Helper()
	if into == nil {
		into = reflect.New(reflect.TypeOf(v)).Interface()
	}
	data := encoded(t, c, v)
	if err := c.Unmarshal(data, into, nil); err != nil {
		t.Fatalf("L1: Unmarshal(%q, %T): %v", data, into, err)
	}
	for i := range data {
		data[i] = 'x' // nothing of it may have been kept
	}
	return reflect.ValueOf(into).Elem().Interface()
}

type (
	scalars struct {
		B    bool
		I    int
		I8   int8
		I16  int16
		I32  int32
		I64  int64
		U    uint
		U8   uint8
		U16  uint16
		U32  uint32
		U64  uint64
		P    uintptr
		F32  float32
		F64  float64
		S    string
		D    time.Duration
		Any  any
		Fine Month
	}
	Month int

	Base struct {
		ID   int
		Name string // the outer one wins
		old  int
	}
	hidden struct{ Seen string }
	Deep   struct{ Deepest *Base }
	outer  struct {
		Base
		*Deep
		hidden
		Name string
	}
	left struct {
		Twice int
		Own   int
	}
	right struct{ Twice int }
	both  struct {
		left
		right
	}
	sameLeft  struct{ Base }
	sameRight struct{ Base }
	twice     struct { // Base twice
		sameLeft
		sameRight
		Own int
	}
	named struct {
		Base `libchan:"base"`
		Text string `libchan:"text,omitempty"`
		Time time.Time
		Gone int               `libchan:"-"`
		Dash int               `libchan:"-,"`
		Odd  string            `libchan:"$libchan"`
		Omit struct{ A []int } `libchan:",omitempty"`
	}
	stamped struct {
		time.Time
		Note string
	}
	list  []list
	tree  map[string]tree
	chain struct {
		N    int
		Next *chain
	}
	blob  []byte
	id    [4]byte
	level int
)

// A level is text in messages.
func (l level) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "level %d", int(l)), nil }

func (l *level) UnmarshalText(b []byte) error {
	_, err := fmt.Sscanf(string(b), "level %d", (*int)(l))
	return err
}

func ptr[T any](v T) *T { return &v }

func TestValuesArrive(t *testing.T) {
	long := strings.Repeat("long text ", 10_000)
	at := time.Date(2026, 7, 1, 12, 0, 0, 123456789, time.UTC)
	many := make([]int, 300)
	names := make(map[string]int)
	for i := range many {
		many[i] = i - 150
		names[fmt.Sprint(i)] = i
	}
	wide := struct {
		L [][]int
		M []map[string]int
		S []Base
		P []*Base
		A []any
	}{make([][]int, 600), make([]map[string]int, 600), make([]Base, 600), make([]*Base, 600), make([]any, 600)}
	for i := range 600 {
		wide.L[i], wide.M[i], wide.P[i] = []int{i}, map[string]int{"i": i}, &Base{ID: i}
		wide.A[i] = []any{map[string]any{}}
	}
	values := []any{
		wide,
		true, false, 0, 1, -1, "", "a", long, "\x00\x1f\"\\/\u2028\U0001F600\u00e9\t\r\n\b\f", 1.5, float32(0.1), math.Pi, 0.0,
		math.MaxFloat64, math.SmallestNonzeroFloat64, float32(math.MaxFloat32), math.Copysign(0, -1), 1e21, 1e20,
		int64(math.MinInt64), int64(math.MaxInt64), uint64(math.MaxUint64), uint64(math.MaxInt64) + 1, int8(-128), uint8(255),
		-32, -33, -128, -129, -32768, -32769, math.MinInt32, int64(math.MinInt32 - 1),
		127, 128, 255, 256, 65535, 65536, uint32(math.MaxUint32), int64(math.MaxUint32 + 1),
		time.Duration(math.MinInt64), time.Second, at, time.Time{}, time.Unix(0, 0).UTC(), time.Unix(1<<33, 5).UTC(),
		time.Unix(-1, 999999999).UTC(), time.Unix(math.MaxUint32, 0).UTC(), time.Unix(1, 1).UTC(),
		scalars{true, -1, -8, -16, -32, -64, 1, 8, 16, 32, 64, 5, 1.25, 2.5, "s", time.Hour, "any", 7}, scalars{},
		[]byte{}, []byte("bytes"), []byte(long), [3]byte{1, 2, 3}, id{4, 3, 2, 1}, blob("own"), [0]int{}, []int{}, many, names,
		[]string{"a", ""}, [2]string{"x", "y"}, [][]byte{nil, {}, {1}}, [2]*int{nil, ptr(3)}, []any{nil, "x", true, int64(-7), 2.5},
		map[string]int{"a": 1, "": 2, "$libchan": 3, "$$libchan": 4, "$libchan2": 5}, map[string]any{"$libchan": int64(3)},
		map[int64]string{-1: "a", 1 << 40: "b"}, map[uint8]bool{0: true, 255: false}, map[bool]int{true: 1, false: 2},
		map[float64]int{1.5: 1, 2: 2, math.Inf(1): 3}, map[float32]int{0.1: 1}, map[Month]int{3: 4},
		map[level]string{3: "three"}, map[netip.Addr]int{netip.MustParseAddr("10.0.0.1"): 9}, map[string]map[string][]int{"a": {"b": {1}}},
		map[any]any{"a": int64(1)}, map[uint64]int{math.MaxUint64: 1}, map[string]struct{}{"in": {}},
		struct{}{}, level(4), []level{1, 2}, netip.MustParseAddrPort("[::1]:80"), url.URL{Scheme: "http", Host: "h", Path: "/p"},
		*big.NewInt(1).Lsh(big.NewInt(1), 200), big.NewInt(-5),
		outer{Base: Base{ID: 1}, Deep: &Deep{&Base{ID: 2, Name: "deep"}}, hidden: hidden{"seen"}, Name: "outer"}, outer{Name: "no deep"},
		named{Base: Base{ID: 1, Name: "n"}, Text: "t", Time: at, Dash: 2, Odd: "o", Omit: struct{ A []int }{[]int{1}}}, named{},
		stamped{at, "note"}, list{{}, {{}, {}}, nil}, tree{"a": {"b": nil, "c": {}}}, chain{1, &chain{2, &chain{3, nil}}},
		ptr(ptr(ptr(7))), ptr("p"), []*string{ptr("a"), nil}, struct{ A, B *int }{ptr(1), nil},
		struct{ In struct{ Anon int } }{struct{ Anon int }{3}},
	}
	for _, c := range notations {
		t.Run(c.Name(), func(t *testing.T) {
			for _, v := range values {
				if got := sent(t, c, v, nil); !reflect.DeepEqual(got, v) {
					t.Errorf("L1: sent %#v, received %#v", v, got)
				}
			}
		})
	}
}

// What arrives in a variable of another type than the one sent.
func TestValuesArriveElsewhere(t *testing.T) {
	at := time.Date(2026, 7, 1, 14, 0, 0, 5, time.FixedZone("east", 7200))
	now := time.Now() // with the reading of the monotonic clock
	var nothing *chain
	var none any
	tests := []struct {
		name     string
		v        any
		into     any
		want     any
		wantJSON any // if it differs
	}{
		{"any: whole numbers", []any{uint8(1), int32(-1), uint64(math.MaxUint64)}, new(any), []any{int64(1), int64(-1), uint64(math.MaxUint64)}, nil},
		{"any: fractions", []any{float32(0.5), 2.0}, new(any), []any{0.5, 2.0}, nil},
		{"any: struct", Base{ID: 1, Name: "n"}, new(any), map[string]any{"ID": int64(1), "Name": "n"}, nil},
		{"any: map", map[string]any{"a": []string{"x"}}, new(any), map[string]any{"a": []any{"x"}}, nil},
		{"any: keys", map[any]int{1: 1, true: 2, "s": 3, 0.5: 4, uint64(math.MaxUint64): 5}, new(any),
			map[any]any{int64(1): int64(1), true: int64(2), "s": int64(3), 0.5: int64(4), uint64(math.MaxUint64): int64(5)},
			map[string]any{"1": int64(1), "true": int64(2), "s": int64(3), "0.5": int64(4), "18446744073709551615": int64(5)}},
		{"any: bytes and time", []any{[]byte{1}, time.Unix(1, 0)}, new(any), []any{[]byte{1}, time.Unix(1, 0).UTC()}, []any{"AQ==", "1970-01-01T00:00:01Z"}},
		{"any: text", level(3), new(any), "level 3", nil},
		{"any: nil", nothing, new(any), none, nil},
		{"any: replaced", nil, ptr[any]("was"), none, nil},
		{"zone", at, new(time.Time), at.UTC(), nil},
		{"monotonic", now, new(time.Time), now.Round(0).UTC(), nil},
		{"duration", time.Second, new(int64), int64(1e9), nil},
		{"narrower", int64(-5), new(int8), int8(-5), nil},
		{"unsigned", 5, new(uint8), uint8(5), nil},
		{"whole to float", 3, new(float64), 3.0, nil},
		{"large to float", uint64(math.MaxUint64), new(float32), float32(1 << 64), nil},
		{"float64 to float32", 0.5, new(float32), float32(0.5), nil},
		{"list to bytes", []int{1, 2}, new([]byte), []byte{1, 2}, nil},
		{"bytes to array", []byte{1, 2}, new([2]byte), [2]byte{1, 2}, nil},
		{"list to byte array", []int{1, 2}, new([2]byte), [2]byte{1, 2}, nil},
		{"list to array", []int{1, 2}, new([2]int), [2]int{1, 2}, nil},
		{"map to struct", map[string]any{"ID": 3, "More": []any{map[string]any{"a": 1}}}, new(Base), Base{ID: 3}, nil},
		{"struct to map", Base{ID: 3, Name: "x"}, new(map[string]any), map[string]any{"ID": int64(3), "Name": "x"}, nil},
		{"value to pointer", 3, new(**int), ptr(ptr(3)), nil},
		{"pointer to value", ptr(ptr(3)), new(int), 3, nil},
		{"defined type", Month(3), new(int), 3, nil},
		{"text", level(3), new(string), "level 3", nil},

		{"nil leaves a number", nil, ptr(7), 7, nil},
		{"nil leaves a string", nothing, ptr("was"), "was", nil},
		{"nil leaves a struct", nil, &Base{ID: 7}, Base{ID: 7}, nil},
		{"nil leaves a time", nil, ptr(at), at, nil},
		{"nil leaves an array", nil, &[2]int{1, 2}, [2]int{1, 2}, nil},
		{"nil pointer", nil, ptr(ptr(7)), (*int)(nil), nil},
		{"nil slice", nil, &[]int{7}, []int(nil), nil},
		{"nil bytes", []byte(nil), &[]byte{7}, []byte(nil), nil},
		{"nil map", nil, &map[string]int{"a": 7}, map[string]int(nil), nil},
		{"missing", struct{ Name string }{"new"}, &Base{ID: 7, Name: "old", old: 3}, Base{ID: 7, Name: "new", old: 3}, nil},
		{"missing in what is pointed to", struct{ Next *struct{ N int } }{&struct{ N int }{5}},
			&chain{1, &chain{2, &chain{3, nil}}}, chain{1, &chain{5, &chain{3, nil}}}, nil},
		{"unknown", struct {
			New  map[string][]any
			Name string
			More []any
		}{map[string][]any{"a": {1, nil, map[int]int{1: 2}}}, "n", []any{2.5, []byte{1}, at}}, &Base{ID: 1}, Base{ID: 1, Name: "n"}, nil},
		{"other case", map[string]int{"id": 5}, &Base{ID: 1}, Base{ID: 1}, nil},
		{"map is filled", map[string]int{"b": 2, "c": 3}, &map[string]int{"a": 1, "b": 1}, map[string]int{"a": 1, "b": 2, "c": 3}, nil},
		{"slice is replaced", []Base{{Name: "x"}}, &[]Base{{ID: 1}, {ID: 2}}, []Base{{Name: "x"}}, nil},
		{"slice of a longer one", []*Base{{ID: 1}}, &[]*Base{nil, nil}, []*Base{{ID: 1}}, nil},

		{"two embedded of one name", both{left{1, 2}, right{3}}, new(map[string]int), map[string]int{"Own": 2}, nil},
		{"one embedded twice", twice{Own: 1}, new(map[string]int), map[string]int{"Own": 1}, nil},
		{"tags", named{Gone: 1, Dash: 2, Odd: "o"}, new(map[string]any), map[string]any{"base": map[string]any{"ID": int64(0), "Name": ""},
			"Time": time.Time{}, "-": int64(2), "$libchan": "o"}, map[string]any{"base": map[string]any{"ID": int64(0), "Name": ""},
			"Time": "0001-01-01T00:00:00Z", "-": int64(2), "$libchan": "o"}},
		{"embedded nil", outer{}, new(map[string]any), map[string]any{"ID": int64(0), "Seen": "", "Name": ""}, nil},
		{"embedded is made", map[string]any{"Deepest": Base{ID: 1}}, new(outer), outer{Deep: &Deep{&Base{ID: 1}}}, nil},
		{"invalid UTF-8 in bytes", []byte("\xff"), new([]byte), []byte("\xff"), nil},
	}
	for _, c := range notations {
		for _, test := range tests {
			t.Run(c.Name()+"/"+test.name, func(t *testing.T) {
				into := reflect.New(reflect.TypeOf(test.into).Elem())
				into.Elem().Set(cloned(reflect.ValueOf(test.into).Elem()))
				want := test.want
				if c == JSON && test.wantJSON != nil {
					want = test.wantJSON
				}
				if got := sent(t, c, test.v, into.Interface()); !reflect.DeepEqual(got, want) {
					t.Errorf("L1: sent %#v, received %#v, want %#v", test.v, got, want)
				}
			})
		}
	}
}

// cloned returns a copy of a pointer, slice or map with which the next codec can begin.
func cloned(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(v.Elem())
		return c
	case reflect.Slice:
		return reflect.AppendSlice(reflect.Zero(v.Type()), v)
	case reflect.Map:
		c := reflect.MakeMap(v.Type())
		for iter := v.MapRange(); iter.Next(); {
			c.SetMapIndex(iter.Key(), iter.Value())
		}
		return c
	case reflect.Struct:
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		if at, ok := c.Addr().Interface().(*chain); ok && at.Next != nil {
			at.Next = cloned(reflect.ValueOf(at.Next)).Interface().(*chain)
		}
		return c
	}
	return v
}

// The numbers that are none, and strings that are no text.
func TestOddValues(t *testing.T) {
	for _, c := range []Codec{Msgpack, Gob} {
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			if got := sent(t, c, v, nil).(float64); got != v && !(math.IsNaN(got) && math.IsNaN(v)) {
				t.Errorf("L1: %s: sent %v, received %v", c.Name(), v, got)
			}
			if got := sent(t, c, float32(v), nil).(float32); got != float32(v) && got == got {
				t.Errorf("L1: %s: sent %v as a float32, received %v", c.Name(), v, got)
			}
		}
		if got := sent(t, c, map[float64]int{math.NaN(): 1}, nil).(map[float64]int); len(got) != 1 {
			t.Errorf("L1: %s: a key NaN has become %v", c.Name(), got)
		}
		if got := sent(t, c, "\xff\xfe", nil); got != "\xff\xfe" {
			t.Errorf("L1: %s: a string that is not UTF-8 has become %q", c.Name(), got)
		}
	}
	for v, want := range map[any]string{
		math.NaN(): "JSON has no number NaN",
		"\xff":     "not UTF-8",
		struct{ F float32 }{float32(math.Inf(1))}:                           ".F: JSON has no number +Inf",
		struct{ T time.Time }{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}: ".T: ",
	} {
		if b, err := JSON.Marshal(nil, v, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("L1: %v has become %q in JSON, and the error is %v", v, b, err)
		}
	}
}

// A protobuf message may be a message or a part of one.
func TestProtobufInside(t *testing.T) {
	type job struct {
		P    *wrapperspb.StringValue
		V    wrapperspb.Int32Value
		L    []*wrapperspb.BoolValue
		M    map[string]*wrapperspb.StringValue
		Nil  *wrapperspb.StringValue
		Leer *wrapperspb.StringValue
	}
	for _, c := range notations {
		v := &job{P: wrapperspb.String("p"), L: []*wrapperspb.BoolValue{wrapperspb.Bool(true), nil},
			M: map[string]*wrapperspb.StringValue{"k": wrapperspb.String("m")}, Leer: new(wrapperspb.StringValue)}
		v.V.Value = 7
		got := sent(t, c, v, nil).(*job)
		if got.P.GetValue() != "p" || got.V.Value != 7 || len(got.L) != 2 || !got.L[0].Value || got.L[1] != nil ||
			got.M["k"].GetValue() != "m" || got.Nil != nil || got.Leer == nil {
			t.Errorf("L1: %s: received %v", c.Name(), got)
		}
		top := sent(t, c, wrapperspb.String("top"), nil)
		if !proto.Equal(top.(proto.Message), wrapperspb.String("top")) {
			t.Errorf("L1: %s: received %v", c.Name(), top)
		}
	}
}

// Many fields, at most 64 of which are told apart by a bit.
func TestManyFields(t *testing.T) {
	var fields []reflect.StructField
	for i := range 130 {
		fields = append(fields, reflect.StructField{Name: fmt.Sprint("F", i), Type: reflect.TypeFor[int]()})
	}
	v := reflect.New(reflect.StructOf(fields)).Elem()
	for i := range fields {
		v.Field(i).SetInt(int64(i + 1))
	}
	for _, c := range notations {
		if got := sent(t, c, v.Interface(), nil); !reflect.DeepEqual(got, v.Interface()) {
			t.Errorf("L1: %s: received %v", c.Name(), got)
		}
	}
}

// A message is the same whoever encodes at the same time, also when a type is met first.
func TestCodecsAreConcurrent(t *testing.T) {
	type fresh struct {
		Self *fresh
		M    map[string][]fresh
		S    string
	}
	for _, c := range notations {
		done := make(chan any)
		for i := range 8 {
			go func() {
				v := fresh{&fresh{S: fmt.Sprint(i)}, map[string][]fresh{"a": {{S: "x"}}}, "y"}
				var got fresh
				b, err := c.Marshal(nil, v, nil)
				if err == nil {
					err = c.Unmarshal(b, &got, nil)
				}
				if err == nil && !reflect.DeepEqual(got, v) {
					err = fmt.Errorf("received %v", got)
				}
				done <- err
			}()
		}
		for range 8 {
			if err := <-done; err != nil {
				t.Errorf("L1: %s: %v", c.Name(), err)
			}
		}
	}
}
