// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command generate writes the descriptions that are built into the command ttrpc, with their
// comments, as one compressed FileDescriptorSet. It takes the .proto files from the modules
// that go.mod names, so their versions are those of the descriptions. It is a module of its own,
// so that the command depends on none of them.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	_ "github.com/containerd/cgroups/v3/cgroup1/stats"  // so that go.mod has the module
	_ "github.com/containerd/containerd/api/types/task" // the same
	_ "github.com/containerd/nri/pkg/api"               // the same
	_ "google.golang.org/genproto/googleapis/rpc/status"
	_ "google.golang.org/grpc/health/grpc_health_v1"
	_ "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// A source is .proto files of one module.
type source struct {
	module string
	prefix string   // of the names under which the files import each other
	globs  []string // below the module's directory
}

var sources = []source{
	{"github.com/containerd/containerd/api", "", []string{
		"runtime/*/*/*.proto",
		"services/ttrpc/events/v1/*.proto", "services/sandbox/v1/*.proto", "services/streaming/v1/*.proto", "services/transfer/v1/*.proto",
		"events/*.proto", "types/*.proto", "types/*/*.proto", "types/*/*/*.proto",
	}},
	{"github.com/containerd/cgroups/v3", "github.com/containerd/cgroups/", []string{"cgroup1/stats/*.proto", "cgroup2/stats/*.proto"}},
	{"github.com/containerd/nri", "", []string{"pkg/api/api.proto"}},
}

// linked are files whose descriptions are those of linked packages.
var linked = []string{"grpc/health/v1/health.proto", "grpc/reflection/v1/reflection.proto", "google/rpc/status.proto"}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: generate FILE")
	}
	data, err := generate(context.Background())
	if err == nil {
		err = os.WriteFile(os.Args[1], data, 0o666)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func generate(ctx context.Context) ([]byte, error) {
	contents := map[string]string{} // the files' places by their names
	names := append([]string{"ttrpc/extensions/v1/connection.proto"}, linked...)
	contents[names[0]] = "connection.proto"
	for _, s := range sources {
		found, err := s.find(contents)
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	compiler := protocompile.Compiler{
		SourceInfoMode: protocompile.SourceInfoStandard,
		Resolver: protocompile.ResolverFunc(func(name string) (protocompile.SearchResult, error) {
			if place, ok := contents[name]; ok {
				data, err := os.ReadFile(place)
				return protocompile.SearchResult{Source: bytes.NewReader(data)}, err
			}
			file, err := protoregistry.GlobalFiles.FindFileByPath(name)
			return protocompile.SearchResult{Desc: file}, err
		}),
	}
	files, err := compiler.Compile(ctx, names...)
	if err != nil {
		return nil, err
	}
	set := new(descriptorpb.FileDescriptorSet)
	seen := map[string]bool{}
	for _, file := range files {
		add(set, seen, file)
	}
	return pack(set)
}

// find adds a module's files to contents and returns their names.
func (s source) find(contents map[string]string) (names []string, err error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", s.module).Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.module, err)
	}
	dir := strings.TrimSpace(string(out))
	for _, glob := range s.globs {
		found, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(glob)))
		if err != nil || len(found) == 0 {
			return nil, errors.Join(err, &fs.PathError{Op: "find", Path: s.module + "/" + glob, Err: fs.ErrNotExist})
		}
		for _, place := range found {
			below, err := filepath.Rel(dir, place)
			if err != nil {
				return nil, err
			}
			name := path.Join(s.prefix, filepath.ToSlash(below))
			contents[name] = place
			names = append(names, name)
		}
	}
	return names, nil
}

// add adds a file after those that it imports.
func add(set *descriptorpb.FileDescriptorSet, seen map[string]bool, file protoreflect.FileDescriptor) {
	if seen[file.Path()] {
		return
	}
	seen[file.Path()] = true
	for i := range file.Imports().Len() {
		add(set, seen, file.Imports().Get(i).FileDescriptor)
	}
	described := protoutil.ProtoFromFileDescriptor(file)
	onlyComments(described)
	set.File = append(set.File, described)
}

// onlyComments drops places in source text that have no comment: nobody asks for them, and they
// are most of a description.
func onlyComments(file *descriptorpb.FileDescriptorProto) {
	if file.SourceCodeInfo == nil {
		return
	}
	var kept []*descriptorpb.SourceCodeInfo_Location
	for _, l := range file.SourceCodeInfo.Location {
		if len(l.Path) > 1 && (l.LeadingComments != nil || l.TrailingComments != nil) {
			l.LeadingDetachedComments = nil
			kept = append(kept, l)
		}
	}
	file.SourceCodeInfo.Location = kept
}

func pack(set *descriptorpb.FileDescriptorSet) ([]byte, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(set)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}
