// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
)

// Save writes the files that describe what was found, and all that they import, to the file
// of --protoset-out. Without that flag it does nothing. The error is of type [*cli.Exit].
func (s *Schema) Save(found ...protoreflect.Descriptor) error {
	if s.out == "" {
		return nil
	}
	set := new(descriptorpb.FileDescriptorSet)
	seen := map[string]bool{}
	for _, d := range found {
		closure(set, seen, d.ParentFile())
	}
	data, err := proto.Marshal(set)
	if err == nil {
		err = os.WriteFile(s.out, data, 0o666)
	}
	if err != nil {
		return cli.Input("", "--protoset-out: %w", err)
	}
	return nil
}
