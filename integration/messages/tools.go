// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build tools

package messages

// The generators that the package generate builds, so that go.mod pins them.
import (
	_ "github.com/gogo/protobuf/protoc-gen-gogo"
	_ "github.com/gogo/protobuf/protoc-gen-gogofaster"
	_ "github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto"
	_ "google.golang.org/protobuf/cmd/protoc-gen-go"
)
