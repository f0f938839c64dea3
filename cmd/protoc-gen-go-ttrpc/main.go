// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command protoc-gen-go-ttrpc is a plugin of the protocol buffer compiler which
// writes the ttrpc stubs of services, beside the messages that protoc-gen-go
// writes. For NAME.proto it writes NAME_ttrpc.pb.go, and nothing if the file has
// no services.
//
// Make both plugins tools of your module, install them and run protoc:
//
//	go get -tool google.golang.org/protobuf/cmd/protoc-gen-go
//	go get -tool github.com/containerd/ttrpc/cmd/protoc-gen-go-ttrpc
//	GOBIN=$PWD/bin go install tool
//	PATH=$PWD/bin:$PATH protoc \
//		--go_out=. --go_opt=paths=source_relative \
//		--go-ttrpc_out=. --go-ttrpc_opt=paths=source_relative \
//		hello.proto
//
// A tool follows the go.mod of your module. If that replaces github.com/containerd/ttrpc, the
// plugin is that of the replacement; "go install" with "@latest" would bring another. For
// buf it is a local plugin:
//
//	plugins:
//	  - local: ["go", "tool", "protoc-gen-go-ttrpc"]
//	    out: .
//	    opt: paths=source_relative
//
// "go tool protoc-gen-go-ttrpc --version" tells what was built.
//
// A service Foo becomes the interface FooService, to be implemented and passed to
// RegisterFooService, and NewFooClient, which returns a client of it. A service
// with streaming methods has an interface FooClient too, and each streaming method
// M has the interfaces Foo_MServer and Foo_MClient for its two ends.
//
// # Parameters
//
// The parameters which protoc-gen-go has in common with all Go plugins:
//
//	paths=source_relative   write beside the .proto, not by Go import path
//	module=PREFIX           strip PREFIX off the names of the files written
//	MFILE=PATH              the Go import path of FILE
//
// and one of its own:
//
//	prefix=X                put X before the Go name of every service
//
// With prefix=TTRPC the service Foo has TTRPCFooService, RegisterTTRPCFooService,
// NewTTRPCFooClient and so on, so that the stubs can live in one package with those
// of another RPC system. The name on the wire stays.
//
// # Names
//
// A name that is taken already, by a message or by another service of the package,
// gets an underscore at its end.
//
// # Comments
//
// Comments of the .proto become doc comments. A line that Go would take for a condition of
// building the file, such as "+build linux", stands in backquotes there.
package main

import (
	"fmt"
	"go/token"
	"os"
	"runtime/debug"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	if len(os.Args) == 2 && (os.Args[1] == "-version" || os.Args[1] == "--version") {
		fmt.Println("protoc-gen-go-ttrpc", version())
		return
	}
	var params parameters
	protogen.Options{ParamFunc: params.set}.Run(func(plugin *protogen.Plugin) error {
		plugin.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL |
			pluginpb.CodeGeneratorResponse_FEATURE_SUPPORTS_EDITIONS)
		plugin.SupportedEditionsMinimum = descriptorpb.Edition_EDITION_PROTO2
		plugin.SupportedEditionsMaximum = descriptorpb.Edition_EDITION_2024
		generate(plugin, params)
		return nil
	})
}

// parameters are this plugin's own, besides those of protogen.
type parameters struct {
	// prefix goes before the Go name of every service.
	prefix string
}

// set is called for each parameter that protogen does not know.
func (p *parameters) set(name, value string) error {
	switch name {
	case "prefix":
		if value != "" && !token.IsIdentifier(value+"Service") {
			return fmt.Errorf("parameter prefix: %q cannot begin a Go identifier", value)
		}
		p.prefix = value
		return nil
	default:
		return fmt.Errorf("unknown parameter %q", name)
	}
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
