// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package use

import (
	"bytes"
	"compress/gzip"
	"context"
	"net"
	"strings"
	"testing"

	gogoproto "github.com/gogo/protobuf/proto"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc/internal/gentest/golden/gogo"
	"github.com/containerd/ttrpc/reflection"
)

// TestReflection describes a service whose description only gogo's registry has.
func TestReflection(t *testing.T) {
	files, err := reflection.GzippedFiles(gogoproto.FileDescriptor, "gogo/gogo.proto")
	if err != nil {
		t.Fatal(err)
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	gogo.RegisterFooService(server, nil)
	reflection.Register(server, reflection.WithFiles(files))
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	defer server.Close()
	client := ttrpc.NewClient(near)
	defer client.Close()
	c := reflection.NewClient(t.Context(), client)
	defer c.Close()
	described, err := c.Symbol("gentest.gogo.Foo")
	if err != nil {
		t.Fatalf("B153: %v", err)
	}
	built, err := protodesc.NewFiles(&descriptorpb.FileDescriptorSet{File: described})
	if err != nil {
		t.Fatalf("B153: %v", err)
	}
	if _, err := built.FindDescriptorByName("gentest.gogo.Foo.Unary"); err != nil {
		t.Errorf("B153: %v", err)
	}
}

// TestGzippedFilesMistakes has files that are not there, or are none.
func TestGzippedFilesMistakes(t *testing.T) {
	zip := func(file *descriptorpb.FileDescriptorProto) []byte {
		data, err := proto.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		var zipped bytes.Buffer
		w := gzip.NewWriter(&zipped)
		w.Write(data)
		w.Close()
		return zipped.Bytes()
	}
	field := func(typeName string) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{Name: proto.String("M"), Field: []*descriptorpb.FieldDescriptorProto{{
			Name: proto.String("f"), Number: proto.Int32(1), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: proto.String(typeName)}}}
	}
	files := map[string][]byte{
		"text.proto":  []byte("no gzip"),
		"self.proto":  zip(&descriptorpb.FileDescriptorProto{Name: proto.String("self.proto"), Dependency: []string{"self.proto"}}),
		"needs.proto": zip(&descriptorpb.FileDescriptorProto{Name: proto.String("needs.proto"), Dependency: []string{"gone.proto"}, MessageType: []*descriptorpb.DescriptorProto{field(".gone.M")}}),
		// gogo's own file has another name in its registry than the one by which it is imported.
		"options.proto": zip(&descriptorpb.FileDescriptorProto{Name: proto.String("options.proto"), Dependency: []string{"gogoproto/gogo.proto", "google/protobuf/any.proto"},
			PublicDependency: []int32{1}, MessageType: []*descriptorpb.DescriptorProto{field(".google.protobuf.Any")}}),
	}
	find := func(path string) []byte { return files[path] }
	for path, want := range map[string]string{
		"none.proto":  `reflection: file "none.proto": there is none`,
		"text.proto":  `reflection: file "text.proto": it is not gzipped`,
		"self.proto":  `import "self.proto": it imports itself`,
		"needs.proto": `of its imports nobody has ["gone.proto"]`,
	} {
		if _, err := reflection.GzippedFiles(find, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("B153: %s: %v, want %q", path, err, want)
		}
	}
	got, err := reflection.GzippedFiles(find, "options.proto")
	if err != nil {
		t.Fatalf("B153: an import that only options need: %v", err)
	}
	file, err := got.FindFileByPath("options.proto")
	if err != nil || file.Imports().Len() != 1 || !file.Imports().Get(0).IsPublic {
		t.Errorf("B153: options.proto is %v, %v", file, err)
	}
}
