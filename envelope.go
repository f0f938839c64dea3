// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"errors"
	"sort"
	"unicode/utf8"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc/internal/wire"
)

var (
	errNotUTF8   = errors.New("ttrpc: service, method and metadata must be valid UTF-8")
	errMalformed = wire.ErrMalformed
)

// A requestHead is a Request without its payload.
type requestHead struct {
	service, method string
	timeoutNano     int64
	metadata        []*KeyValue
	extras          callerExtras // what goes with the request, or nil
}

// check says whether protobuf would encode the head.
func (h *requestHead) check() error {
	ok := utf8.ValidString(h.service) && utf8.ValidString(h.method)
	for _, kv := range h.metadata {
		ok = ok && utf8.ValidString(kv.GetKey()) && utf8.ValidString(kv.GetValue())
	}
	if !ok {
		return errNotUTF8
	}
	return nil
}

// size is the length of the envelope around n bytes of payload, both together.
func (h *requestHead) size(n int) int {
	size := wire.SizeRequest(h.service, h.method, n, h.timeoutNano)
	for _, kv := range h.metadata {
		size += wire.SizeMetadata(kv.GetKey(), kv.GetValue())
	}
	return size
}

// appendFront appends what stands before a payload of n bytes.
func (h *requestHead) appendFront(b []byte, n int) []byte {
	return wire.AppendRequestFront(b, h.service, h.method, n)
}

// appendBack appends what stands after the payload.
func (h *requestHead) appendBack(b []byte) []byte {
	b = wire.AppendTimeout(b, h.timeoutNano)
	for _, kv := range h.metadata {
		b = wire.AppendMetadata(b, kv.GetKey(), kv.GetValue())
	}
	return b
}

// keyValues returns md in its wire form: keys sorted, values in their order.
func keyValues(md MD) []*KeyValue {
	if len(md) == 0 {
		return nil
	}
	keys, kvs := make([]string, 0, len(md)), make([]*KeyValue, 0, len(md))
	for key := range md {
		keys = append(keys, key)
	}
	sort.Sort(keysInOrder(keys))
	for _, key := range keys {
		for _, value := range md[key] {
			kvs = append(kvs, &KeyValue{Key: key, Value: value})
		}
	}
	return kvs
}

// keysInOrder sorts without generics, as connsByNumber does, and without the methods of
// sort.StringSlice that nobody calls.
type keysInOrder []string

func (s keysInOrder) Len() int           { return len(s) }
func (s keysInOrder) Less(i, j int) bool { return s[i] < s[j] }
func (s keysInOrder) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }

// A requestView is a decoded Request; all but the metadata aliases the frame.
type requestView struct {
	service, method, payload []byte
	timeoutNano              int64
	metadata                 MD // nil if there is none
}

// parseRequest decodes the data of a request frame.
func parseRequest(b []byte) (requestView, error) {
	var md MD
	v, err := wire.ParseRequest(b, func(key, value []byte) {
		if md == nil {
			md = make(MD)
		}
		k := string(key)
		md[k] = append(md[k], string(value))
	})
	if err != nil {
		return requestView{}, whyMalformed(b, new(Request))
	}
	return requestView{v.Service, v.Method, v.Payload, v.TimeoutNano, md}, nil
}

// sizeResponse is the length of a Response's encoding.
func sizeResponse(status []byte, payload int) int { return wire.SizeResponse(status, payload) }

// appendResponseFront appends what stands before a payload of n bytes.
func appendResponseFront(b, status []byte, n int) []byte {
	return wire.AppendResponseFront(b, status, n)
}

// parseResponse decodes the data of a response frame. The payload aliases b.
// A nil status means OK.
func parseResponse(b []byte) (*spb.Status, []byte, error) {
	r, err := wire.ParseResponse(b)
	if err != nil {
		return nil, nil, whyMalformed(b, new(Response))
	}
	if r.Status == nil {
		return nil, r.Payload, nil
	}
	st := new(spb.Status)
	if unmarshalStatus(r.Status, st) != nil {
		return nil, nil, whyMalformed(b, new(Response))
	}
	return st, r.Payload, nil
}

// whyMalformed returns protobuf's own words for what is wrong with b.
func whyMalformed(b []byte, m proto.Message) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return err
	}
	return errMalformed
}
