// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package message

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"
)

// Separator is the line between messages in text. It is a comment there.
const Separator = "# ---"

// A Reader reads messages one after the other, each as soon as it is there in full.
type Reader struct {
	format *Format
	json   *json.Decoder
	lines  *bufio.Reader
	count  int
}

// NewReader returns a reader of messages: of JSON values one after the other, with or without
// lines between them, or of text with lines of [Separator] between them.
func (f *Format) NewReader(r io.Reader) *Reader {
	if f.Text {
		return &Reader{format: f, lines: bufio.NewReader(r)}
	}
	return &Reader{format: f, json: json.NewDecoder(r)}
}

// Next reads the next message. It returns io.EOF, as it is, if there is none; other errors
// say which message is wrong.
func (r *Reader) Next(m proto.Message) error {
	place := ""
	if r.json != nil && r.count > 0 {
		place = fmt.Sprintf(", behind byte %d", r.json.InputOffset())
	}
	data, err := r.next()
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	r.count++
	if err == nil {
		err = r.format.Unmarshal(data, m)
	}
	if err != nil {
		return fmt.Errorf("message %d%s: %w", r.count, place, err)
	}
	return nil
}

func (r *Reader) next() ([]byte, error) {
	if r.lines != nil {
		return r.nextText()
	}
	var data json.RawMessage
	err := r.json.Decode(&data)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.New("it ends before its JSON does")
	}
	return data, err
}

// nextText reads up to a separator.
func (r *Reader) nextText() (data []byte, err error) {
	for {
		line, err := r.lines.ReadBytes('\n')
		if err == nil && string(bytes.TrimSpace(line)) == Separator {
			return data, nil
		}
		data = append(data, line...)
		if errors.Is(err, io.EOF) && len(bytes.TrimSpace(data)) > 0 {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
