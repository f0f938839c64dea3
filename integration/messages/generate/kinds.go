// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "strings"

// A kind is a package to generate.
type kind struct {
	name    string // of the package
	header  string // comes before the body
	body    string // file in the directory proto
	edition bool   // of protobuf; protoc may not know it
	plugins []plugin
}

// A plugin is what protoc calls it, and the parameters that it gets.
type plugin struct {
	name   string
	params []string
}

func (p plugin) parameter() string {
	return strings.Join(append([]string{"paths=source_relative"}, p.params...), ",")
}

// plugins are built as go.mod says. One more, golang, is built as golang.mod says.
var plugins = []string{
	"github.com/gogo/protobuf/protoc-gen-gogo",
	"github.com/gogo/protobuf/protoc-gen-gogofaster",
	"github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto",
	"google.golang.org/protobuf/cmd/protoc-gen-go",
}

const (
	proto2 = `syntax = "proto2";`
	proto3 = `syntax = "proto3";`

	opaque = `edition = "2023";
import "google/protobuf/go_features.proto";
option features.(pb.go).api_level = API_OPAQUE;
option features.field_presence = IMPLICIT;`

	// gogofaster leaves out unknown fields if it is not told otherwise.
	gogoUnknown = proto3 + `
import "gogoproto/gogo.proto";
option (gogoproto.goproto_unrecognized_all) = true;`

	gogoTypes = proto3 + `
import "gogoproto/gogo.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/timestamp.proto";`
)

// gogoWellKnown are gogo/protobuf's own packages of protobuf's types.
var gogoWellKnown = []string{
	"Mgoogle/protobuf/duration.proto=github.com/gogo/protobuf/types",
	"Mgoogle/protobuf/timestamp.proto=github.com/gogo/protobuf/types",
}

var kinds = []kind{
	{name: "open", header: proto3, body: "sample.txt", plugins: []plugin{{name: "go"}}},
	{name: "opaque", header: opaque, body: "sample.txt", plugins: []plugin{{name: "go"}}, edition: true},
	{name: "vt", header: proto3, body: "sample.txt", plugins: []plugin{
		{name: "go"}, {name: "go-vtproto", params: []string{"features=marshal+unmarshal+size"}},
	}},
	{name: "gogofast", header: gogoUnknown, body: "sample.txt", plugins: []plugin{{name: "gogofaster"}}},
	{name: "gogoplain", header: proto3, body: "sample.txt", plugins: []plugin{{name: "gogo"}}},
	{name: "golang", header: proto3, body: "sample.txt", plugins: []plugin{{name: "golang"}}},
	{name: "custom", header: gogoTypes, body: "custom.txt", plugins: []plugin{{name: "gogofaster", params: gogoWellKnown}}},
	{name: "customplain", header: gogoTypes, body: "custom.txt", plugins: []plugin{{name: "gogo", params: gogoWellKnown}}},
	{name: "required", header: proto2, body: "required.txt", plugins: []plugin{{name: "go"}}},
}
