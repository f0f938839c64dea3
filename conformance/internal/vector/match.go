// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package vector

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc/conformance/service"
	"github.com/containerd/ttrpc/internal/wire"
)

// Match says how data differs from what a frame expects, or nothing. Answer says that it is
// from the callee of its stream.
func (f *Frame) Match(data []byte, answer bool) error {
	switch {
	case f.Request != nil:
		return f.Request.match(data)
	case f.Response != nil:
		return f.Response.match(data)
	case f.Message != nil:
		return MatchMessage(f.Message, data, answer, "")
	case f.Status != nil:
		return f.Status.match(data)
	case f.Metadata != nil:
		return matchMetadata(f.Metadata, data)
	case f.Goodbye != nil:
		last, status, err := wire.ParseGoodbye(data)
		if err == nil && !f.Goodbye.Last.Has(int(last)) {
			err = fmt.Errorf("its last id is %d", last)
		}
		if err != nil || f.Goodbye.Status == nil {
			return err
		}
		return f.Goodbye.Status.match(status)
	}
	want, err := f.Wire(answer)
	if err == nil && !bytes.Equal(want, data) {
		err = fmt.Errorf("its data is %s, not %s", short(data), short(want))
	}
	return err
}

func short(b []byte) string {
	if len(b) == 0 {
		return "nothing"
	}
	if len(b) > 64 {
		return fmt.Sprintf("%x… (%d bytes)", b[:64], len(b))
	}
	return hex.EncodeToString(b)
}

func (r *Request) match(data []byte) error {
	var meta []Pair
	got, err := wire.ParseRequest(data, func(k, v []byte) { meta = append(meta, Pair{string(k), string(v)}) })
	if err != nil {
		return fmt.Errorf("the Request does not parse: %w", err)
	}
	if string(got.Service) != r.ServiceName() || string(got.Method) != r.Method {
		return fmt.Errorf("it calls %s/%s", got.Service, got.Method)
	}
	ms := got.TimeoutNano / 1e6
	if r.Timeout == nil && ms != 0 || r.Timeout != nil && (ms < r.Timeout.Min || ms > r.Timeout.Max) {
		return fmt.Errorf("its timeout is %d ms", ms)
	}
	if err := MatchPairs("metadata", r.Meta, meta); err != nil {
		return err
	}
	if r.Hello != nil {
		_, err := wire.ParseHello(got.Payload)
		return err
	}
	return matchPayload(r.Message, r.Hex, got.Payload, false, r.Method)
}

func matchPayload(message json.RawMessage, raw *string, got []byte, answer bool, method string) error {
	if raw == nil {
		return MatchMessage(message, got, answer, method)
	}
	want, err := unhex(*raw)
	if err == nil && !bytes.Equal(want, got) {
		err = fmt.Errorf("the payload is %s, not %s", short(got), short(want))
	}
	return err
}

func (r *Response) match(data []byte) error {
	got, err := wire.ParseResponse(data)
	if err != nil {
		return fmt.Errorf("the Response does not parse: %w", err)
	}
	if r.Status != nil {
		return r.Status.match(got.Status)
	}
	if code := wire.ResponseCode(data); code != 0 {
		return fmt.Errorf("it fails: %s", statusText(got.Status))
	}
	if r.Hello != nil {
		_, err := wire.ParseHello(got.Payload)
		return err
	}
	return matchPayload(r.Message, r.Hex, got.Payload, true, "")
}

func statusText(b []byte) string {
	s := new(service.Status)
	if err := proto.Unmarshal(b, s); err != nil {
		return "a status that does not parse"
	}
	return fmt.Sprintf("code %d, %q", s.GetCode(), s.GetMessage())
}

func (s *Status) match(b []byte) error {
	got := new(service.Status)
	if err := proto.Unmarshal(b, got); err != nil {
		return fmt.Errorf("the status does not parse: %w", err)
	}
	if !s.Code.Has(int(got.Code)) {
		return fmt.Errorf("its status is %s, want code %v", statusText(b), s.Code)
	}
	if s.Text != "" && !Glob(s.Text, got.Message) {
		return fmt.Errorf("its text is %q, not %q", got.Message, s.Text)
	}
	var details [][]byte
	for _, d := range got.Details {
		b, err := proto.Marshal(d)
		if err != nil {
			return err
		}
		details = append(details, b)
	}
	return MatchDetails(s.Details, details)
}

// MatchDetails compares details of a status, each an encoded Any.
func MatchDetails(want []json.RawMessage, got [][]byte) error {
	s := new(service.Status)
	for _, raw := range want {
		one := new(service.Status)
		if err := protojson.Unmarshal(fmt.Appendf(nil, `{"details":[%s]}`, raw), one); err != nil {
			return err
		}
		s.Details = append(s.Details, one.Details...)
	}
	if len(s.Details) != len(got) {
		return fmt.Errorf("its status has %d details, not %d", len(got), len(s.Details))
	}
	for i, d := range s.Details {
		b, err := proto.Marshal(d)
		if err != nil {
			return err
		}
		if !bytes.Equal(b, got[i]) {
			return fmt.Errorf("detail %d is %s, not %s", i+1, short(got[i]), short(b))
		}
	}
	return nil
}

func matchMetadata(want []Pair, data []byte) error {
	var got []Pair
	_, err := wire.ParseRequest(data, func(k, v []byte) { got = append(got, Pair{string(k), string(v)}) })
	if err != nil {
		return fmt.Errorf("the metadata does not parse: %w", err)
	}
	return MatchPairs("metadata", want, got)
}

// MatchPairs compares metadata: the order counts within a key. Keys may come in lower case.
func MatchPairs(what string, want, got []Pair) error {
	order := func(pairs []Pair) []Pair {
		pairs = slices.Clone(pairs)
		slices.SortStableFunc(pairs, func(a, b Pair) int { return strings.Compare(a[0], b[0]) })
		return pairs
	}
	if !slices.Equal(order(want), order(got)) {
		return fmt.Errorf("its %s is %v, not %v", what, got, want)
	}
	return nil
}

// MatchMessage compares a message of the service with what protojson would write of it: a
// string with "*" in it takes what fits, and a list of two numbers in place of one the numbers
// between. Without raw an empty message is expected.
func MatchMessage(raw json.RawMessage, data []byte, answer bool, method string) error {
	m := newMessage(answer, method)
	if err := proto.Unmarshal(data, m); err != nil {
		return fmt.Errorf("the message does not parse: %w", err)
	}
	if raw == nil {
		raw = json.RawMessage("{}")
	}
	if want, err := Message(raw, answer, method); err == nil { // which spares long texts the detour
		exact := newMessage(answer, method)
		if proto.Unmarshal(want, exact) == nil && proto.Equal(exact, m) {
			return nil
		}
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return err
	}
	var want, got any
	if err := errors.Join(json.Unmarshal(expand(raw), &want), json.Unmarshal(text, &got)); err != nil {
		return err
	}
	if !same(want, got) {
		return fmt.Errorf("the message is %s, not %s", clip(string(text)), clip(string(raw)))
	}
	return nil
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

func same(want, got any) bool {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok || len(object) != len(want) {
			return false
		}
		for key, value := range want {
			if have, ok := object[key]; !ok || !same(value, have) {
				return false
			}
		}
		return true
	case []any:
		if n, ok := got.(float64); ok && len(want) == 2 {
			least, ok1 := want[0].(float64)
			most, ok2 := want[1].(float64)
			return ok1 && ok2 && least <= n && n <= most
		}
		list, ok := got.([]any)
		return ok && slices.EqualFunc(want, list, same)
	case string:
		text, ok := got.(string)
		return ok && Glob(want, text)
	}
	return want == got
}

// Glob tells whether a text fits a pattern, in which "*" stands for any text.
func Glob(pattern, text string) bool {
	if !strings.Contains(pattern, "*") {
		return pattern == text
	}
	parts := strings.Split(pattern, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("(?s)^" + strings.Join(parts, ".*") + "$").MatchString(text)
}
