// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command protoc-gen-gogottrpc is a plugin of the protocol buffer compiler which
// writes gogo/protobuf messages and ttrpc stubs into one file. It is for projects
// that still use github.com/gogo/protobuf; others use protoc-gen-go-ttrpc.
//
// For NAME.proto it writes NAME.pb.go. Messages have no getters, but have generated
// Marshal, Unmarshal, Size and String methods. A service Foo becomes the interface
// FooService, RegisterFooService and NewFooClient. Streaming methods are an error:
// they need protoc-gen-go-ttrpc.
//
// It is a module of its own, so that ttrpc's users do not get gogo/protobuf into their
// module graphs. Install it from a clone of the repository, and run protoc:
//
//	go -C cmd/protoc-gen-gogottrpc install .
//	protoc --gogottrpc_out=plugins=ttrpc,paths=source_relative:. hello.proto
//
// Or make it a tool of your module, where a replace line says which one it is; "go install"
// with "@latest" would bring another:
//
//	go mod edit -replace github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc=CLONE/cmd/protoc-gen-gogottrpc
//	go get -tool github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc
//	GOBIN=$PWD/bin go install tool
//
// For buf it is a local plugin then: local: ["go", "tool", "protoc-gen-gogottrpc"].
//
// "go tool protoc-gen-gogottrpc --version" tells what was built.
//
// # Parameters
//
//	plugins=ttrpc           write stubs; without it there are only messages
//	paths=source_relative   write beside the .proto, not by Go import path
//	import_path=PATH        the Go import path of files that do not say it
//	import_prefix=PREFIX    put PREFIX before all import paths
//	annotate_code=true      write metadata for source code indexers too
//	MFILE=PATH              the Go import path of FILE
//
// Plugins are separated by +. Besides ttrpc there are grpc and those that all
// generators of gogo/protobuf have. Others, such as fieldpath, are ignored with a
// warning. Parameters of other names are ignored too.
package main

import (
	"fmt"
	"go/build/constraint"
	"os"
	"runtime/debug"
	"strings"

	"github.com/gogo/protobuf/proto"
	"github.com/gogo/protobuf/protoc-gen-gogo/descriptor"
	plugin "github.com/gogo/protobuf/protoc-gen-gogo/plugin"
	"github.com/gogo/protobuf/vanity"
	"github.com/gogo/protobuf/vanity/command"
)

func main() {
	if len(os.Args) == 2 && (os.Args[1] == "-version" || os.Args[1] == "--version") {
		fmt.Println("protoc-gen-gogottrpc", version())
		return
	}
	command.Write(respond(command.Read()))
}

func respond(req *plugin.CodeGeneratorRequest) *plugin.CodeGeneratorResponse {
	plugins := requestedPlugins(req.GetParameter())
	for _, name := range plugins.unknown() {
		fmt.Fprintf(os.Stderr, "protoc-gen-gogottrpc: ignoring plugin %q, which is not built in\n", name)
	}
	if plugins.has(pluginName) {
		if err := checkUnary(req); err != nil {
			return &plugin.CodeGeneratorResponse{Error: proto.String(err.Error())}
		}
	}
	for _, file := range req.GetProtoFile() {
		keepComments(file)
	}
	files := vanity.FilterFiles(req.GetProtoFile(), vanity.NotGoogleProtobufDescriptorProto)
	vanity.ForEachFile(files, vanity.TurnOffGoGettersAll)
	vanity.ForEachFile(files, vanity.TurnOffGoStringerAll)
	vanity.ForEachFile(files, vanity.TurnOnMarshalerAll)
	vanity.ForEachFile(files, vanity.TurnOnUnmarshalerAll)
	vanity.ForEachFile(files, vanity.TurnOnSizerAll)
	vanity.ForEachFile(files, vanity.TurnOnStringerAll)
	return command.Generate(req)
}

// keepComments has the comments of a file be nothing else in Go.
func keepComments(file *descriptor.FileDescriptorProto) {
	for _, location := range file.GetSourceCodeInfo().GetLocation() {
		for _, comments := range []*string{location.LeadingComments, location.TrailingComments} {
			if comments == nil {
				continue
			}
			lines := strings.Split(*comments, "\n")
			for i, line := range lines {
				lines[i] = commentLine(line)
			}
			*comments = strings.Join(lines, "\n")
		}
	}
}

// commentLine returns a line as it is to stand behind the two slashes of a Go comment.
func commentLine(line string) string {
	if line != "" && line[0] != ' ' && line[0] != '\t' {
		line = " " + line // without the space, //go:generate would be a directive
	}
	if constraint.IsPlusBuild("//" + line) { // gofmt would put a condition above the package clause
		line = " `" + strings.TrimSpace(line) + "`"
	}
	return line
}

// checkUnary returns an error if a file to generate has a streaming method: a
// unary stub of it would compile and then fail against every server.
func checkUnary(req *plugin.CodeGeneratorRequest) error {
	generated := map[string]bool{}
	for _, name := range req.GetFileToGenerate() {
		generated[name] = true
	}
	for _, file := range req.GetProtoFile() {
		if !generated[file.GetName()] {
			continue
		}
		for _, service := range file.GetService() {
			for _, method := range service.GetMethod() {
				if method.GetClientStreaming() || method.GetServerStreaming() {
					return fmt.Errorf("%s: method %s of service %s is streaming, which only protoc-gen-go-ttrpc supports",
						file.GetName(), method.GetName(), wireName(file, service))
				}
			}
		}
	}
	return nil
}

// version is the version of the module this command was built from, and of what replaces it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	if r := info.Main.Replace; r != nil {
		return info.Main.Version + " => " + strings.TrimSpace(r.Path+" "+r.Version)
	}
	return info.Main.Version
}
