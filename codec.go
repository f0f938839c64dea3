// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
)

// A codec says how a connection's messages are encoded.
type codec struct {
	vt bool // through the methods of vtprotobuf, where a message has them
}

// vtMessage is what vtprotobuf adds to a message for encoding.
type vtMessage interface {
	proto.Message
	SizeVT() int
	MarshalToSizedBufferVT(b []byte) (int, error)
}

// vtUnmarshaler is what vtprotobuf adds to a message for decoding.
type vtUnmarshaler interface{ UnmarshalVT(b []byte) error }

// gogoMessage is a message of gogo/protobuf that encodes itself.
type gogoMessage interface {
	protoadapt.MessageV1
	Size() int
	MarshalTo(b []byte) (int, error)
}

// gogoUnmarshaler is a message of gogo/protobuf that decodes itself.
type gogoUnmarshaler interface {
	protoadapt.MessageV1
	Unmarshal(b []byte) error
}

// xxxMessage is a message of gogo/protobuf, or of an old golang/protobuf, that
// leaves it to that module's runtime, which knows types that google.golang.org's
// does not.
type xxxMessage interface {
	protoadapt.MessageV1
	XXX_Size() int
	XXX_Marshal(b []byte, deterministic bool) ([]byte, error)
	XXX_Unmarshal(b []byte) error
}

// A payload is a message about to be encoded: measured first, then appended
// to the frame whose envelope needed the size. The message must not change in
// between.
type payload struct {
	msg  any
	size int
	vt   bool // msg is a vtMessage and is encoded as such
}

// measure finds how to encode msg and how long that will be. nil is refused
// like all else that is no message.
func (c codec) measure(msg any) (payload, error) {
	p := payload{msg: msg}
	switch m := msg.(type) {
	case proto.Message:
		if c.vt {
			if vt, ok := msg.(vtMessage); ok {
				p.size, p.vt = vt.SizeVT(), true
				return p, nil
			}
		}
		p.size = proto.Size(m)
	case *RawMessage:
		if m == nil {
			return payload{}, &typeError{"ttrpc: cannot marshal a nil *ttrpc.RawMessage"}
		}
		p.size = len(m.Payload)
	case gogoMessage:
		if isNil(msg) {
			return payload{}, nil
		}
		p.size = m.Size()
	case xxxMessage:
		if isNil(msg) {
			return payload{}, nil
		}
		p.size = m.XXX_Size()
	case protoadapt.MessageV1:
		return measureOld(m)
	default:
		return payload{}, &typeError{fmt.Sprintf("ttrpc: cannot marshal unknown type: %s", typeName(msg))}
	}
	return p, nil
}

// measureOld is measure for a message of before google.golang.org/protobuf.
func measureOld(msg protoadapt.MessageV1) (p payload, err error) {
	defer func() { err = orPanic(err, recover(), "marshal", msg) }()
	v2 := protoadapt.MessageV2Of(msg)
	return payload{msg: v2, size: proto.Size(v2)}, nil
}

// measureOrNil is measure, but nil stands for an empty message.
func (c codec) measureOrNil(msg any) (payload, error) {
	if msg == nil {
		return payload{}, nil
	}
	return c.measure(msg)
}

// append appends the encoding, exactly p.size bytes.
func (p payload) append(b []byte) ([]byte, error) {
	var err error
	start, n := len(b), 0
	switch m := p.msg.(type) {
	case nil:
		return b, nil
	case proto.Message:
		if p.vt {
			b = b[:start+p.size]
			n, err = m.(vtMessage).MarshalToSizedBufferVT(b[start:])
			break
		}
		b, err = proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
		n = len(b) - start
	case *RawMessage:
		b = append(b, m.Payload...)
		n = len(b) - start
	case gogoMessage:
		b = b[:start+p.size]
		n, err = m.MarshalTo(b[start:])
	case xxxMessage:
		// Some append to what they are given, some fill its capacity.
		var encoded []byte
		encoded, err = m.XXX_Marshal(b[start:start:start+p.size], false)
		n = len(encoded)
		b = append(b, encoded...)
	}
	if err == nil && n != p.size {
		err = fmt.Errorf("ttrpc: %T changed while it was encoded", p.msg)
	}
	return b, err
}

// unmarshal decodes b into msg, whose old content is dropped. The message
// does not keep b.
func (c codec) unmarshal(b []byte, msg any) error {
	switch m := msg.(type) {
	case proto.Message:
		if c.vt {
			if vt, ok := msg.(vtUnmarshaler); ok {
				proto.Reset(m)
				return vt.UnmarshalVT(b)
			}
		}
		return proto.Unmarshal(b, m)
	case *RawMessage:
		if m == nil {
			return &typeError{"ttrpc: cannot unmarshal into a nil *ttrpc.RawMessage"}
		}
		*m = RawMessage{Payload: append([]byte(nil), b...)}
		return nil
	case gogoUnmarshaler:
		m.Reset()
		// A custom type of the user may keep what it is given, and b is
		// memory that is used again.
		return m.Unmarshal(append([]byte(nil), b...))
	case xxxMessage:
		m.Reset()
		return m.XXX_Unmarshal(append([]byte(nil), b...))
	case protoadapt.MessageV1:
		return unmarshalOld(b, m)
	}
	return &typeError{fmt.Sprintf("ttrpc: cannot unmarshal into unknown type: %s", typeName(msg))}
}

// unmarshalOld is unmarshal into a message of before google.golang.org/protobuf.
func unmarshalOld(b []byte, msg protoadapt.MessageV1) (err error) {
	defer func() { err = orPanic(err, recover(), "unmarshal into", msg) }()
	return proto.Unmarshal(b, protoadapt.MessageV2Of(msg))
}

// A typeError tells of a value that is no message.
type typeError struct{ msg string }

func (e *typeError) Error() string { return e.msg }

// typeName names the type of what is no message.
func typeName(v any) string {
	if _, ok := v.(*bounded); ok {
		return "what ttrpc.Within returns, which is for SendMsg and RecvMsg of a stream"
	}
	return fmt.Sprintf("%T", v)
}

// orPanic turns a panic of protobuf's reflection over an old message, whose Go
// type it cannot make sense of, into an error.
func orPanic(err error, panicked any, verb string, msg any) error {
	if panicked != nil {
		return &typeError{fmt.Sprintf("ttrpc: cannot %s unknown type: %s (%v)", verb, typeName(msg), panicked)}
	}
	return err
}

// isNil tells whether v is nil or a nil pointer.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}
