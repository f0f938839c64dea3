// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import "fmt"

// builtin are the codecs that every session knows.
var builtin = []Codec{Msgpack, JSON, Protobuf, Gob}

// defaultCodec is that of channels that ask for no other.
func defaultCodec() Codec { return builtin[0] }

// codecNamed returns the codec that is called so, one of more or of this package's.
func codecNamed(name string, more []Codec) (Codec, error) {
	for _, list := range [][]Codec{more, builtin} {
		for _, c := range list {
			if c.Name() == name {
				return c, nil
			}
		}
	}
	return nil, fmt.Errorf("libchan: a message is encoded as %q, which no codec here is called: see WithCodec", name)
}
