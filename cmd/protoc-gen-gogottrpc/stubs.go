// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/token"
	"os"
	"strings"

	"github.com/gogo/protobuf/protoc-gen-gogo/descriptor"
	"github.com/gogo/protobuf/protoc-gen-gogo/generator"
)

// pluginName is what users put into the parameter plugins.
const pluginName = "ttrpc"

// Numbers of fields of FileDescriptorProto and ServiceDescriptorProto, which make
// up the paths that comments are found by.
const (
	fileServiceField   = 6
	serviceMethodField = 2
)

func init() {
	generator.RegisterPlugin(new(stubs))
}

// stubs is the plugin of gogo/protobuf's generator that writes the ttrpc stubs.
type stubs struct {
	gen *generator.Generator

	// The local names of the packages that the file in work imports.
	contextPackage string
	ttrpcPackage   string

	packages scope // the same, and those of the messages of the service in work
}

// service is a service with the names of what is declared for it.
type service struct {
	wireName string
	methods  []method
	doc      doc

	serviceType  string
	registerFunc string
	newFunc      string
	clientStruct string
}

// method is a method with the names of its Go code.
type method struct {
	wireName string
	goName   string
	in, out  string // message types
	doc      doc
}

// doc is what the doc comment of a service or method is made of.
type doc struct {
	path       string // of the comments in the .proto
	deprecated bool
}

// Name implements generator.Plugin.
func (s *stubs) Name() string { return pluginName }

// Init implements generator.Plugin.
func (s *stubs) Init(gen *generator.Generator) { s.gen = gen }

// GenerateImports implements generator.Plugin.
func (s *stubs) GenerateImports(*generator.FileDescriptor) {}

// Generate implements generator.Plugin.
func (s *stubs) Generate(file *generator.FileDescriptor) {
	if len(file.GetService()) == 0 {
		return
	}
	s.contextPackage = string(s.gen.AddImport("context"))
	s.ttrpcPackage = string(s.gen.AddImport("github.com/containerd/ttrpc"))
	taken := topLevelNames(file)
	s.packages = scope{s.contextPackage: true, s.ttrpcPackage: true}
	for i, desc := range file.GetService() {
		service := s.newService(file, desc, taken)
		service.doc.path = fmt.Sprintf("%d,%d", fileServiceField, i)
		for j := range service.methods {
			service.methods[j].doc.path = fmt.Sprintf("%s,%d,%d", service.doc.path, serviceMethodField, j)
		}
		s.printServer(service)
		s.printClient(service)
	}
}

func (s *stubs) newService(file *generator.FileDescriptor, desc *descriptor.ServiceDescriptorProto, taken scope) service {
	// Names go into Go as they are: a service foo_bar has a foo_barService.
	name := desc.GetName()
	service := service{
		wireName:     wireName(file.FileDescriptorProto, desc),
		serviceType:  taken.take(name + "Service"),
		registerFunc: taken.take("Register" + name + "Service"),
		newFunc:      taken.take("New" + name + "Client"),
		clientStruct: taken.take(strings.ToLower(name[:1]) + name[1:] + "Client"),
		doc:          doc{deprecated: desc.GetOptions().GetDeprecated()},
	}
	methodNames := scope{}
	for _, methodDesc := range desc.GetMethod() {
		goName := methodDesc.GetName()
		if token.IsKeyword(goName) {
			goName = generator.CamelCase(goName)
		}
		service.methods = append(service.methods, method{
			wireName: methodDesc.GetName(),
			goName:   methodNames.take(goName),
			in:       s.message(methodDesc.GetInputType()),
			out:      s.message(methodDesc.GetOutputType()),
			doc:      doc{deprecated: methodDesc.GetOptions().GetDeprecated()},
		})
	}
	return service
}

// message returns the Go type of the message with that full name, which is
// imported if it needs to be.
func (s *stubs) message(fullName string) string {
	s.gen.RecordTypeUse(fullName)
	name := s.gen.TypeName(s.gen.ObjectNamed(fullName))
	if pkg, _, imported := strings.Cut(name, "."); imported {
		s.packages[pkg] = true
	}
	return name
}

func (s *stubs) printServer(service service) {
	s.p("")
	s.printDoc(service.doc)
	s.p("type %s interface {", service.serviceType)
	for _, m := range service.methods {
		s.printDoc(m.doc)
		s.p("%s", s.signature(m))
	}
	s.p("}")
	s.p("")
	s.p("func %s($srv *%s.Server, $svc %s) {", service.registerFunc, s.ttrpcPackage, service.serviceType)
	s.p("$srv.Register(%q, map[string]%s.Method{", service.wireName, s.ttrpcPackage)
	for _, m := range service.methods {
		s.p("%q: func($ctx %s.Context, $unmarshal func(interface{}) error) (interface{}, error) {",
			m.wireName, s.contextPackage)
		s.p("$req := new(%s)", m.in)
		s.p("if $err := $unmarshal($req); $err != nil {")
		s.p("return nil, $err")
		s.p("}")
		s.p("return $svc.%s($ctx, $req)", m.goName)
		s.p("},")
	}
	s.p("})")
	s.p("}")
}

func (s *stubs) printClient(service service) {
	s.p("")
	s.p("type %s struct {", service.clientStruct)
	s.p("client *%s.Client", s.ttrpcPackage)
	s.p("}")
	s.p("")
	s.p("func %s($client *%s.Client) %s {", service.newFunc, s.ttrpcPackage, service.serviceType)
	s.p("return &%s{$client}", service.clientStruct)
	s.p("}")
	for _, m := range service.methods {
		s.p("")
		s.p("func ($c *%s) %s {", service.clientStruct, s.signature(m))
		s.p("$resp := new(%s)", m.out)
		s.p("if $err := $c.client.Call($ctx, %q, %q, $req, $resp); $err != nil {", service.wireName, m.wireName)
		s.p("return nil, $err")
		s.p("}")
		s.p("return $resp, nil")
		s.p("}")
	}
}

// signature returns the name, parameters and results of m, as p takes them.
func (s *stubs) signature(m method) string {
	return fmt.Sprintf("%s($ctx %s.Context, $req *%s) (*%s, error)", m.goName, s.contextPackage, m.in, m.out)
}

func (s *stubs) printDoc(d doc) {
	commented := s.gen.PrintComments(d.path)
	if !d.deprecated {
		return
	}
	if commented {
		s.p("//")
	}
	s.p("// Deprecated: Do not use.")
}

// p prints a line made of format and args. In it $x is the local variable x, under another
// name if it would shadow an imported package called x.
func (s *stubs) p(format string, args ...any) {
	s.gen.P(os.Expand(fmt.Sprintf(format, args...), func(local string) string {
		for s.packages[local] {
			local += "_"
		}
		return local
	}))
}

// wireName returns the full name of service, which is a service of file.
func wireName(file *descriptor.FileDescriptorProto, service *descriptor.ServiceDescriptorProto) string {
	if file.GetPackage() == "" {
		return service.GetName()
	}
	return file.GetPackage() + "." + service.GetName()
}

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

// topLevelNames returns the Go names of file's own messages and enums.
func topLevelNames(file *generator.FileDescriptor) scope {
	names := scope{}
	for _, message := range file.GetMessageType() {
		names[generator.CamelCase(message.GetName())] = true
	}
	for _, enum := range file.GetEnumType() {
		names[generator.CamelCase(enum.GetName())] = true
	}
	return names
}
