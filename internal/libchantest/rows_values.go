// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchantest

import (
	"bytes"
	"io"
	"reflect"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/libchan"
)

// valueRows are of L1.
var valueRows = []row{
	{"L1: a struct", true, testStruct},
	{"L1: scalars, maps and slices", true, testScalars},
	{"L1: missing and unknown fields", true, testFields},
	{"L1: a message of protobuf", false, testProtobuf},
	{"L1: what does not fit fails one Receive", false, testUnfit},
	{"L1: what cannot be sent names its field", true, testFunc},
	{"L1: large and empty messages", false, testSizes},
}

type inner struct{ Depth int }

type record struct {
	Name    string
	Renamed int `libchan:"other,omitempty"`
	Left    int `libchan:"-"`
	Data    []byte
	When    time.Time
	Took    time.Duration
	List    []string
	ByKey   map[string]float64
	Inner   *inner
	None    *inner
	inner
	hidden int
}

func testStruct(k *kit) {
	s, r := k.top()
	sent := record{
		Name: "n", Renamed: 3, Left: 4, Data: []byte{0, 255}, When: time.Unix(1e9, 5).UTC(), Took: time.Minute,
		List: []string{"a", ""}, ByKey: map[string]float64{"x": 0.5}, Inner: &inner{2}, inner: inner{7}, hidden: 5,
	}
	k.must(s.Send(sent))
	k.must(s.Send(&sent))
	want := sent
	want.Left, want.hidden = 0, 0
	for range 2 {
		var got record
		k.must(r.Receive(&got))
		got.inner, want.inner = inner{}, inner{} // an embedded struct that is not exported
		if !reflect.DeepEqual(got, want) {
			k.Errorf("received %+v, want %+v", got, want)
		}
	}
	k.must(s.Send(record{}))
	var byName map[string]any
	k.must(r.Receive(&byName))
	if _, is := byName["other"]; is || byName["Name"] != "" {
		k.Errorf("received %v: want a Name, and no other, which is empty", byName)
	}
}

func testScalars(k *kit) {
	s, r := k.top()
	for _, v := range []any{
		true, 7, int64(-1 << 40), uint64(1 << 63), 1.25, "text", "", []byte("bytes"), []int{1, 2, 3}, [2]bool{true, false},
		map[string]int{"a": 1}, map[int]string{-1: "minus"}, []any{int64(1), "two", nil}, map[string]any{"k": []any{int64(1)}},
	} {
		k.must(s.Send(v))
		got := reflect.New(reflect.TypeOf(v))
		k.must(r.Receive(got.Interface()))
		if !reflect.DeepEqual(got.Elem().Interface(), v) {
			k.Errorf("received %v, want %v, a %T", got.Elem(), v, v)
		}
	}
	k.must(s.Send(nil))
	full := &inner{1}
	k.must(r.Receive(&full))
	if full != nil {
		k.Errorf("nil was received as %v", full)
	}
}

func testFields(k *kit) {
	s, r := k.top()
	k.must(s.Send(map[string]any{"Name": "new", "Unknown": []any{1, map[string]any{"x": 1}}}))
	got := record{Name: "old", List: []string{"kept"}, Took: 5}
	k.must(r.Receive(&got))
	if got.Name != "new" || len(got.List) != 1 || got.Took != 5 {
		k.Errorf("received into a full struct: %+v", got)
	}
}

func testProtobuf(k *kit) {
	s, r := k.top()
	sent := wrapperspb.Bytes([]byte{1, 2, 3})
	k.must(s.Send(sent))
	var got wrapperspb.BytesValue
	k.must(r.Receive(&got))
	if !proto.Equal(sent, &got) {
		k.Errorf("received %v, want %v", &got, sent)
	}
}

// testUnfit has a message that does not fit between two that do.
func testUnfit(k *kit) {
	k.channels(-1, func(s libchan.ContextSender, r libchan.ContextReceiver) {
		for i := range 3 {
			k.send(s, i)
		}
		k.expect(r, 0, 0)
		if err := r.Receive(new(chan int)); err == nil || err == io.EOF {
			k.Errorf("a note was received as a chan int: %v", err)
		}
		k.expect(r, 2, 0)
	})
}

func testFunc(k *kit) {
	s, r := k.top()
	err := s.Send(struct{ In struct{ Callback func() } }{})
	if err == nil || !strings.Contains(err.Error(), "Callback") {
		k.Errorf("Send of a func: %v, want an error that names the field Callback", err)
	}
	k.send(s, 1)
	k.expect(r, 1, 0)
}

func testSizes(k *kit) {
	s, r := k.top()
	go func() {
		for _, n := range []int{0, 1, 4000, 5000, 100_000} {
			if err := s.Send(wrapperspb.Bytes(make([]byte, n))); err != nil {
				k.Errorf("Send of %d bytes: %v", n, err)
			}
		}
	}()
	for _, n := range []int{0, 1, 4000, 5000, 100_000} {
		var got wrapperspb.BytesValue
		k.must(r.Receive(&got))
		if !bytes.Equal(got.Value, make([]byte, n)) {
			k.Fatalf("received %d bytes, want %d", len(got.Value), n)
		}
	}
}
