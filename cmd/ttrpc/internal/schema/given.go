// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// A source is where a file was described.
type source struct {
	file *descriptorpb.FileDescriptorProto
	from string
}

// read reads all files that the flags name into one layer.
func (f *Flags) read(ctx context.Context) (*layer, error) {
	given := newLayer()
	all := map[string]source{}
	if err := f.compile(ctx, all); err != nil {
		return nil, err
	}
	for _, path := range f.Protosets {
		if err := readProtoset(path, all); err != nil {
			return nil, err
		}
	}
	files := map[string]*descriptorpb.FileDescriptorProto{}
	for path, s := range all {
		files[path] = s.file
	}
	return given, given.describe(files, known)
}

// known returns a file that the program has: one that is built in, or linked.
func known(path string) protoreflect.FileDescriptor {
	for _, files := range []*protoregistry.Files{builtin().files, protoregistry.GlobalFiles} {
		if file, err := files.FindFileByPath(path); err == nil {
			return file
		}
	}
	return nil
}

// add adds a file. The same file may come from several sources, but must not differ there.
func add(all map[string]source, file *descriptorpb.FileDescriptorProto, from string) error {
	before, ok := all[file.GetName()]
	if !ok {
		all[file.GetName()] = source{file, from}
		return nil
	}
	if !proto.Equal(bare(before.file), bare(file)) {
		return fmt.Errorf("%s is not the same in %s and in %s: give one of them", file.GetName(), before.from, from)
	}
	return nil
}

// bare returns a file without what does not count when files are compared.
func bare(file *descriptorpb.FileDescriptorProto) *descriptorpb.FileDescriptorProto {
	c := proto.CloneOf(file)
	c.SourceCodeInfo = nil
	return c
}

func readProtoset(path string, all map[string]source) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(data, set); err != nil {
		return fmt.Errorf("%s is no set of descriptions, as protoc --descriptor_set_out writes it: %s", path, plain(err))
	}
	if len(set.GetFile()) == 0 {
		return fmt.Errorf("%s describes nothing", path)
	}
	for _, file := range set.GetFile() {
		if err := add(all, file, path); err != nil {
			return err
		}
	}
	return nil
}

const mostErrors = 10 // of the errors in .proto files

// compile compiles the .proto files of the flags.
func (f *Flags) compile(ctx context.Context, all map[string]source) error {
	if len(f.Proto) == 0 {
		if len(f.ImportPaths) > 0 {
			return errors.New("--import-path does nothing without --proto")
		}
		return nil
	}
	names, dirs, err := f.places()
	if err != nil {
		return err
	}
	var failed []error
	compiler := protocompile.Compiler{
		Resolver:       resolver(dirs),
		SourceInfoMode: protocompile.SourceInfoStandard,
		Reporter: reporter.NewReporter(func(err reporter.ErrorWithPos) error {
			failed = append(failed, err)
			if len(failed) == mostErrors {
				return err
			}
			return nil
		}, nil),
	}
	files, err := compiler.Compile(ctx, names...)
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := addCompiled(all, file); err != nil {
			return err
		}
	}
	return nil
}

// resolver finds files in directories, and what they import also among those that the program has.
func resolver(dirs []string) protocompile.Resolver {
	sources := protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: dirs})
	return protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) {
		found, err := sources.FindFileByPath(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return found, err
		}
		if file := known(path); file != nil {
			return protocompile.SearchResult{Desc: file}, nil
		}
		return found, fmt.Errorf("there is no %s in %s, or in another directory of --import-path", path, strings.Join(dirs, ", "))
	})
}

// addCompiled adds a compiled file and what it imports.
func addCompiled(all map[string]source, file protoreflect.FileDescriptor) error {
	const from = "the files of --proto"
	if s, ok := all[file.Path()]; ok && s.from == from {
		return nil
	}
	if err := add(all, protoutil.ProtoFromFileDescriptor(file), from); err != nil {
		return err
	}
	for i := range file.Imports().Len() {
		if err := addCompiled(all, file.Imports().Get(i).FileDescriptor); err != nil {
			return err
		}
	}
	return nil
}

// places returns the names by which the compiler finds the files of the flags, and the
// directories to look in. A file need not be below an --import-path: then its own directory is
// one.
func (f *Flags) places() (names, dirs []string, err error) {
	dirs = f.ImportPaths
	if len(dirs) == 0 {
		dirs = []string{"."}
	}
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil {
			return nil, nil, err
		} else if !info.IsDir() {
			return nil, nil, fmt.Errorf("%s is not a directory", dir)
		}
	}
	for _, path := range f.Proto {
		name, dir := place(path, dirs)
		if name == "" {
			return nil, nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		if dir != "" {
			dirs = append(dirs, dir)
		}
		names = append(names, name)
	}
	return names, dirs, nil
}

// place returns the name of one file, and a directory that must be looked in in addition.
func place(path string, dirs []string) (name, dir string) {
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(d, path)); err == nil && filepath.IsLocal(path) {
			return filepath.ToSlash(path), ""
		}
	}
	if _, err := os.Stat(path); err != nil {
		return "", ""
	}
	for _, d := range dirs {
		if below, err := filepath.Rel(d, path); err == nil && filepath.IsLocal(below) {
			return filepath.ToSlash(below), ""
		}
	}
	return filepath.Base(path), filepath.Dir(path)
}
