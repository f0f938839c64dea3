// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"reflect"
	"slices"
)

// NewRaw returns a message that something else has encoded, as the codec of that name would:
// in it the reference with the index i is to ends[i]. So messages of other protocols come
// into channels. The ends are given away.
func NewRaw(codec string, body []byte, ends ...any) (*Raw, error) {
	refs := &sentRefs{}
	for i, end := range ends {
		_, ok, err := refs.Add(reflect.ValueOf(end))
		if err == nil && !ok {
			err = fmt.Errorf("libchan: a %T is nothing that travels beside a message", end)
		}
		if err != nil {
			(&message{refs: refs.list}).keep()
			return nil, fmt.Errorf("the end with the index %d: %w", i, err)
		}
	}
	r := &Raw{Codec: codec, Body: body}
	r.carry(refs.list)
	return r, nil
}

// Ends takes what the message carries out of it, in the order of the indexes by which Body
// refers to it. It is the caller's from then on. So messages get into other protocols.
func (r *Raw) Ends() ([]any, error) {
	if r.carried == nil {
		return nil, nil
	}
	refs := &receivedRefs{list: slices.Clone(r.carried.refs)}
	r.carried.refs = nil
	var ends []any
	for i := range refs.list {
		end, err := refs.Get(i, anyType)
		if err != nil {
			(&message{refs: refs.list[i:]}).drop()
			return ends, err
		}
		ends = append(ends, end.Interface())
	}
	return ends, nil
}
