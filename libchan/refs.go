// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"errors"
	"fmt"
	"reflect"
)

var errNilMessage = errors.New("libchan: the message to receive into is nil")

// errUnfit tells that a message cannot be sent over its channel, whatever happens.
var errUnfit = errors.New("libchan: the message cannot be sent")

// An end is the part of a handle that all have: which side of which channel it is.
type end struct {
	c    *channel
	side side
	gen  uint32
}

// A holder is an end, or a typed channel that holds one.
type holder interface {
	held() *end // nil if it holds none
}

// An adopter is a typed channel that can take an end that has come in a message.
type adopter interface {
	adopt(r ref) error
}

var (
	senderType   = reflect.TypeFor[Sender]()
	receiverType = reflect.TypeFor[Receiver]()
	holderType   = reflect.TypeFor[holder]()
)

// carries implements [Refs].
func carries(t reflect.Type) bool { return t.Implements(holderType) || carriesThing(t) }

// sentRefs is the table of a message that is being encoded.
type sentRefs message

// Carries implements [Refs].
func (*sentRefs) Carries(t reflect.Type) bool { return carries(t) }

// Get implements [Refs].
func (*sentRefs) Get(index int, _ reflect.Type) (reflect.Value, error) {
	return reflect.Value{}, fmt.Errorf("libchan: there is no reference %d to get from a message that is sent", index)
}

// Add implements [Refs].
func (r *sentRefs) Add(v reflect.Value) (index int, ok bool, err error) {
	if isNone(v) {
		return 0, false, nil
	}
	var to reference
	switch x := v.Interface().(type) {
	case *byteStream:
		to, err = x.give(r.carrier, v.Type())
	case holder:
		e := x.held()
		if e == nil {
			return 0, false, nil
		}
		to, err = e.giveReference(r.carrier)
	default:
		if to, ok = thingReference(v); !ok {
			return 0, false, nil
		}
	}
	if err == nil && len(r.refs) == maxRefs {
		err = fmt.Errorf("%w: it has more than %d ends of channels, byte streams and files", errUnfit, maxRefs)
	}
	r.refs = append(r.refs, to) // with an error so that it is kept
	if err == nil {
		return len(r.refs) - 1, true, nil
	}
	if r.failed == nil {
		r.failed = err
	}
	return 0, true, err
}

// isNone tells whether a value holds nothing that could travel: it is nil, or a struct
// around what is nil.
func isNone(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Interface:
		return isNone(v.Elem())
	case reflect.Pointer:
		return v.IsNil()
	case reflect.Struct:
		return v.NumField() > 0 && v.IsZero()
	}
	return false
}

// giveReference returns a reference to the end, which give takes from its handle.
func (e *end) giveReference(carrier *channel) (reference, error) {
	to, err := e.give(carrier)
	if err != nil {
		return reference{}, err
	}
	return reference{ends: []ref{to}}, nil
}

// give takes the end from its handle, for a message of the carrier.
func (e *end) give(carrier *channel) (ref, error) {
	if e.c == carrier {
		return ref{}, ErrOwnChannel
	}
	e.c.mu.Lock()
	defer e.c.unlock()
	if e.side == sending && e.c.closed && e.c.ownsLocked(sending, e.gen) {
		return ref{}, ErrClosed
	}
	if !e.c.ownsLocked(e.side, e.gen) || !e.c.moveLocked(e.side, stepGive) {
		return ref{}, ErrGivenAway
	}
	e.c.sides[e.side].gen++
	if e.side == sending && !e.c.pumping {
		e.c.stopWritingLocked()
	}
	if e.side == receiving {
		e.c.stopReadingLocked()
	}
	return ref{e.c, e.side}, nil
}

// receivedRefs is the table of a message that is being decoded.
type receivedRefs message

// Carries implements [Refs].
func (*receivedRefs) Carries(t reflect.Type) bool { return carries(t) }

// Add implements [Refs].
func (*receivedRefs) Add(reflect.Value) (int, bool, error) {
	return 0, false, errors.New("libchan: nothing can be added to a message that was received")
}

// Get implements [Refs].
func (r *receivedRefs) Get(index int, t reflect.Type) (reflect.Value, error) {
	if index < 0 || index >= len(r.refs) {
		return reflect.Value{}, fmt.Errorf("the message refers to its end %d, and has %d", index, len(r.refs))
	}
	if r.taken[index] {
		return reflect.Value{}, fmt.Errorf("the message refers to its end %d twice", index)
	}
	v, err := r.refs[index].as(t)
	r.taken[index] = err == nil
	return v, err
}
