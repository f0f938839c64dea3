// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"errors"
	"io"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// fails expects an error that has the text.
func fails(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("L1: the error is %v, and should have %q", err, want)
	}
}

type Order struct {
	Name  string
	Items []Item
	Notes map[string]*Item
	Any   any
	*Extra
}

type Item struct {
	Count int8
	Price float32
	At    time.Time
	Tags  [2]string
	ID    id
	Err   error
}

type Extra struct{ Flags []bool }

// An error names the field, in the words of the sender's mistake or the receiver's.
func TestErrorsNameTheField(t *testing.T) {
	type m = map[string]any
	item := func(name string, v any) m { return m{"Items": []any{nil, m{name: v}}} }
	tests := []struct {
		v    any
		want string
	}{
		{7, "Order: a number where a struct is wanted"},
		{[]int{}, "Order: a list where a struct is wanted"},
		{m{"Name": 7}, "Order.Name: a number where a string is wanted"},
		{m{"Name": m{}}, "Order.Name: a map where a string is wanted"},
		{m{"Items": "x"}, "Order.Items: a string where a list is wanted"},
		{m{"Notes": 1.5}, "Order.Notes: a number with a fraction where a map is wanted"},
		{m{"Notes": m{"a b": 1}}, `Order.Notes["a b"]: a number where a struct is wanted`},
		{m{"Flags": []any{true, 1}}, "Order.Flags[1]: a number where a boolean is wanted"},
		{item("Count", "x"), "Order.Items[1].Count: a string where a whole number is wanted"},
		{item("Count", 1.5), "Order.Items[1].Count: a number with a fraction where a whole number is wanted"},
		{item("Count", 128), "Order.Items[1].Count: 128 does not fit int8"},
		{item("Count", uint64(math.MaxUint64)), "Order.Items[1].Count: 18446744073709551615 does not fit int8"},
		{item("Count", 1e30), "Order.Items[1].Count: 1e+30 does not fit int8"},
		{item("Price", true), "Order.Items[1].Price: a boolean where a number is wanted"},
		{item("Price", 1e39), "Order.Items[1].Price: 1e+39 does not fit float32"},
		{item("At", 5), "Order.Items[1].At: a number where a time is wanted"},
		{item("Tags", []string{"a"}), "Order.Items[1].Tags: a list of 1 where 2 are wanted"},
		{item("Tags", []string{"a", "b", "c"}), "Order.Items[1].Tags[2]: one more than the 2 elements that are wanted"},
		{item("ID", []byte{1, 2, 3}), "Order.Items[1].ID: 3 bytes where 4 are wanted"},
		{item("ID", 1), "Order.Items[1].ID: a number where a list of bytes is wanted"},
		{item("Err", "x"), "Order.Items[1].Err: a string where error is wanted"},
	}
	for _, c := range notations {
		for _, test := range tests {
			err := c.Unmarshal(encoded(t, c, test.v), new(Order), nil)
			fails(t, err, "libchan: "+c.Name()+": "+test.want)
		}
		fails(t, c.Unmarshal(encoded(t, c, "x"), ptr(ptr(5)), nil), "message: a string where a whole number is wanted")
		fails(t, c.Unmarshal(encoded(t, c, -1), new(uint), nil), "message: -1 does not fit uint")
		fails(t, c.Unmarshal(encoded(t, c, uint64(math.MaxUint64)), new(int), nil), "does not fit int")
		fails(t, c.Unmarshal(encoded(t, c, "x"), new(level), nil), "level: input does not match format")
		fails(t, c.Unmarshal(encoded(t, c, map[string]int{"x": 1}), new(map[int]int), nil), "a key: a string where a whole number is wanted")
		fails(t, c.Unmarshal(encoded(t, c, map[string]int{"300": 1}), new(map[uint8]int), nil), "a key: ")
		fails(t, c.Unmarshal(encoded(t, c, map[string]int{"yes": 1}), new(map[bool]int), nil), "a key: a string where a boolean is wanted")
		fails(t, c.Unmarshal(encoded(t, c, 5), 5, nil), "a message is received into a pointer, not into int")
		fails(t, c.Unmarshal(encoded(t, c, 5), nil, nil), "a message is received into a pointer, not into <nil>")
		fails(t, c.Unmarshal(encoded(t, c, 5), (*int)(nil), nil), "a message cannot be received into a nil *int")
	}
	fails(t, JSON.Unmarshal([]byte(`"not base 64!"`), new([]byte), nil), "not base 64 where bytes are wanted")
	fails(t, JSON.Unmarshal([]byte(`"yesterday"`), new(time.Time), nil), "Time: parsing time")
}

type (
	ring   struct{ Next *ring }
	itself *itself
	secret struct{ key string }
)

// brokenText cannot tell its text.
type brokenText int

var errBroken = errors.New("broken")

func (brokenText) MarshalText() ([]byte, error) { return nil, errBroken }

func (*brokenText) UnmarshalText([]byte) error { return errBroken }

func TestWhatCannotTravelIsNamed(t *testing.T) {
	around := new(ring)
	around.Next = around
	var self itself
	self = &self
	var anyOfItself any
	anyOfItself = &anyOfItself
	listOfItself := make([]any, 1)
	listOfItself[0] = listOfItself
	mapOfItself := make(map[string]any)
	mapOfItself["a"] = mapOfItself
	deep := any("bottom")
	for range 1000 {
		deep = []any{deep}
	}
	type job struct {
		F any
		G func() `libchan:",omitempty"`
	}
	tests := []struct {
		v    any
		want string
	}{
		{func() {}, "message: func() cannot travel in a message"},
		{job{F: func(int) {}}, `job.F: func(int) cannot travel in a message: the tag libchan:"-" leaves a field out`},
		{job{G: func() {}}, "job.G: func() cannot travel in a message"},
		{struct{ C chan int }{}, "message.C: chan int cannot travel in a message"},
		{[]any{1, map[string]any{"a": make(chan int)}}, `message[1]["a"]: chan int cannot travel in a message`},
		{map[int]any{3: complex(1, 2)}, `message[3]: complex128 cannot travel in a message`},
		{job{F: errBroken}, "job.F: errors.errorString has no exported fields"},
		{job{F: secret{"x"}}, "job.F: libchan.secret has no exported fields"},
		{job{F: brokenText(1)}, "job.F: broken"},
		{map[brokenText]int{1: 1}, "broken"},
		{map[[2]int]int{{1, 2}: 1}, "the keys of a map in a message are strings, numbers or booleans, not [2]int"},
		{map[any]int{struct{ A int }{1}: 1}, "the keys of a map in a message are strings, numbers or booleans, not struct { A int }"},
		{map[any]int{nil: 1}, "nil cannot be the key of a map in a message"},
		{struct {
			A int `libchan:"a,omitzero"`
		}{}, `message.a: libchan tags have no option "omitzero"`},
		{around, "ring.Next.Next.Next"},
		{around, "nests more than 500 deep"},
		{self, "nests more than 500 deep"},
		{anyOfItself, "nests more than 500 deep"},
		{listOfItself, "message[0][0]"},
		{mapOfItself, "nests more than 500 deep"},
		{deep, "nests more than 500 deep"},
		{Raw{}, "a Raw is a message, and cannot be in one"},
		{job{F: &Raw{}}, "job.F: a Raw is a message, and cannot be in one"},
		{job{F: With(nil)}, "job.F: a message With attachments needs the protobuf codec"},
	}
	for _, c := range notations {
		for _, test := range tests {
			b, err := c.Marshal([]byte("before"), test.v, nil)
			fails(t, err, test.want)
			if string(b) != "before" || err != nil && len(err.Error()) > 500 {
				t.Errorf("L1: %q and an error of %d bytes", b, len(err.Error()))
			}
		}
		if err := c.Unmarshal(encoded(t, c, 5), &self, nil); err == nil {
			t.Error("L1: a pointer that points to itself alone has become a number")
		}
		fails(t, c.Unmarshal(encoded(t, c, 5), new(func()), nil), "func() cannot travel")
		_, err := c.Marshal(nil, job{F: brokenText(1)}, nil)
		if !errors.Is(err, errBroken) {
			t.Errorf("L1: %v is not the error of MarshalText", err)
		}
	}
}

// What nests deep on the wire is refused whether somebody wants it or not.
func TestDeepMessages(t *testing.T) {
	for name, b := range map[string][]byte{
		"msgpack list": append([]byte(strings.Repeat("\x91", 1000)), 1),
		"msgpack map":  append([]byte(strings.Repeat("\x81\x01", 1000)), 1),
		"json list":    []byte(strings.Repeat("[", 1000) + strings.Repeat("]", 1000)),
		"json map":     []byte(strings.Repeat(`{"A":`, 1000) + "1" + strings.Repeat("}", 1000)),
		"json, cut":    []byte(strings.Repeat("[", 1_000_000)),
		"gob list":     encodedTokens(t, func(w *gobWriter) { deepTokens(w, 1000) }),
	} {
		codec, _, _ := strings.Cut(name, " ")
		c, err := codecNamed(strings.Trim(codec, ","), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, into := range []any{new(any), new(struct{ X int }), new(list), new([]any), new(map[string]any)} {
			fails(t, c.Unmarshal(b, into, nil), "")
		}
		fails(t, c.Unmarshal(b, new(any), nil), "nests more than 500 deep")
		whole := encoded(t, c, map[string]any{"More": nil, "X": 5})
		var got struct{ X int }
		if err := c.Unmarshal(whole, &got, nil); err != nil || got.X != 5 {
			t.Errorf("L1: %s: afterwards %v, %v", name, got, err)
		}
	}
	unknown := []byte(`{"More":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`)
	fails(t, JSON.Unmarshal(unknown, new(struct{ X int }), nil), "nests more than 500 deep")
}

func deepTokens(w *gobWriter, n int) {
	for range n {
		w.list(1)
	}
	w.null()
}

// encodedTokens returns the gob of what write has written.
func encodedTokens(t *testing.T, write func(w *gobWriter)) []byte {
	t.Helper()
	w := new(gobWriter)
	w.reset(nil)
	write(w)
	b, err := w.done()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Of a message that is cut off, or has more behind it, nothing is good.
func TestCutAndTrailing(t *testing.T) {
	v := map[string]any{"a": []any{int64(1), "text \n", 2.5, nil, true, []byte("b"), time.Unix(1, 0).UTC()}, "\u00e9\t": map[string]any{"n": int64(-70000)}}
	for _, c := range notations {
		data := encoded(t, c, v)
		for n := range data {
			var got any
			if err := c.Unmarshal(data[:n], &got, nil); err == nil {
				t.Errorf("L1: %s: the first %d of %d bytes are %v", c.Name(), n, len(data), got)
			}
		}
		for _, more := range []string{"\x00", "1", "\xc0", "null", string(data)} {
			if err := c.Unmarshal(append(data[:len(data):len(data)], more...), new(any), nil); err == nil {
				t.Errorf("L1: %s: %q may follow a message", c.Name(), more)
			}
		}
		fails(t, c.Unmarshal(nil, new(any), nil), "")
		fails(t, c.Unmarshal([]byte{}, new(int), nil), "")
	}
	if err := JSON.Unmarshal([]byte(" \t\r\n[ 1 , 2 ] \n"), new([]int), nil); err != nil {
		t.Errorf("L1: white space: %v", err)
	}
	w := new(gobWriter)
	for _, extra := range []func(){
		func() { w.m.Ints = append(w.m.Ints, 1) },
		func() { w.m.Floats = append(w.m.Floats, 1) },
		func() { w.m.Bytes = append(w.m.Bytes, 1) },
		func() { w.null() },
	} {
		w.reset(nil)
		w.null()
		extra()
		b, err := w.done()
		must(t, err)
		fails(t, Gob.Unmarshal(b, new(any), nil), "1 elements of its columns follow the message")
	}
}

// A length that lies costs next to nothing.
func TestLengthsThatLie(t *testing.T) {
	lists := strings.Repeat("\xdd\x00\x00\x03\xe8", 200) + strings.Repeat("\xc0", 1000)
	for _, head := range []string{
		"\xdd\xff\xff\xff\xff", // a list
		"\xdf\xff\xff\xff\xff", // a map
		"\xdb\xff\xff\xff\xff", // a string
		"\xc6\xff\xff\xff\xff", // bytes
		"\xc9\xff\xff\xff\xff", // an extension
		"\xdc\xff\xff",         // a list
		"\xde\x02\x58" + lists, // a map
		lists,                  // 200 lists, each with all the bytes there are
		"\xdd\x00\x10\x00\x00" + strings.Repeat("\x00", 1<<20-1),
	} {
		b := []byte(head)
		for _, into := range []any{new(any), new([]any), new([]string), new([][1024]int), new(map[string]int), new(string), new([]byte)} {
			used := allocated(func() {
				if err := Msgpack.Unmarshal(b, into, nil); err == nil {
					t.Errorf("L14: %.20q has become %.20v", b, into)
				}
			})
			if most := uint64(256<<10 + 16*len(b)); used > most && reflect.TypeOf(into).Elem() != reflect.TypeFor[[][1024]int]() {
				t.Errorf("L14: %d bytes were allocated to decode %.20q into %T", used, b, into)
			}
		}
	}
	// Room for large elements is not made before they are there.
	b := []byte("\xdd\x00\x10\x00\x00" + strings.Repeat("\xa0", 1<<20))
	if used := allocated(func() { fails(t, Msgpack.Unmarshal(b, new([][1024]int), nil), "[0]: a string") }); used > 1<<20 {
		t.Errorf("L14: %d bytes were allocated for elements that are none", used)
	}
	for _, head := range []kind{isList, isDict, isText, isBytes} {
		for _, n := range []int64{-1, 2, math.MaxInt64, math.MinInt64} {
			b := encodedTokens(t, func(w *gobWriter) { w.put(head, n); w.null() })
			fails(t, Gob.Unmarshal(b, new(any), nil), "")
		}
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A message that does not fit fails one Receive, with all codecs, and the next is whole.
func TestWrongTypeFailsOneReceive(t *testing.T) {
	for _, c := range notations {
		t.Run(c.Name(), func(t *testing.T) {
			within(t, func(t *testing.T) {
				near, far := sessions(t, WithCodec(c))
				s, r := top(t, near, far)
				_, ret := Pipe()
				must(t, s.Send(map[string]any{"Name": 5, "Ret": ret}))
				must(t, s.Send(Order{Name: "whole", Items: []Item{{Count: 3}}}))
				if err := s.Send(Order{Any: func() {}}); err == nil {
					t.Error("L1: a func was sent")
				} else {
					fails(t, err, "Order.Any: func() cannot travel in a message")
				}
				must(t, s.Send("last"))
				must(t, s.Close())
				fails(t, r.Receive(new(Order)), "Order.Name: a number where a string is wanted")
				if err := ret.Send(1); !errors.Is(err, ErrGivenAway) {
					t.Errorf("L2: what was sent away returns %v", err)
				}
				var got Order
				if err := r.Receive(&got); err != nil || got.Name != "whole" || got.Items[0].Count != 3 {
					t.Errorf("L1: the next message is %v, %v", got, err)
				}
				fails(t, r.Receive(new(int)), "a string where a whole number is wanted")
				if err := r.Receive(new(string)); err != io.EOF {
					t.Errorf("L6: the end is %v", err)
				}
			})
		})
	}
}
