// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/gofeaturespb"
)

// scope is the set of names in use in one Go scope.
type scope map[string]bool

// take returns name and marks it as used. If name is in use already, it is
// followed by underscores until it is not.
func (s scope) take(name string) string {
	for s[name] {
		name += "_"
	}
	s[name] = true
	return name
}

// packageScopes has the scope of each Go package of a request, by import path.
type packageScopes map[protogen.GoImportPath]scope

// newPackageScopes returns scopes that hold what protoc-gen-go declares for files.
func newPackageScopes(files []*protogen.File) packageScopes {
	scopes := packageScopes{}
	imports := scope{}
	for _, file := range files {
		// The local name of an import must differ from the names of its package.
		imports[path.Base(string(file.GoImportPath))] = true
	}
	for _, file := range files {
		s := scopes[file.GoImportPath]
		if s == nil {
			s = scope{}
			scopes[file.GoImportPath] = s
			for name := range imports {
				s[name] = true
			}
		}
		s.addMessages(file.Messages)
		s.addEnums(file.Enums)
		s.addExtensions(file.Extensions)
	}
	return scopes
}

func (s scope) addMessages(messages []*protogen.Message) {
	for _, message := range messages {
		s[message.GoIdent.GoName] = true
		s.addMessages(message.Messages)
		s.addEnums(message.Enums)
		s.addExtensions(message.Extensions)
		for _, field := range message.Fields {
			if field.Oneof == nil || field.Oneof.Desc.IsSynthetic() {
				continue
			}
			// The type that wraps a field of a oneof.
			wrapper := field.GoIdent.GoName
			if message.APILevel == gofeaturespb.GoFeatures_API_OPAQUE {
				wrapper = unexported(wrapper)
			}
			s[wrapper] = true
		}
	}
}

func (s scope) addEnums(enums []*protogen.Enum) {
	for _, enum := range enums {
		s[enum.GoIdent.GoName] = true
		for _, value := range enum.Values {
			s[value.GoIdent.GoName] = true
		}
	}
}

func (s scope) addExtensions(extensions []*protogen.Extension) {
	for _, extension := range extensions {
		s[extension.GoIdent.GoName] = true
	}
}

// unexported returns name with its first letter in lower case. Unlike the whole
// name in lower case, that keeps names apart which differ in the case of others.
func unexported(name string) string {
	return strings.ToLower(name[:1]) + name[1:]
}
