// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package message

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/structpb"
)

// protojson refuses a message with one Any whose type it cannot resolve. So such values are
// hidden from it: before a message is written, each becomes an Any with a token for its type
// and a google.protobuf.Value with a token as its value, and afterwards the tokens are replaced
// in the JSON. Reading is the reverse. The tokens are random, so that nobody can forge one.

// mostAnys is in how many Any values a value may stand. What is deeper is written in base64: each
// level is encoded anew, so the work would grow with the square of the depth.
const mostAnys = 64

const (
	anyName   = "google.protobuf.Any"
	valueName = "google.protobuf.Value"
)

type resolver interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}

// anys are the values that are hidden from protojson in one message. It is the resolver that
// protojson is given.
type anys struct {
	resolver
	carefully bool // whether each value is tried that is not hidden
	token     string
	hidden    []hiddenAny
}

type hiddenAny struct {
	url   string
	value json.RawMessage // an object, an array or a string
}

func newAnys(types resolver) *anys {
	if types == nil {
		types = protoregistry.GlobalTypes
	}
	return &anys{resolver: types, token: "any-" + rand.Text() + "-"}
}

// keep keeps a value, and returns the tokens for its type and for its value.
func (w *anys) keep(url string, value json.RawMessage) (urlToken, valueToken string) {
	w.hidden = append(w.hidden, hiddenAny{url, value})
	n := strconv.Itoa(len(w.hidden) - 1)
	return w.token + "u" + n, w.token + "v" + n
}

// kept returns what a token stands for, and whether that is a value and not a type.
func (w *anys) kept(token string) (h *hiddenAny, isValue, ok bool) {
	rest, ok := strings.CutPrefix(token, w.token)
	if !ok || len(rest) < 2 {
		return nil, false, false
	}
	n, err := strconv.Atoi(rest[1:])
	if err != nil || n < 0 || n >= len(w.hidden) {
		return nil, false, false
	}
	return &w.hidden[n], rest[0] == 'v', true
}

// FindMessageByURL implements [protoregistry.MessageTypeResolver].
func (w *anys) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	if strings.HasPrefix(url, w.token) {
		return (*structpb.Value)(nil).ProtoReflect().Type(), nil
	}
	return w.resolver.FindMessageByURL(url)
}

// hide returns a copy of a message in which all Any values resolve.
func (w *anys) hide(m proto.Message) proto.Message {
	m = proto.Clone(m)
	w.hideIn(m.ProtoReflect(), 0)
	return m
}

// hideIn tells whether it has changed m.
func (w *anys) hideIn(m protoreflect.Message, depth int) (changed bool) {
	if m.Descriptor().FullName() == anyName {
		return w.hideAny(m, depth)
	}
	eachMessage(m, func(inner protoreflect.Message) {
		if w.hideIn(inner, depth) {
			changed = true
		}
	})
	return changed
}

// eachMessage calls f for the messages that are fields of m.
func eachMessage(m protoreflect.Message, f func(protoreflect.Message)) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.IsMap():
			if field.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					f(v.Message())
					return true
				})
			}
		case field.Message() == nil:
		case field.IsList():
			for i := range v.List().Len() {
				f(v.List().Get(i).Message())
			}
		default:
			f(v.Message())
		}
		return true
	})
}

func anyFields(m protoreflect.Message) (url, value protoreflect.FieldDescriptor) {
	fields := m.Descriptor().Fields()
	return fields.ByNumber(1), fields.ByNumber(2)
}

func (w *anys) hideAny(m protoreflect.Message, depth int) (changed bool) {
	urlField, valueField := anyFields(m)
	url, value := m.Get(urlField).String(), m.Get(valueField).Bytes()
	if url == "" && len(value) == 0 {
		return false
	}
	if inner := w.open(url, value); inner != nil && depth < mostAnys {
		changed := w.hideIn(inner, depth+1)
		if w.writable(inner) {
			if changed {
				encoded, _ := proto.MarshalOptions{AllowPartial: true}.Marshal(inner.Interface()) // which was decoded
				m.Set(valueField, protoreflect.ValueOfBytes(encoded))
			}
			return changed
		}
	}
	urlToken, valueToken := w.keep(url, opaque(value))
	encoded, _ := proto.Marshal(structpb.NewStringValue(valueToken)) // a string of ASCII can be encoded
	m.Set(urlField, protoreflect.ValueOfString(urlToken))
	m.Set(valueField, protoreflect.ValueOfBytes(encoded))
	return true
}

// writable tells whether protojson writes the content of an Any, if that is to be tried.
func (w *anys) writable(content protoreflect.Message) bool {
	if !w.carefully {
		return true
	}
	_, err := w.options(false).Marshal(content.Interface())
	return err == nil
}

func (w *anys) options(emitDefaults bool) protojson.MarshalOptions {
	return protojson.MarshalOptions{Resolver: w, EmitUnpopulated: emitDefaults, AllowPartial: true}
}

// open decodes the value of an Any. It returns nil if that is not possible.
func (w *anys) open(url string, value []byte) protoreflect.Message {
	if url == "" {
		return nil
	}
	t, err := w.resolver.FindMessageByURL(url)
	if err != nil {
		return nil
	}
	m := t.New()
	if err := (proto.UnmarshalOptions{AllowPartial: true, Resolver: w.resolver}).Unmarshal(value, m.Interface()); err != nil {
		return nil
	}
	return m
}

// opaque returns the JSON for the value of an Any of unknown type: what it holds, if that is an
// object or array of JSON, else a string in base64.
func opaque(value []byte) json.RawMessage {
	if isTree(value) && utf8.Valid(value) && json.Valid(value) {
		var out bytes.Buffer
		if err := json.Compact(&out, value); err == nil {
			return out.Bytes()
		}
	}
	return strconv.AppendQuote(nil, base64.StdEncoding.EncodeToString(value))
}

// isTree tells whether JSON is an object or an array.
func isTree(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n")
	return len(data) > 0 && (data[0] == '{' || data[0] == '[')
}

// show replaces the tokens in JSON.
func (w *anys) show(data []byte) []byte {
	if len(w.hidden) == 0 {
		return data
	}
	var out bytes.Buffer
	for {
		before, rest, found := bytes.Cut(data, []byte(`"`+w.token))
		out.Write(before)
		if !found {
			return out.Bytes()
		}
		token, rest, _ := bytes.Cut(rest, []byte(`"`))
		h, isValue, ok := w.kept(w.token + string(token))
		switch {
		case !ok: // cannot be
			out.WriteString(`"` + w.token + string(token) + `"`)
		case isValue:
			out.Write(h.value)
		default:
			url, _ := json.Marshal(h.url) // a string can be encoded
			out.Write(url)
		}
		data = rest
	}
}

// putBack has the Any values hold again what takeOut has taken out of the JSON that m was
// read from.
func (w *anys) putBack(m proto.Message) error {
	if len(w.hidden) == 0 {
		return nil
	}
	_, err := w.putBackIn(m.ProtoReflect())
	return err
}

func (w *anys) putBackIn(m protoreflect.Message) (changed bool, err error) {
	switch m.Descriptor().FullName() {
	case anyName:
		return w.putBackAny(m)
	case valueName: // of a Struct that looks like an Any
		return w.putBackValue(m)
	}
	eachMessage(m, func(inner protoreflect.Message) {
		c, e := w.putBackIn(inner)
		changed, err = changed || c, errors.Join(err, e)
	})
	if c, e := w.putBackStrings(m); c || e != nil {
		changed, err = true, errors.Join(err, e)
	}
	return changed, err
}

func (w *anys) putBackAny(m protoreflect.Message) (changed bool, err error) {
	urlField, valueField := anyFields(m)
	url := m.Get(urlField).String()
	if h, _, ok := w.kept(url); ok {
		value := []byte(h.value)
		if !isTree(value) {
			if value, err = fromString(h.value); err != nil {
				return false, fmt.Errorf("the value of %s, whose type is not known: %w", h.url, err)
			}
		}
		m.Set(urlField, protoreflect.ValueOfString(h.url))
		m.Set(valueField, protoreflect.ValueOfBytes(value))
		return true, nil
	}
	inner := w.open(url, m.Get(valueField).Bytes())
	if inner == nil {
		return false, nil
	}
	if changed, err = w.putBackIn(inner); !changed || err != nil {
		return changed, err
	}
	encoded, err := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(inner.Interface())
	if err != nil {
		return false, errors.New(text(err))
	}
	m.Set(valueField, protoreflect.ValueOfBytes(encoded))
	return true, nil
}

func fromString(value json.RawMessage) ([]byte, error) {
	var encoded string
	if err := json.Unmarshal(value, &encoded); err != nil {
		return nil, errors.New("it must be base64, or an object or array of JSON")
	}
	return decodeBase64(encoded)
}

// putBackValue puts back into a google.protobuf.Value, and into those in it.
func (w *anys) putBackValue(m protoreflect.Message) (changed bool, err error) {
	stringField := m.Descriptor().Fields().ByName("string_value")
	if !m.Has(stringField) {
		eachMessage(m, func(inner protoreflect.Message) {
			c, e := w.putBackIn(inner)
			changed, err = changed || c, errors.Join(err, e)
		})
		return changed, err
	}
	h, isValue, ok := w.kept(m.Get(stringField).String())
	if !ok {
		return false, nil
	}
	if !isValue {
		m.Set(stringField, protoreflect.ValueOfString(h.url))
		return true, nil
	}
	value := m.New().Interface()
	if err := protojson.Unmarshal(h.value, value); err != nil {
		return false, errors.New(text(err))
	}
	proto.Reset(m.Interface())
	proto.Merge(m.Interface(), value)
	return true, nil
}

// putBackStrings puts back into maps of strings that look like an Any.
func (w *anys) putBackStrings(m protoreflect.Message) (changed bool, err error) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if !field.IsMap() || field.MapValue().Kind() != protoreflect.StringKind {
			return true
		}
		for _, key := range []string{"@type", "value"} {
			if field.MapKey().Kind() != protoreflect.StringKind {
				break
			}
			k := protoreflect.ValueOfString(key).MapKey()
			h, isValue, ok := w.kept(v.Map().Get(k).String())
			if !ok {
				continue
			}
			changed = true
			s := h.url
			if isValue && json.Unmarshal(h.value, &s) != nil {
				err = fmt.Errorf("field %s: %q must be a string", field.Name(), key)
				return false
			}
			v.Map().Set(k, protoreflect.ValueOfString(s))
		}
		return true
	})
	return changed, err
}

// HasUnknown tells whether a message, or one in it, has fields that its description lacks.
func HasUnknown(m proto.Message) bool { return hasUnknown(m.ProtoReflect()) }

func hasUnknown(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	found := false
	eachMessage(m, func(inner protoreflect.Message) { found = found || hasUnknown(inner) })
	return found
}
