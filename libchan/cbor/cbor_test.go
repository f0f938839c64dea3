// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package cbor_test

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/libchan"
	"github.com/containerd/ttrpc/libchan/cbor"
)

type record struct {
	N    int8
	U    uint64
	F    float32
	S    string `libchan:"text"`
	Skip int    `libchan:"-"`
	Omit *int   `libchan:",omitempty"`
	D    time.Duration
	T    time.Time
	B    []byte
	A    [2]string
	L    []record
	M    map[string]any
	K    map[int]string
	Big  *big.Int
	P    *wrapperspb.StringValue
	inner
}

type inner struct{ In bool }

// table is one of strings.
type table struct{ list []string }

type entry string

func (*table) Carries(t reflect.Type) bool { return t == reflect.TypeFor[entry]() }

func (r *table) Add(v reflect.Value) (int, bool, error) {
	e, ok := v.Interface().(entry)
	if ok {
		r.list = append(r.list, string(e))
	}
	return len(r.list) - 1, ok, nil
}

func (r *table) Get(i int, _ reflect.Type) (reflect.Value, error) {
	if i >= len(r.list) {
		return reflect.Value{}, fmt.Errorf("no entry %d", i)
	}
	return reflect.ValueOf(entry(r.list[i])), nil
}

func TestValuesArrive(t *testing.T) {
	for _, v := range []any{
		true, -1, math.MinInt64, uint64(math.MaxUint64), 1.5, math.Pi, float32(0.1), math.Inf(1), "", "text \u00e9", "\xff", []byte("\xff"), []byte{},
		time.Date(2026, 7, 1, 12, 0, 0, 123456789, time.UTC), time.Time{}, time.Unix(-1, 0).UTC(), time.Minute, []int(nil), []int{}, map[int]bool{-1: true},
		record{N: -128, U: math.MaxUint64, F: 0.1, S: "s", D: 5, T: time.Unix(1, 2).UTC(), B: []byte("b"), A: [2]string{"x", ""},
			L: []record{{T: time.Unix(0, 0).UTC()}}, M: map[string]any{"a": []any{nil, int64(1), "x", 0.5, []byte{1}, time.Unix(5, 0).UTC()}},
			K: map[int]string{1: "one"}, Big: big.NewInt(-7), inner: inner{true}},
		map[any]any{int64(1): "x", "y": true, 0.5: nil}, make([]string, 200_000),
	} {
		b, err := cbor.Codec.Marshal([]byte("before"), v, nil)
		if err != nil || string(b[:6]) != "before" {
			t.Errorf("L1: %.80v is %.80q, %v", v, b, err)
			continue
		}
		got := reflect.New(reflect.TypeOf(v))
		if err := cbor.Codec.Unmarshal(b[6:], got.Interface(), nil); err != nil || !reflect.DeepEqual(got.Elem().Interface(), v) {
			t.Errorf("L1: sent %.200v, received %.200v, %v", v, got.Elem(), err)
		}
	}
}

// What stands on the wire, and what others may write.
func TestBytes(t *testing.T) {
	type m = map[string]any
	for want, v := range map[string]any{
		"\xf6": nil, "\xf5": true, "\x05": 5, "\x24": -5, "\xf9\x3e\x00": 1.5, "\xfb\x40\x09\x21\xfb\x54\x44\x2d\x18": math.Pi,
		"\x61a": "a", "\x41a": []byte("a"), "\x82\x01\x80": []any{1, []int{}}, "\xa1\x61a\x01": m{"a": 1}, "\xa1\x03\xf5": map[int]bool{3: true},
		"\xc0\x741970-01-01T00:00:01Z": time.Unix(1, 0), "\xa1\x61a\xda\x6c\x69\x62\x63\x00": m{"a": entry("e")},
	} {
		if b, err := cbor.Codec.Marshal(nil, v, new(table)); err != nil || string(b) != want {
			t.Errorf("L1: %v is %q, %v, and should be %q", v, b, err, want)
		}
	}
	for data, want := range map[string]any{
		"\x18\x01": int64(1), "\x1b\xff\xff\xff\xff\xff\xff\xff\xff": uint64(math.MaxUint64), "\xf7": nil, "\x9f\x01\xff": []any{int64(1)},
		"\xbf\x61a\x01\xff": m{"a": int64(1)}, "\x7f\x61a\x61b\xff": "ab", "\xc1\x01": time.Unix(1, 0).UTC(), "\xd9\x03\xe8\x05": int64(5),
		"\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00": "18446744073709551616", "\xda\x6c\x69\x62\x63\x01": entry("two"),
	} {
		var got any
		if err := cbor.Codec.Unmarshal([]byte(data), &got, &table{[]string{"one", "two"}}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("L1: %q is %#v, %v, and should be %#v", data, got, err, want)
		}
	}
}

func TestErrors(t *testing.T) {
	deep := any(0)
	for range 1000 {
		deep = []any{deep}
	}
	for want, v := range map[string]any{
		"libchan: message.F: func() cannot travel in a message": struct{ F func() }{},
		"nests more than 500 deep":                              deep,
	} {
		if b, err := cbor.Codec.Marshal([]byte("b"), v, nil); err == nil || !strings.Contains(err.Error(), want) || string(b) != "b" {
			t.Errorf("L1: %q, and the error is %v, and should have %q", b, err, want)
		}
	}
	for _, test := range []struct{ data, want string }{
		{"\xa1\x61N\x18\x80", "libchan: record.N: 128 does not fit int8"},
		{"\xa1\x61L\x82\xf6\xa1\x64text\x01", "libchan: record.L[1].text: a number where a string is wanted"},
		{"\xa1\x61N\xda\x6c\x69\x62\x63\x00", "record.N: a reference to what travels beside the message where a whole number is wanted"},
		{"\xa1\x61M\xa1\x61a\xda\x6c\x69\x62\x63\x02", `record.M["a"]: no entry 2`},
		{"\xa1\x61M\xa1\x61a\xda\x6c\x69\x62\x63\x20", "a reference with the index -1"},
		{"\xa1\x61M\xa1\x61a\xda\x6c\x69\x62\x63\x61x", "libchan: cbor: "},
		{"\xa2\x61N\x01\x61N\x01", `libchan: cbor: found duplicate map key`},
		{"", "libchan: EOF"}, {"\xa1", "libchan: unexpected EOF"}, {"\xa0\x00", "libchan: cbor: 1 bytes of extraneous data"},
		{"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", "libchan: cbor: "}, {"\x9a\x7f\xff\xff\xff", "libchan: unexpected EOF"},
		{strings.Repeat("\x81", 999) + "\x01", "nests more than 500 deep"},
		{strings.Repeat("\x81", 100_000) + "\x01", "libchan: cbor: exceeded max nested level 1000"},
		{"\xff", "libchan: cbor: "}, {"\x1c", "libchan: cbor: "},
	} {
		err := cbor.Codec.Unmarshal([]byte(test.data), new(record), &table{[]string{"one", "two"}})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("L1: %.30q: the error is %v, and should have %q", test.data, err, test.want)
		}
	}
	if err := cbor.Codec.Unmarshal([]byte("\x01"), 5, nil); err == nil {
		t.Error("L1: received into a number that is not pointed to")
	}
}

// sessions returns the two sides of a session in memory.
func sessions(t *testing.T, opts ...libchan.Option) (a, b *libchan.Session) {
	t.Helper()
	near, far := net.Pipe()
	served := make(chan *libchan.Session)
	go func() {
		s, err := libchan.NewServer(far, opts...)
		if err != nil {
			t.Errorf("NewServer: %v", err)
		}
		served <- s
	}()
	a, err := libchan.NewClient(near, opts...)
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	b = <-served
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

// An end in a message arrives, and a side without the codec is told so.
func TestSession(t *testing.T) {
	a, b := sessions(t, libchan.WithCodec(cbor.Codec))
	s, err := a.NewSendChannel()
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.WaitReceiveChannel()
	if err != nil {
		t.Fatal(err)
	}
	answers, ret := libchan.Make[string](1)
	type job struct {
		Name string
		Rets map[string][]libchan.SendChan[string]
		Nil  libchan.Sender
	}
	if err := s.Send(job{"job", map[string][]libchan.SendChan[string]{"a": {{}, ret}}, nil}); err != nil {
		t.Fatal(err)
	}
	var raw libchan.Raw
	if err := r.Receive(&raw); err != nil || raw.Codec != "cbor" || raw.Len() != 1 {
		t.Fatalf("L1: received %+v, %v", raw, err)
	}
	if err := s.Send(&raw); err != nil { // L5: as it came
		t.Fatal(err)
	}
	var got job
	if err := r.Receive(&got); err != nil || got.Name != "job" || got.Nil != nil || got.Rets["a"][0].Sender() != nil {
		t.Fatalf("L2: received %+v, %v", got, err)
	}
	if err := got.Rets["a"][1].Send(t.Context(), "answer"); err != nil {
		t.Error(err)
	}
	if v, err := answers.Receive(t.Context()); v != "answer" || err != nil {
		t.Errorf("L2: received %q, %v", v, err)
	}
	if err := ret.Send(t.Context(), "x"); !errors.Is(err, libchan.ErrGivenAway) {
		t.Errorf("L2: what was sent away returns %v", err)
	}
	back, err := b.NewSendChannel()
	if err != nil {
		t.Fatal(err)
	}
	if err := back.Send(raw); err != nil {
		t.Fatal(err)
	}
}

// FuzzDecode gives any bytes to the codec. What it decodes it can encode, and that is the same
// when it is decoded again.
func FuzzDecode(f *testing.F) {
	for _, v := range []any{record{N: 5, L: []record{{S: "x"}}, M: map[string]any{"a": entry("e")}, P: wrapperspb.String("p")},
		[]any{nil, 0.5, "x", time.Unix(1, 1), map[int]string{1: "x"}, uint64(math.MaxUint64)}} {
		b, err := cbor.Codec.Marshal(nil, v, new(table))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\xbf\x61a\x9f\xc2\x41\x01\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		refs := &table{[]string{"one", "two"}}
		for _, new := range []func() any{func() any { return new(any) }, func() any { return new(record) }} {
			v, again := new(), new()
			if cbor.Codec.Unmarshal(data, v, refs) != nil {
				continue
			}
			sent := &table{}
			b, err := cbor.Codec.Marshal(nil, v, sent)
			if err == nil {
				err = cbor.Codec.Unmarshal(b, again, sent)
			}
			if s1, s2 := plain(t, v), plain(t, again); err != nil || s1 != s2 {
				t.Fatalf("L1: %s became %s, %v", s1, s2, err)
			}
		}
	})
}

// plain returns a value as it is printed: NaN is equal then.
func plain(t *testing.T, v any) string {
	p, err := libchan.Plain(v, nil)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%#v", p)
}
