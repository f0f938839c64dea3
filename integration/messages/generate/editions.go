// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/gofeaturespb"
	"google.golang.org/protobuf/types/pluginpb"
)

// runWithoutProtoc does what protoc would if it knew editions.
func (g *generator) runWithoutProtoc(path string, plugins []plugin) error {
	compiler := protocompile.Compiler{
		SourceInfoMode: protocompile.SourceInfoStandard,
		Resolver: protocompile.WithStandardImports(protocompile.CompositeResolver{
			goFeatures{},
			&protocompile.SourceResolver{ImportPaths: []string{g.protos}},
		}),
	}
	files, err := compiler.Compile(context.Background(), path)
	if err != nil {
		return err
	}
	for _, p := range plugins {
		err := g.runPlugin(p.name, &pluginpb.CodeGeneratorRequest{
			FileToGenerate: []string{path},
			Parameter:      proto.String(p.parameter()),
			ProtoFile:      withImports(files[0], map[string]bool{}),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// withImports returns file after all that it imports.
func withImports(file protoreflect.FileDescriptor, seen map[string]bool) []*descriptorpb.FileDescriptorProto {
	if seen[file.Path()] {
		return nil
	}
	seen[file.Path()] = true
	var files []*descriptorpb.FileDescriptorProto
	for i := range file.Imports().Len() {
		files = append(files, withImports(file.Imports().Get(i), seen)...)
	}
	return append(files, protoutil.ProtoFromFileDescriptor(file))
}

// goFeatures finds go_features.proto, which is part of protobuf's module for Go.
type goFeatures struct{}

func (goFeatures) FindFileByPath(path string) (protocompile.SearchResult, error) {
	file := gofeaturespb.File_google_protobuf_go_features_proto
	if path != file.Path() {
		return protocompile.SearchResult{}, fmt.Errorf("%s: %w", path, os.ErrNotExist)
	}
	return protocompile.SearchResult{Proto: protodesc.ToFileDescriptorProto(file)}, nil
}

// runPlugin runs the plugin that protoc calls name, as protoc would.
func (g *generator) runPlugin(name string, req *pluginpb.CodeGeneratorRequest) error {
	in, err := proto.Marshal(req)
	if err != nil {
		return err
	}
	cmd := exec.Command(g.plugin(name))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	var resp pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &resp); err != nil {
		return err
	}
	if resp.Error != nil {
		return errors.New(resp.GetError())
	}
	for _, file := range resp.File {
		if err := writeFile(filepath.Join(g.out, file.GetName()), []byte(file.GetContent())); err != nil {
			return err
		}
	}
	return nil
}
