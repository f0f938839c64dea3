// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package libchan

import "testing"

// TestAllocsCodec holds what a small message allocates beside the buffer for its encoding:
// decoded, its two strings. Under the race detector pools lose things at random.
func TestAllocsCodec(t *testing.T) {
	for c, most := range map[Codec]struct{ encode, decode int }{Msgpack: {0, 2}, JSON: {1, 2}} {
		var buf []byte
		v, out := any(oneReading), new(sentRefs)
		var got reading
		in := new(receivedRefs)
		encode := func() {
			var err error
			if buf, err = c.Marshal(buf[:0], v, out); err != nil {
				t.Fatal(err)
			}
		}
		decode := func() {
			if err := c.Unmarshal(buf, &got, in); err != nil {
				t.Fatal(err)
			}
		}
		if n := int(testing.AllocsPerRun(2000, encode)); n > most.encode {
			t.Errorf("L12: %s: to encode allocates %d objects, promised are %d", c.Name(), n, most.encode)
		}
		if n := int(testing.AllocsPerRun(2000, decode)); n > most.decode || got != oneReading {
			t.Errorf("L12: %s: to decode %v allocates %d objects, promised are %d", c.Name(), got, n, most.decode)
		}
	}
}
