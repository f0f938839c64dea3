// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package gentest

import (
	"testing"

	"github.com/containerd/ttrpc/internal/plugintest"
)

func TestMain(m *testing.M) {
	plugintest.Main(m,
		"github.com/containerd/ttrpc/cmd/protoc-gen-go-ttrpc",
		"google.golang.org/protobuf/cmd/protoc-gen-go")
}
