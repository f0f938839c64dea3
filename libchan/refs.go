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
func carries(t reflect.Type) bool {
	return t.Implements(holderType) || t.Implements(senderType) || t.Implements(receiverType)
}

// sentRefs is the table of a message that is being encoded.
type sentRefs struct {
	carrier *channel
	list    []ref
	err     error
}

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
	var to ref
	switch v := v.Interface().(type) {
	case holder:
		e := v.held()
		if e == nil {
			return 0, false, nil
		}
		to, err = e.give(r.carrier)
	case Sender:
		to = lend(v, nil)
	case Receiver:
		to = lend(nil, v)
	default:
		return 0, false, nil
	}
	switch {
	case err != nil:
	case len(r.list) == maxRefs:
		r.list = append(r.list, to) // so that it is kept
		err = fmt.Errorf("%w: it has more than %d ends of channels", errUnfit, maxRefs)
	default:
		r.list = append(r.list, to)
		return len(r.list) - 1, true, nil
	}
	if r.err == nil {
		r.err = err
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

// give takes the end from its handle, for a message of the carrier.
func (e *end) give(carrier *channel) (ref, error) {
	if e.c == carrier {
		return ref{}, ErrOwnChannel
	}
	e.c.mu.Lock()
	defer e.c.unlock()
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

// lend returns an end for a Sender or Receiver that is not of this package: what is sent by
// it is copied.
func lend(s Sender, r Receiver) ref {
	c := newChannel(-1)
	if s != nil {
		c.moveLocked(sending, stepGive)
		go func() { _, _ = Copy(s, newReceiver(c, 1)); _ = s.Close() }()
		return ref{c, sending}
	}
	c.moveLocked(receiving, stepGive)
	go func() {
		out := newSender(c, 1)
		_, err := Copy(out, r)
		_ = out.CloseWithError(err)
	}()
	return ref{c, receiving}
}

// receivedRefs is the table of a message that is being decoded. What a field has taken has
// no channel any more.
type receivedRefs struct{ list []ref }

// Carries implements [Refs].
func (*receivedRefs) Carries(t reflect.Type) bool { return carries(t) }

// Add implements [Refs].
func (*receivedRefs) Add(reflect.Value) (int, bool, error) {
	return 0, false, errors.New("libchan: nothing can be added to a message that was received")
}

// Get implements [Refs].
func (r *receivedRefs) Get(index int, t reflect.Type) (reflect.Value, error) {
	if index < 0 || index >= len(r.list) {
		return reflect.Value{}, fmt.Errorf("the message refers to its end %d, and has %d", index, len(r.list))
	}
	at := r.list[index]
	if at.c == nil {
		return reflect.Value{}, fmt.Errorf("the message refers to its end %d twice", index)
	}
	v, err := at.as(t)
	if err == nil {
		r.list[index].c = nil
	}
	return v, err
}

// as returns the side of a channel as a value of type t, which is its handle from now on.
func (r ref) as(t reflect.Type) (reflect.Value, error) {
	if typed := reflect.New(t); t.Kind() == reflect.Struct {
		a, ok := typed.Interface().(adopter)
		if !ok {
			return reflect.Value{}, r.unfit(t)
		}
		return typed.Elem(), a.adopt(r)
	}
	var handle any
	if own := reflect.TypeFor[*sender](); r.side == sending && own.AssignableTo(t) {
		handle = newSender(r.c, r.claim())
	} else if own := reflect.TypeFor[*receiver](); r.side == receiving && own.AssignableTo(t) {
		handle = newReceiver(r.c, r.claim())
	} else {
		return reflect.Value{}, r.unfit(t)
	}
	return reflect.ValueOf(handle), nil
}

func (r ref) unfit(t reflect.Type) error {
	if r.side == sending {
		return fmt.Errorf("a sending end does not fit into %v", t)
	}
	return fmt.Errorf("a receiving end does not fit into %v", t)
}

// claim has the side, which came in a message, be here, and returns the generation of its
// handle.
func (r ref) claim() uint32 {
	r.c.mu.Lock()
	defer r.c.unlock()
	r.c.moveLocked(r.side, stepKeep)
	return r.c.sides[r.side].gen
}
