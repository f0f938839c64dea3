// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A model has a field of each kind.
type model struct {
	scalars
	T     time.Time
	L     []model
	M     map[string]*model
	K     map[int16]string
	F     map[float64]bool
	Any   map[any]any
	A     [2]uint16
	Bytes []byte
	ID    id
	Text  level
	P     *wrapperspb.StringValue
	R     Ref
	Rs    []Ref
	Omit  *chain `libchan:"o,omitempty"`
}

// FuzzDecode gives any bytes to each codec. What one decodes it can encode, and that is the
// same when it is decoded again; none of it takes memory that the message has not earned.
func FuzzDecode(f *testing.F) {
	for i, c := range builtin {
		for _, v := range fuzzSeeds() {
			if c == Protobuf {
				s, err := structpb.NewStruct(map[string]any{"a": []any{1, "b", nil}})
				if err != nil {
					f.Fatal(err)
				}
				v = With(s, Ref(3), nil, Ref(0))
			}
			data, err := c.Marshal(nil, v, plainRefs{})
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), data)
		}
	}
	for _, text := range []string{`{"$libchan":0}`, `{"$$libchan":[1e5,"\ud83d\ude00\u0024"]}`, "\xdd\xff\xff\xff\xff", "\xca\x7f\xc0\x00\x00"} {
		f.Add(uint8(0), []byte(text))
		f.Add(uint8(1), []byte(text))
	}
	f.Fuzz(func(t *testing.T, i uint8, data []byte) {
		c := builtin[int(i)%len(builtin)]
		most := uint64(1<<20 + 512*len(data))
		if c == Gob {
			most += 24 << 20 // what encoding/gob itself takes
		}
		if used := allocated(func() { checkDecode(t, c, data) }); used > most {
			t.Errorf("L14: %s: %d bytes were allocated for a message of %d", c.Name(), used, len(data))
		}
	})
}

func fuzzSeeds() []any {
	m := model{scalars: scalars{S: "text", F64: math.Pi, Any: []any{nil, true}}, T: time.Unix(1, 1), M: map[string]*model{"": nil},
		K: map[int16]string{-1: "x"}, F: map[float64]bool{0.5: true}, Any: map[any]any{1: "x", "y": Ref(1)}, Bytes: []byte("\x00"),
		P: wrapperspb.String("p"), R: 1, Rs: []Ref{2}, Omit: &chain{Next: &chain{}}}
	return []any{m, model{L: []model{m}}, []any{0.5, uint64(math.MaxUint64), map[string]any{"$libchan": -5}}, nil}
}

func checkDecode(t *testing.T, c Codec, data []byte) {
	if c == Protobuf {
		checkProtobuf(t, data)
		return
	}
	var v, again any
	if c.Unmarshal(data, &v, plainRefs{}) == nil {
		recode(t, c, v, &again)
		same(t, c, v, again)
	}
	var m, m2 model
	if c.Unmarshal(data, &m, plainRefs{}) == nil {
		recode(t, c, m, &m2)
		same(t, c, m, m2)
	}
}

func recode(t *testing.T, c Codec, v, into any) {
	data, err := c.Marshal(nil, v, plainRefs{})
	if err == nil {
		err = c.Unmarshal(data, into, plainRefs{})
	}
	if err != nil {
		t.Fatalf("L1: %s: what was decoded, %#v, is encoded as %q: %v", c.Name(), v, data, err)
	}
}

// same compares plain values as they are printed: NaN is equal then.
func same(t *testing.T, c Codec, a, b any) {
	p1, err1 := Plain(a, nil)
	p2, err2 := Plain(b, nil)
	if s1, s2 := fmt.Sprintf("%#v", p1), fmt.Sprintf("%#v", p2); err1 != nil || err2 != nil || s1 != s2 {
		t.Fatalf("L1: %s: %s became %s (%v, %v)", c.Name(), s1, s2, err1, err2)
	}
}

func checkProtobuf(t *testing.T, data []byte) {
	var s, again structpb.Struct
	var refs, refs2 [3]any
	with := func(s proto.Message, refs *[3]any) any { return With(s, &refs[0], &refs[1], &refs[2]) }
	if Protobuf.Unmarshal(data, with(&s, &refs), plainRefs{}) != nil {
		return
	}
	b, err := Protobuf.Marshal(nil, With(&s, refs[:]...), plainRefs{})
	if err == nil {
		err = Protobuf.Unmarshal(b, with(&again, &refs2), plainRefs{})
	}
	if err != nil || !proto.Equal(&s, &again) && fmt.Sprint(&s) != fmt.Sprint(&again) || refs != refs2 {
		t.Fatalf("L1: %v with %v became %v with %v, %v", &s, refs, &again, refs2, err)
	}
}
