// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"io"
	"reflect"
)

// NewRaw returns a message that something else has encoded, as the codec of that name would:
// in it the reference with the index i is to ends[i], a Sender, a Receiver, a ByteStream or
// what else can be sent, or a pointer to an interface that holds it, whose type is then what it
// is sent as. So messages of other protocols come into channels. The ends are given away.
func NewRaw(codec string, body []byte, ends ...any) (*Raw, error) {
	m := new(message)
	for i, end := range ends {
		_, ok, err := (*sentRefs)(m).Add(endValue(end))
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

// endValue returns an end as the value of a field that it could be sent in.
func endValue(end any) reflect.Value {
	switch one := end.(type) {
	case readEnd:
		r := io.Reader(one.s)
		end = &r
	case writeEnd:
		w := io.Writer(one.s)
		end = &w
	}
	v := reflect.ValueOf(end)
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v
}

// Ends takes what the message carries out of it, in the order of the indexes by which Body
// refers to it. It is the caller's from then on. So messages get into other protocols. Each is a
// [ContextSender], a [ContextReceiver], a [ByteStream] or a net.Listener, whatever it was made
// of; one direction of a byte stream is an [EndReader] or an [EndWriter].
func (r *Raw) Ends() ([]any, error) {
	if r.carried == nil {
		return nil, nil
	}
	refs := r.carried.refs
	r.carried.refs = nil
	var ends []any
	for i := range refs {
		end, err := refs[i].asEnd()
		if err != nil {
			(&message{refs: refs[i:]}).drop()
			return ends, err
		}
		ends = append(ends, end)
	}
	return ends, nil
}

// An EndReader is the direction of a byte stream that is read. CloseWithError takes no more, of
// which the other end learns the error.
type EndReader interface {
	io.Reader
	CloseWithError(err error) error
}

// An EndWriter is the direction of a byte stream that is written. CloseWithError ends it, with
// io.EOF if err is nil.
type EndWriter interface {
	io.Writer
	CloseWithError(err error) error
}

// asEnd returns what is referred to, of this package's: what is lent if it is not.
func (r *reference) asEnd() (any, error) {
	if r.kind.isDescriptor() {
		if err := r.unpack(anyType); err != nil {
			return nil, err
		}
	}
	as := r.as
	if r.thing != nil {
		as = r.lentAs
	}
	v, err := as(anyType)
	if err != nil {
		return nil, err
	}
	end := v.Interface()
	if s, ok := end.(*byteStream); ok && s.w.c == nil {
		end = readEnd{s}
	} else if ok && s.r.c == nil {
		end = writeEnd{s}
	}
	return end, nil
}

// A readEnd is a byte stream that can only be read.
type readEnd struct{ s *byteStream }

func (e readEnd) Read(p []byte) (int, error)     { return e.s.Read(p) }
func (e readEnd) CloseWithError(err error) error { return e.s.CloseWithError(err) }

// A writeEnd is one that can only be written.
type writeEnd struct{ s *byteStream }

func (e writeEnd) Write(p []byte) (int, error)    { return e.s.Write(p) }
func (e writeEnd) CloseWithError(err error) error { return e.s.CloseWithError(err) }
