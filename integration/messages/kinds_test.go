// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package messages

import (
	gogoproto "github.com/gogo/protobuf/proto"
	//lint:ignore SA1019 Its old messages are what is tested.
	golangproto "github.com/golang/protobuf/proto"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc/integration/messages/gen/gogofast"
	"github.com/containerd/ttrpc/integration/messages/gen/gogoplain"
	"github.com/containerd/ttrpc/integration/messages/gen/golang"
	"github.com/containerd/ttrpc/integration/messages/gen/opaque"
	"github.com/containerd/ttrpc/integration/messages/gen/open"
	"github.com/containerd/ttrpc/integration/messages/gen/vt"
)

// A kind is a generator's messages, with what its own runtime knows of them. The
// text format is what all kinds have in common.
type kind struct {
	name        string
	newSample   func() any
	newExtended func() any
	parse       func(text string, m any) error
	equal       func(a, b any) bool
}

func (k *kind) service() string { return "messages." + k.name }

var kinds = []*kind{
	protobuf[open.Sample, open.Extended]("open"),
	protobuf[opaque.Sample, opaque.Extended]("opaque"),
	protobuf[vt.Sample, vt.Extended]("vt"),
	gogo[gogofast.Sample, gogofast.Extended]("gogofast"),
	gogo[gogoplain.Sample, gogoplain.Extended]("gogoplain"),
	{
		name:        "golang",
		newSample:   func() any { return new(golang.Sample) },
		newExtended: func() any { return new(golang.Extended) },
		parse: func(text string, m any) error {
			return golangproto.UnmarshalText(text, m.(golangproto.Message))
		},
		equal: func(a, b any) bool {
			return golangproto.Equal(a.(golangproto.Message), b.(golangproto.Message))
		},
	},
}

func protobuf[Sample, Extended any](name string) *kind {
	return &kind{
		name:        name,
		newSample:   func() any { return new(Sample) },
		newExtended: func() any { return new(Extended) },
		parse:       func(text string, m any) error { return prototext.Unmarshal([]byte(text), m.(proto.Message)) },
		equal:       func(a, b any) bool { return proto.Equal(a.(proto.Message), b.(proto.Message)) },
	}
}

func gogo[Sample, Extended any](name string) *kind {
	return &kind{
		name:        name,
		newSample:   func() any { return new(Sample) },
		newExtended: func() any { return new(Extended) },
		parse:       func(text string, m any) error { return gogoproto.UnmarshalText(text, m.(gogoproto.Message)) },
		equal:       func(a, b any) bool { return gogoproto.Equal(a.(gogoproto.Message), b.(gogoproto.Message)) },
	}
}

// samples are the contents of messages, in the text format.
var samples = map[string]string{
	"empty":  ``,
	"scalar": `name: "scalar" numbers: 1 numbers: -2 color: RED ratio: 0.5 fixed: 4294967295 flag: true`,
	"bytes":  `name: "b\303\244tes" data: "\000\377\376" tags: "one" tags: "" tags: "three"`,
	"nested": `
		name: "nested"
		child { name: "child" child { name: "grandchild" } }
		children { name: "first" }
		children {}
		children { numbers: 3 text: "third" }
		named { key: "a" value { name: "in a map" } }
		named { key: "" value { flag: true } }
		text: "chosen"`,
	"empty child": `child {} text: ""`,
}

// extended is the content of a message of which a Sample knows only the name.
const extended = `name: "extended" added: "unknown" extra { name: "nested" tags: "deep" } extra {} big: 18446744073709551615`
