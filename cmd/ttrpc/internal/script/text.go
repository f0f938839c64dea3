// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/proto"
)

// An entry is a method of a script, as it is written.
type entry struct {
	name  string
	line  int // where its rules begin, from 1
	rules json.RawMessage
}

// split splits a script into its methods, in their order.
func split(data []byte) (entries []entry, err error) {
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		return nil, at(data, err)
	}
	d := json.NewDecoder(bytes.NewReader(data)) // which finds no errors any more
	if first, _ := d.Token(); first != json.Delim('{') {
		return nil, fmt.Errorf("it is not an object whose keys are methods, but begins with %v", first)
	}
	for d.More() {
		name, _ := d.Token()
		e := entry{name: name.(string)}
		if err := d.Decode(&e.rules); err != nil {
			return nil, err
		}
		e.line, _ = position(data, d.InputOffset()-int64(len(e.rules)))
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return nil, errors.New("it has no methods")
	}
	return entries, nil
}

// position returns the line and column of an offset, from 1.
func position(data []byte, offset int64) (line, column int) {
	before := data[:min(max(offset, 0), int64(len(data)))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// at says where JSON is wrong.
func at(data []byte, err error) error {
	syntax := new(json.SyntaxError)
	if !errors.As(err, &syntax) {
		return err
	}
	if syntax.Offset >= int64(len(data)) && strings.Contains(err.Error(), "unexpected end") {
		return errors.New("it ends before its JSON does")
	}
	line, column := position(data, syntax.Offset-1)
	return fmt.Errorf("line %d, column %d: %w", line, column, err)
}

// strict decodes a JSON value, and nothing that the type does not have.
func strict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// plain returns the text of an error of package json, without names of Go.
func plain(err error) string {
	if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
		if kind.Field == "" {
			return "it is no object, but a " + kind.Value
		}
		return fmt.Sprintf("%s: it may not be a %s", kind.Field, kind.Value)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// inLine is where an error is, from the beginning of its message, which nobody sees.
var inLine = regexp.MustCompile(`\(line \d+:\d+\):? ?`)

// read reads a message of a script.
func (s *Script) read(data []byte, m proto.Message) error {
	if err := s.format.Unmarshal(data, m); err != nil {
		return errors.New(inLine.ReplaceAllString(err.Error(), ""))
	}
	return nil
}
