// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const mostLevels = 10_000 // of JSON that is read; protojson reads no more either

// A span is a part of a text.
type span struct{ from, to int }

// A replacement is what a part of a text becomes.
type replacement struct {
	span
	text string
}

// takeOut puts tokens in the place of the type and the value of Any values in JSON whose
// type is not known.
func (w *anys) takeOut(data []byte) ([]byte, error) {
	if !bytes.Contains(data, []byte("@type")) {
		return data, nil
	}
	s := &scan{w: w, data: data, decoder: json.NewDecoder(bytes.NewReader(data))}
	if _, _, err := s.value(0); err != nil {
		return nil, jsonError(data, err)
	}
	if s.deepest > mostAnys+1 {
		return nil, fmt.Errorf("an Any stands in more than %d others", mostAnys)
	}
	return s.replaced(), nil
}

// A scan goes through JSON.
type scan struct {
	w            *anys
	data         []byte
	decoder      *json.Decoder
	replacements []replacement // in their order
	deepest      int           // how many objects with a type stand in each other in what was just read
}

// token reads the next token.
func (s *scan) token() (json.Token, span, error) {
	before := int(s.decoder.InputOffset())
	token, err := s.decoder.Token()
	at := span{before, int(s.decoder.InputOffset())}
	at.from += len(s.data[at.from:at.to]) - len(bytes.TrimLeft(s.data[at.from:at.to], " \t\r\n,:"))
	return token, at, err
}

// value reads a value and returns where it stands, and itself if it is no object and no array.
func (s *scan) value(level int) (json.Token, span, error) {
	token, at, err := s.token()
	if err != nil {
		return nil, at, err
	}
	if level == mostLevels {
		return nil, at, fmt.Errorf("it is nested in more than %d levels", mostLevels)
	}
	switch token {
	case json.Delim('{'):
		end, err := s.object(level + 1)
		return nil, span{at.from, end}, err
	case json.Delim('['):
		for s.decoder.More() {
			if _, _, err := s.value(level + 1); err != nil {
				return nil, at, err
			}
		}
		_, end, err := s.token()
		return nil, span{at.from, end.to}, err
	}
	return token, at, nil
}

// object reads what follows "{" and returns where it ends.
func (s *scan) object(level int) (int, error) {
	before := len(s.replacements)
	beside := s.deepest
	s.deepest = 0
	var url, value span
	var name json.Token
	others := false
	for s.decoder.More() {
		key, _, err := s.token()
		if err != nil {
			return 0, err
		}
		token, at, err := s.value(level)
		if err != nil {
			return 0, err
		}
		switch key {
		case "@type":
			url, name = at, token
		case "value":
			value = at
		default:
			others = true
		}
	}
	_, end, err := s.token()
	if name != nil {
		s.deepest++
	}
	s.deepest = max(s.deepest, beside)
	if name, ok := name.(string); ok && !others && value.to > 0 && !s.w.knows(name) {
		s.replacements = s.replacements[:before]
		s.replace(name, url, value)
	}
	return end.to, err
}

// replace has tokens stand for a type and a value.
func (s *scan) replace(name string, url, value span) {
	text := s.data[value.from:value.to]
	urlToken, valueToken := s.w.keep(name, json.RawMessage(text))
	lines := strings.Repeat("\n", bytes.Count(text, []byte("\n"))) // so that errors name the right line
	s.replacements = append(s.replacements,
		replacement{url, `"` + urlToken + `"`},
		replacement{value, `"` + valueToken + `"` + lines})
}

// knows tells whether a type is known.
func (w *anys) knows(url string) bool {
	if url == "" {
		return false
	}
	_, err := w.resolver.FindMessageByURL(url)
	return err == nil
}

// replaced returns the JSON with the replacements.
func (s *scan) replaced() []byte {
	slices.SortFunc(s.replacements, func(a, b replacement) int { return a.from - b.from })
	var out bytes.Buffer
	done := 0
	for _, r := range s.replacements {
		out.Write(s.data[done:r.from])
		out.WriteString(r.text)
		done = r.to
	}
	out.Write(s.data[done:])
	return out.Bytes()
}

// jsonError says where JSON is wrong.
func jsonError(data []byte, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	before := data[:min(max(int(syntax.Offset)-1, 0), len(data))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("syntax error (line %d:%d): %w", line, column, err)
}
