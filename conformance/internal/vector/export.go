// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package vector

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"github.com/containerd/ttrpc/internal/wire"
)

// An Exported is a case whose frames are bytes, for those who play cases without this runner.
type Exported struct {
	Name  string           `json:"name"`
	About string           `json:"about"`
	Level string           `json:"level"`
	Peer  string           `json:"peer"`
	Rule  string           `json:"rule"`
	Force string           `json:"force"`
	Hello string           `json:"hello,omitempty"` // the raw peer's, encoded
	Steps []map[string]any `json:"steps"`
}

// maxExported is how long a frame may be whose bytes are written.
const maxExported = 16 << 10

// Export writes cases with the bytes of all frames beside them: send_bytes and expect_bytes. Those
// of a frame that has a wildcard, or is over 16 KiB, are "". A peer may order the fields of what
// it sends as it likes.
func Export(w io.Writer, cases []Case) error {
	out := make([]Exported, 0, len(cases))
	for _, c := range cases {
		e := Exported{Name: c.Name, About: c.About, Level: c.Level, Peer: c.Peer, Rule: c.Rule, Force: c.Force}
		if c.Hello != nil {
			e.Hello = hex.EncodeToString(c.Hello.Wire())
		}
		for _, step := range c.Steps {
			one, err := exportStep(&c, step)
			if err != nil {
				return fmt.Errorf("%s: %w", c.Name, err)
			}
			e.Steps = append(e.Steps, one)
		}
		out = append(out, e)
	}
	b, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// exportStep returns a step as it stands in the case, with bytes.
func exportStep(c *Case, step Step) (map[string]any, error) {
	b, err := json.Marshal(step)
	if err != nil {
		return nil, err
	}
	one := make(map[string]any)
	if err := json.Unmarshal(b, &one); err != nil {
		return nil, err
	}
	for name, frames := range map[string][]Frame{"send": step.Send, "expect": step.Expect} {
		var all []string
		for i := range frames {
			f := &frames[i]
			fromClient := (c.Peer == Server) == (name == "send")
			data, err := f.Wire((f.Stream%2 == 1) != fromClient)
			if name == "expect" && (err != nil || f.wild()) {
				all = append(all, "")
				continue
			}
			if err != nil {
				return nil, err
			}
			if len(data) > maxExported && f.Zeros == 0 {
				all = append(all, "")
				continue
			}
			length := uint32(len(data))
			if f.Length != nil {
				length = uint32(*f.Length)
			}
			header := wire.AppendHeader(nil, wire.Header{Length: length, StreamID: f.Stream, Type: wire.Type(f.Type), Flags: f.Flags.First()})
			rest := fmt.Sprintf(" zeros:%d", f.Zeros)
			if f.Zeros <= 64 {
				rest = hex.EncodeToString(data)
			}
			all = append(all, hex.EncodeToString(header)+rest)
		}
		if all != nil {
			one[name+"_bytes"] = all
		}
	}
	return one, nil
}

// wild tells whether more than one frame is what is expected.
func (f *Frame) wild() bool {
	b, err := json.Marshal(f)
	return err != nil || bytes.Contains(b, []byte("*")) || bytes.Contains(b, []byte(`"any"`)) || len(f.Flags) > 1 ||
		f.Status != nil || f.Response != nil && (f.Response.Status != nil && f.Response.Status.Text == "" || f.Response.Hello != nil) ||
		f.Request != nil && f.Request.Hello != nil
}
