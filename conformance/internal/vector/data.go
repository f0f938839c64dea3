// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package vector

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	_ "google.golang.org/protobuf/types/known/wrapperspb" // details of statuses are of these types

	"github.com/containerd/ttrpc/conformance/service"
	"github.com/containerd/ttrpc/internal/wire"
)

// Service is the name of the service.
const Service = "ttrpc.conformance.v1.Conformance"

// large is what the raw peer says it takes where a case does not say.
const large = 1 << 28

// new returns an empty message: what a caller sends, or what a callee answers.
func newMessage(answer bool, method string) proto.Message {
	switch {
	case answer:
		return new(service.Answer)
	case method == "Fail":
		return new(service.Status)
	}
	return new(service.Request)
}

var repeated = regexp.MustCompile(`"\$x(\d+)"`)

// nonce makes texts differ from run to run, for servers remember some.
var nonce = rand.Text()

// expand replaces "$xN" by a string of N letters x, and $nonce in a string by one that no other
// run has.
func expand(raw []byte) []byte {
	raw = bytes.ReplaceAll(raw, []byte("$nonce"), []byte(nonce))
	return repeated.ReplaceAllFunc(raw, func(b []byte) []byte {
		n, err := strconv.Atoi(string(repeated.FindSubmatch(b)[1]))
		if err != nil || n > 64<<20 {
			return b
		}
		return []byte(`"` + strings.Repeat("x", n) + `"`)
	})
}

// Message encodes a message of the service, which is given as protojson writes it.
func Message(raw json.RawMessage, answer bool, method string) ([]byte, error) {
	if raw == nil {
		return nil, nil
	}
	m := newMessage(answer, method)
	if err := protojson.Unmarshal(expand(raw), m); err != nil {
		return nil, err
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// Wire returns the Hello as it travels.
func (h *Hello) Wire() []byte {
	version := uint64(1)
	if h.Version != nil {
		version = *h.Version
	}
	hello := wire.Hello{
		Version: uint32(version), MaxMessage: cmp.Or(h.MaxMessage, large), Serves: h.Serves,
		Window: cmp.Or(h.Window, large), ConnectionWindow: cmp.Or(h.ConnectionWindow, large),
	}
	var other []byte
	for _, f := range h.Features {
		hello.Files = hello.Files || f == wire.FeatureFiles
		hello.Metadata = hello.Metadata || f == wire.FeatureMetadata
		if f != wire.FeatureFiles && f != wire.FeatureMetadata {
			other = append(append(other, 0x12, byte(len(f))), f...)
		}
	}
	return hello.Append(other)
}

// Wire returns the data of a frame. Answer says that it is from the callee of its stream.
func (f *Frame) Wire(answer bool) ([]byte, error) {
	switch {
	case f.Request != nil:
		return f.Request.wire()
	case f.Response != nil:
		return f.Response.wire()
	case f.Message != nil:
		return Message(f.Message, answer, "")
	case f.Hex != nil:
		return unhex(*f.Hex)
	case f.Status != nil:
		return f.Status.Wire()
	case f.Number != nil:
		return wire.AppendNumber(nil, *f.Number), nil
	case f.Goodbye != nil:
		status, err := f.Goodbye.Status.Wire()
		return wire.AppendGoodbye(nil, uint32(f.Goodbye.Last.First()), status), err
	case f.Metadata != nil:
		return appendPairs(nil, f.Metadata), nil
	}
	return make([]byte, f.Zeros), nil
}

func unhex(s string) ([]byte, error) {
	return hex.DecodeString(strings.ReplaceAll(s, " ", ""))
}

func appendPairs(b []byte, pairs []Pair) []byte {
	for _, p := range pairs {
		b = wire.AppendMetadata(b, p[0], p[1])
	}
	return b
}

// ServiceName is the request's service.
func (r *Request) ServiceName() string {
	switch {
	case r.Service != nil:
		return *r.Service
	case r.Hello != nil:
		return wire.HelloService
	}
	return Service
}

func (r *Request) wire() ([]byte, error) {
	payload, err := Message(r.Message, false, r.Method)
	if r.Hex != nil {
		payload, err = unhex(*r.Hex)
	}
	if r.Hello != nil {
		payload = r.Hello.Wire()
	}
	request := wire.Request{Service: r.ServiceName(), Method: r.Method, Payload: payload}
	if r.Timeout != nil {
		request.TimeoutNano = r.Timeout.Min * 1e6
	}
	return appendPairs(request.Append(nil), r.Meta), err
}

func (r *Response) wire() ([]byte, error) {
	payload, err := Message(r.Message, true, "")
	if r.Hex != nil {
		payload, err = unhex(*r.Hex)
	}
	if r.Hello != nil {
		payload = r.Hello.Wire()
	}
	if err != nil {
		return nil, err
	}
	var status []byte
	if r.Status != nil {
		if status, err = r.Status.Wire(); status == nil {
			status = []byte{}
		}
	}
	return wire.Response{Status: status, Payload: payload}.Append(nil), err
}

// Wire encodes the status; one that is nil is nothing.
func (s *Status) Wire() ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	details, err := json.Marshal(s.Details)
	if err != nil {
		return nil, err
	}
	if s.Details == nil {
		details = []byte("[]")
	}
	text, err := json.Marshal(s.Text)
	if err != nil {
		return nil, err
	}
	m := new(service.Status)
	if err := protojson.Unmarshal(fmt.Appendf(nil, `{"message":%s,"details":%s}`, text, details), m); err != nil {
		return nil, err
	}
	m.Code = int32(s.Code.First())
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}
