// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the set
	"fmt"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

//go:generate go -C generate run . ../builtin.binpb.gz

//go:embed builtin.binpb.gz
var builtinSet []byte

// builtin returns what is built in. It is read when it is first needed, which takes a few
// milliseconds.
var builtin = sync.OnceValue(func() *layer {
	l, err := unpack(builtinSet)
	if err != nil { // a test holds that it is whole
		panic(fmt.Sprintf("the built-in descriptions: %v", err))
	}
	return l
})

func unpack(compressed []byte) (*layer, error) {
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(data, set); err != nil {
		return nil, err
	}
	files := map[string]*descriptorpb.FileDescriptorProto{}
	for _, file := range set.File {
		files[file.GetName()] = file
	}
	l := newLayer()
	return l, l.describe(files, func(path string) protoreflect.FileDescriptor {
		file, _ := protoregistry.GlobalFiles.FindFileByPath(path)
		return file
	})
}
