// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package message reads and prints messages as JSON, with Any values of both of containerd's
// kinds, and as the tree of their encoding if nothing describes them.
package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A Format is how messages are written. Its methods may be called concurrently.
type Format struct {
	Types interface { // of Any values and extensions
		protoregistry.MessageTypeResolver
		protoregistry.ExtensionTypeResolver
	}
	Compact      bool // in one line
	EmitDefaults bool
	Text         bool // prototext instead of JSON
}

// Register adds the flags of the format to a command.
func (f *Format) Register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.Compact, "compact", false, "write each message in one line")
	flags.BoolVar(&f.EmitDefaults, "emit-defaults", false, "write fields that are not set, too")
	flags.BoolVar(&f.Text, "text", false, "read and write protobuf's text format instead of JSON")
}

// Marshal writes a message, without a line's end. m is not changed.
//
// An Any whose type is known is written with its fields. One with containerd's type of
// a Go value, opencontainers/runtime-spec/1/Process for example, holds JSON, which is written as
// it is, as the field value; the value of any other is written there in base64.
func (f *Format) Marshal(m proto.Message) ([]byte, error) {
	if f.Text {
		return f.marshalText(m)
	}
	out, err := f.marshalJSON(m, false)
	if err != nil { // maybe because of what is in an Any: a Timestamp of no date, for example
		if again, failed := f.marshalJSON(m, true); failed == nil {
			out, err = again, nil
		}
	}
	if err != nil {
		return nil, errors.New(text(err))
	}
	return f.layOut(out), nil
}

// marshalJSON writes a message. Carefully means that an Any is in base64 if it cannot be written
// otherwise.
func (f *Format) marshalJSON(m proto.Message, carefully bool) ([]byte, error) {
	w := newAnys(f.Types)
	w.carefully = carefully
	out, err := w.options(f.EmitDefaults).Marshal(w.hide(m))
	return w.show(out), err
}

// layOut has JSON in one line, or indented unless it is nested so deeply that spaces would be
// most of it.
func (f *Format) layOut(data []byte) []byte {
	var out bytes.Buffer
	lay := json.Compact
	if !f.Compact && depth(data) <= 100 {
		lay = func(dst *bytes.Buffer, src []byte) error { return json.Indent(dst, src, "", "  ") }
	}
	if err := lay(&out, data); err != nil { // nested in more levels than encoding/json reads
		return data
	}
	return out.Bytes()
}

// depth returns how deeply JSON is nested.
func depth(data []byte) (most int) {
	level, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			level++
			most = max(most, level)
		case c == '}' || c == ']':
			level--
		}
	}
	return most
}

// twoSpaces is what prototext writes after a field's name in half of all builds, so that
// nobody relies on it.
var twoSpaces = regexp.MustCompile(`(?m)^(\s*[^\s:"]+:)  `)

func (f *Format) marshalText(m proto.Message) ([]byte, error) {
	out, err := prototext.MarshalOptions{Multiline: !f.Compact, Indent: "  "[:2*btoi(!f.Compact)], AllowPartial: true, EmitUnknown: true, Resolver: f.Types}.Marshal(m)
	if err != nil {
		return nil, errors.New(text(err))
	}
	return bytes.TrimSuffix(twoSpaces.ReplaceAll(out, []byte("$1 ")), []byte("\n")), nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Unmarshal reads a message, as Marshal writes it. What is missing is unset. The error says
// where data is wrong.
func (f *Format) Unmarshal(data []byte, m proto.Message) error {
	if f.Text {
		if err := (prototext.UnmarshalOptions{Resolver: f.Types}).Unmarshal(data, m); err != nil {
			return errors.New(text(err))
		}
		return nil
	}
	w := newAnys(f.Types)
	data, err := w.takeOut(data)
	if err != nil {
		return err
	}
	if err := (protojson.UnmarshalOptions{Resolver: w}).Unmarshal(data, m); err != nil {
		return errors.New(text(err))
	}
	return w.putBack(m)
}

// text returns the text of an error of the library for protobuf, without that library's name.
func text(err error) string {
	s := strings.ReplaceAll(err.Error(), "\u00a0", " ") // which it uses at random
	return strings.TrimPrefix(s, "proto: ")
}

// Parse is how raw messages are given: in hex, where spaces do not count, or in base64
// behind "base64:".
func Parse(raw string) ([]byte, error) {
	if encoded, ok := strings.CutPrefix(strings.TrimSpace(raw), "base64:"); ok {
		data, err := decodeBase64(encoded)
		if err != nil {
			return nil, fmt.Errorf("a raw message in base64: %w", err)
		}
		return data, nil
	}
	return parseHex(raw)
}
