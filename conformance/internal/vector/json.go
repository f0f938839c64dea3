// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package vector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/containerd/ttrpc/conformance/vectors"
)

// Levels are all levels in the order in which a new peer gets to them.
var Levels = []string{
	"classic-unary", "classic-streams", "robustness",
	"agreement", "cancel", "credit", "parts", "both-ways", "files", "metadata", "ping", "goodbye",
}

// Load reads all cases, in the order of the levels. Names are unique.
func Load() ([]Case, error) {
	var all []Case
	seen := make(map[string]bool)
	for _, level := range Levels {
		data, err := fs.ReadFile(vectors.Files, level+".json")
		if err != nil {
			return nil, err
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		var f File
		if err := d.Decode(&f); err != nil {
			return nil, fmt.Errorf("%s.json: after %d bytes: %w", level, d.InputOffset(), err)
		}
		for _, c := range f.Cases {
			if seen[c.Name] {
				return nil, fmt.Errorf("%s.json: there are two cases %s", level, c.Name)
			}
			seen[c.Name] = true
			c.Level = level
			all = append(all, c)
		}
	}
	return all, nil
}

var typeNames = map[string]Type{
	"request": 0x01, "response": 0x02, "data": 0x03,
	"part": 0x40, "files": 0x41, "cancel": 0x42, "credit": 0x43, "ping": 0x44, "goodbye": 0x45,
	"metadata": 0x46, "want": 0x47, "return": 0x48,
}

// String returns the type's name, or its number.
func (t Type) String() string {
	for name, value := range typeNames {
		if value == t {
			return name
		}
	}
	return fmt.Sprintf("type %02x", uint8(t))
}

// UnmarshalJSON reads a name or a number.
func (t *Type) UnmarshalJSON(b []byte) error {
	var name string
	if json.Unmarshal(b, &name) != nil {
		return json.Unmarshal(b, (*uint8)(t))
	}
	value, ok := typeNames[name]
	if !ok {
		return fmt.Errorf("there is no type of frames %q", name)
	}
	*t = value
	return nil
}

// UnmarshalJSON reads a number, a list of them, or "any".
func (c *Codes) UnmarshalJSON(b []byte) error {
	if string(b) == `"any"` {
		c.Any = true
		return nil
	}
	if strings.HasPrefix(string(b), "[") {
		return json.Unmarshal(b, &c.List)
	}
	c.List = make([]int, 1)
	return json.Unmarshal(b, &c.List[0])
}

// String says what is expected.
func (c Codes) String() string {
	if c.Any {
		return "any but 0"
	}
	return strings.Trim(fmt.Sprint(c.List), "[]")
}

// Has tells whether a code is one of those. Without any, 0 is.
func (c Codes) Has(code int) bool {
	if c.Any {
		return code != 0
	}
	return slices.Contains(c.List, code) || len(c.List) == 0 && code == 0
}

// First is the code that is sent.
func (c Codes) First() int {
	if len(c.List) == 0 {
		return 0
	}
	return c.List[0]
}

// UnmarshalJSON reads a number, or a list of the least and the most.
func (r *Range) UnmarshalJSON(b []byte) error {
	list := []int64{0, 0}
	if err := json.Unmarshal(b, &list); err == nil && len(list) == 2 {
		r.Min, r.Max = list[0], list[1]
		return nil
	}
	err := json.Unmarshal(b, &r.Min)
	r.Max = r.Min
	return err
}

// UnmarshalJSON reads a number, or a list of them.
func (f *Flags) UnmarshalJSON(b []byte) error {
	if strings.HasPrefix(string(b), "[") {
		return json.Unmarshal(b, (*[]int)(f))
	}
	*f = make(Flags, 1)
	return json.Unmarshal(b, &(*f)[0])
}

// MarshalJSON writes what UnmarshalJSON reads.
func (f Flags) MarshalJSON() ([]byte, error) {
	if len(f) == 1 {
		return json.Marshal(f[0])
	}
	return json.Marshal([]int(f))
}

// MarshalJSON writes what UnmarshalJSON reads.
func (c Codes) MarshalJSON() ([]byte, error) {
	switch {
	case c.Any:
		return []byte(`"any"`), nil
	case len(c.List) == 1:
		return json.Marshal(c.List[0])
	}
	return json.Marshal(c.List)
}

// MarshalJSON writes what UnmarshalJSON reads.
func (r Range) MarshalJSON() ([]byte, error) { return json.Marshal([]int64{r.Min, r.Max}) }

// First are the flags that are sent.
func (f Flags) First() uint8 {
	if len(f) == 0 {
		return 0
	}
	return uint8(f[0])
}

// Has tells whether flags are among those that are expected.
func (f Flags) Has(flags uint8) bool {
	return slices.Contains(f, int(flags)) || len(f) == 0 && flags == 0
}

// Moved returns steps whose odd streams and whose calls have higher ids.
func Moved(steps []Step, streams, calls int) []Step {
	steps = slices.Clone(steps)
	move := func(frames []Frame) []Frame {
		frames = slices.Clone(frames)
		for i := range frames {
			if frames[i].Stream%2 == 1 {
				frames[i].Stream += uint32(streams)
			}
		}
		return frames
	}
	for i := range steps {
		s := &steps[i]
		s.Send, s.Expect = move(s.Send), move(s.Expect)
		if s.Ask != nil && s.Ask.Stream%2 == 1 {
			ask := *s.Ask
			ask.Stream += uint32(streams)
			s.Ask = &ask
		}
		if s.Call != nil {
			call := *s.Call
			call.ID += calls
			s.Call = &call
		}
		if s.Result != nil {
			result := *s.Result
			result.Of += calls
			s.Result = &result
		}
	}
	return steps
}
