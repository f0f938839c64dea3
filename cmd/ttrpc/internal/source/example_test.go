// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/sourcecontextpb"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/source"
)

func ExampleWrite() {
	fmt.Print(source.Write(new(sourcecontextpb.SourceContext).ProtoReflect().Descriptor()))
	// Output:
	// message SourceContext {
	//   string file_name = 1;
	// }
}

func ExampleTemplate() {
	template := source.Template(new(sourcecontextpb.SourceContext).ProtoReflect().Descriptor())
	text, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(template)
	fmt.Println(string(text), err)
	// Output: {"fileName":""} <nil>
}
