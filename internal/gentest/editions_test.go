// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package gentest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"github.com/containerd/ttrpc/internal/plugintest"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/gofeaturespb"
	"google.golang.org/protobuf/types/pluginpb"
)

// editionsFiles are the files of protobuf editions, which only a recent protoc
// compiles.
var editionsFiles = []string{
	"editions/default_2023.proto",
	"editions/default_2024.proto",
	"editions/open_2023.proto",
	"editions/open_2024.proto",
	"editions/opaque_2023.proto",
	"editions/opaque_2024.proto",
}

// generateEditions does for editionsFiles what protoc would.
func generateEditions(t *testing.T, dir string) {
	t.Helper()
	for _, name := range editionsFiles {
		req := compile(t, name)
		req.Parameter = proto.String(goldenModule)
		for _, plugin := range []string{"go", "go-ttrpc"} {
			resp, stderr, err := runPlugin(plugin, req)
			if err != nil || resp.Error != nil {
				t.Fatalf("%s of %s: %v: %s%s", plugin, name, err, resp.GetError(), stderr)
			}
			for _, file := range resp.File {
				path := filepath.Join(dir, file.GetName())
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(file.GetContent()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// edition2024 is the first statement of a file of edition 2024.
var edition2024 = []byte(`edition = "2024";`)

// compile returns the request that asks a plugin for the code of one file.
//
// The compiler knows no edition after 2023. What files of 2024 here hold means the
// same in both, so that they are compiled as of 2023 and called 2024 afterwards.
func compile(t *testing.T, name string) *pluginpb.CodeGeneratorRequest {
	t.Helper()
	is2024 := false
	compiler := protocompile.Compiler{
		SourceInfoMode: protocompile.SourceInfoStandard,
		Resolver: protocompile.WithStandardImports(protocompile.CompositeResolver{
			goFeaturesResolver{},
			&protocompile.SourceResolver{
				ImportPaths: []string{"proto"},
				Accessor: func(path string) (io.ReadCloser, error) {
					source, err := os.ReadFile(path)
					if err != nil {
						return nil, err
					}
					is2024 = bytes.Contains(source, edition2024)
					source = bytes.Replace(source, edition2024, []byte(`edition = "2023";`), 1)
					return io.NopCloser(bytes.NewReader(source)), nil
				},
			},
		}),
	}
	files, err := compiler.Compile(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	file := protoutil.ProtoFromFileDescriptor(files[0])
	if is2024 {
		file.Edition = descriptorpb.Edition_EDITION_2024.Enum()
	}
	return &pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{name},
		ProtoFile:      append(dependencies(files[0]), file),
	}
}

// dependencies returns what file imports, each after what it imports itself.
func dependencies(file protoreflect.FileDescriptor) []*descriptorpb.FileDescriptorProto {
	seen := map[string]bool{}
	var files []*descriptorpb.FileDescriptorProto
	var visit func(protoreflect.FileDescriptor)
	visit = func(file protoreflect.FileDescriptor) {
		for i := range file.Imports().Len() {
			imported := file.Imports().Get(i)
			if seen[imported.Path()] {
				continue
			}
			seen[imported.Path()] = true
			visit(imported)
			files = append(files, protoutil.ProtoFromFileDescriptor(imported))
		}
	}
	visit(file)
	return files
}

// goFeaturesResolver finds go_features.proto, which is part of protobuf-go.
type goFeaturesResolver struct{}

func (goFeaturesResolver) FindFileByPath(path string) (protocompile.SearchResult, error) {
	file := gofeaturespb.File_google_protobuf_go_features_proto
	if path != file.Path() {
		return protocompile.SearchResult{}, fmt.Errorf("%s: %w", path, os.ErrNotExist)
	}
	return protocompile.SearchResult{Proto: protodesc.ToFileDescriptorProto(file)}, nil
}

// runPlugin runs the plugin that protoc calls name, as protoc would.
func runPlugin(name string, req *pluginpb.CodeGeneratorRequest) (resp *pluginpb.CodeGeneratorResponse, stderr string, err error) {
	in, err := proto.Marshal(req)
	if err != nil {
		return nil, "", err
	}
	var out, errOut bytes.Buffer
	cmd := exec.Command(plugintest.Path(name))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errOut
	if err := cmd.Run(); err != nil {
		return nil, errOut.String(), err
	}
	resp = new(pluginpb.CodeGeneratorResponse)
	return resp, errOut.String(), proto.Unmarshal(out.Bytes(), resp)
}
