// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
)

// An input is where a call's messages come from.
type input struct {
	from  io.Reader // nil without -d
	file  *os.File  // to be closed, or nil
	typed bool      // a person types them
	hint  string    // what to try if they are wrong
	read  func() ([]byte, error)
}

// openInput opens what -d names.
func (c *caller) openInput() (*input, error) {
	name, isFile := strings.CutPrefix(c.data, "@")
	switch {
	case c.data == "":
		return new(input), nil
	case !isFile:
		return &input{from: strings.NewReader(c.data)}, nil
	case name == "-":
		return &input{from: c.env.Stdin, typed: c.env.StdinTerminal}, nil
	case name == "":
		return nil, cli.Input("@- is standard input.", "-d @: the name of the file is missing")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, cli.Input("", "-d: %w", err)
	}
	return &input{from: f, file: f}, nil
}

func (in *input) close() {
	if in.file != nil {
		in.file.Close()
	}
}

// begin prepares for reading, once it is known what is called.
func (in *input) begin(c *caller) error {
	if in.from == nil && c.clientStreams {
		in.from, in.typed = c.env.Stdin, c.env.StdinTerminal
	}
	if in.from == nil {
		in.from = strings.NewReader("")
	}
	if in.typed {
		fmt.Fprintln(c.env.Stderr, "Type messages; ^D ends them.")
	}
	if c.raw {
		in.read = c.readRaw(in.from)
		return nil
	}
	if !c.format.Text {
		in.hint = `"ttrpc describe --template ADDRESS SERVICE/METHOD" shows a message to start from.`
	}
	in.read = c.readDescribed(in.from)
	return nil
}

// readDescribed returns a function that reads a message and encodes it.
func (c *caller) readDescribed(from io.Reader) func() ([]byte, error) {
	r := c.format.NewReader(from)
	return func() ([]byte, error) {
		m := dynamicpb.NewMessage(c.described.Input())
		if err := r.Next(m); err != nil {
			return nil, err
		}
		if c.line != nil {
			text, err := (&message.Format{Types: c.format.Types, Compact: true, Text: c.format.Text}).Marshal(m)
			if err != nil {
				return nil, err
			}
			c.line.add(string(text), c.format.Text)
		}
		return proto.MarshalOptions{Deterministic: true}.Marshal(m) // the same bytes for the same text
	}
}

// readRaw returns a function that reads a line with a message.
func (c *caller) readRaw(from io.Reader) func() ([]byte, error) {
	r := bufio.NewReader(from)
	count := 0
	return func() ([]byte, error) {
		for {
			line, err := r.ReadString('\n')
			line = strings.TrimSpace(line)
			if line == "" && err != nil {
				return nil, err
			}
			if line == "" {
				continue
			}
			count++
			payload, err := message.Parse(line)
			if err != nil {
				return nil, fmt.Errorf("message %d: %w", count, err)
			}
			if c.line != nil {
				c.line.add(line+"\n", false)
			}
			return payload, nil
		}
	}
}

// next returns the next message, encoded. At the end it returns io.EOF, as it is; other errors
// are of type [*cli.Exit].
func (in *input) next() ([]byte, error) {
	payload, err := in.read()
	if err == nil || errors.Is(err, io.EOF) {
		return payload, err
	}
	return nil, cli.Input(in.hint, "%w", err)
}

// single returns the only message, which is empty if there is none.
func (in *input) single() ([]byte, error) {
	payload, err := in.next()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	switch _, err := in.next(); {
	case err == nil:
		return nil, cli.Input("", "the method takes one message, and more were given")
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	return payload, nil
}
