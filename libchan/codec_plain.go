// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"reflect"
)

// A Ref is in plain values the place of something that travels beside the message: its
// index.
type Ref int

// Plain turns v into what every serialisation has: nil, bool, int64, uint64, float64,
// string, []byte, time.Time, []any, map[string]any, or map[any]any for other keys; and
// Ref. It serves codecs that are made of a library that knows nothing of references, nor
// of libchan's tags. They need a form for Ref, and Fill for the way back.
func Plain(v any, refs Refs) (any, error) {
	b, err := between.Marshal(nil, v, refs)
	if err != nil {
		return nil, err
	}
	var plain any
	err = between.Unmarshal(b, &plain, plainRefs{})
	return plain, err
}

// Fill sets what v points to to a plain value, as Unmarshal of a codec does.
func Fill(v, plain any, refs Refs) error {
	b, err := between.Marshal(nil, plain, plainRefs{})
	if err != nil {
		return err
	}
	return between.Unmarshal(b, v, refs)
}

// between is what stands between a value and its plain one. It has no name: an error is the
// caller's.
var between = newMsgpack("")

// plainRefs is the table of plain values: in it a Ref stands for itself.
type plainRefs struct{}

var refType = reflect.TypeFor[Ref]()

func (plainRefs) Add(v reflect.Value) (int, bool, error) {
	ref, ok := v.Interface().(Ref)
	if ok && ref < 0 {
		return 0, false, fmt.Errorf("a reference with the index %d", ref)
	}
	return int(ref), ok, nil
}

func (plainRefs) Carries(t reflect.Type) bool { return t == refType }

func (plainRefs) Get(index int, _ reflect.Type) (reflect.Value, error) {
	return reflect.ValueOf(Ref(index)), nil
}
