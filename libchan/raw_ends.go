// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"reflect"
)

// NewRaw returns a message that something else has encoded, as the codec of that name would:
// in it the reference with the index i is to ends[i]. So messages of other protocols come
// into channels. The ends are given away.
func NewRaw(codec string, body []byte, ends ...any) (*Raw, error) {
	m := new(message)
	for i, end := range ends {
		_, ok, err := (*sentRefs)(m).Add(reflect.ValueOf(end))
		if err == nil && !ok {
			err = fmt.Errorf("libchan: a %T is nothing that travels beside a message", end)
		}
		if err != nil {
			m.keep()
			return nil, fmt.Errorf("the end with the index %d: %w", i, err)
		}
	}
	r := &Raw{Codec: codec, Body: body}
	r.carry(m.refs)
	return r, nil
}

// Ends takes what the message carries out of it, in the order of the indexes by which Body
// refers to it. It is the caller's from then on. So messages get into other protocols.
func (r *Raw) Ends() ([]any, error) {
	if r.carried == nil {
		return nil, nil
	}
	m := &message{refs: r.carried.refs, taken: make([]bool, len(r.carried.refs))}
	r.carried.refs = nil
	var ends []any
	for i := range m.refs {
		end, err := (*receivedRefs)(m).Get(i, anyType)
		if err != nil {
			(&message{refs: m.refs[i:]}).drop()
			return ends, err
		}
		ends = append(ends, end.Interface())
	}
	return ends, nil
}
