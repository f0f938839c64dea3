// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package use

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/gentest/golden/editions/opaque2024"
	"github.com/containerd/ttrpc/internal/gentest/golden/editions/open2023"
	"github.com/containerd/ttrpc/internal/gentest/golden/imports"
	"github.com/containerd/ttrpc/internal/gentest/golden/names"
	"github.com/containerd/ttrpc/internal/gentest/golden/prefix"
	"github.com/containerd/ttrpc/internal/gentest/golden/table"
)

// The functions of a service, as other people's code uses them.
var (
	_ func(*ttrpc.Server, table.FooService)             = table.RegisterFooService
	_ func(*ttrpc.Client) table.FooClient               = table.NewFooClient
	_ func(*ttrpc.Server, table.NoStreamsService)       = table.RegisterNoStreamsService
	_ func(*ttrpc.Client) table.NoStreamsService        = table.NewNoStreamsClient
	_ func(*ttrpc.Server, table.OnlyStreamsService)     = table.RegisterOnlyStreamsService
	_ func(*ttrpc.Client) table.OnlyStreamsClient       = table.NewOnlyStreamsClient
	_ func(*ttrpc.Server, table.NoMethodsService)       = table.RegisterNoMethodsService
	_ func(*ttrpc.Client) table.NoMethodsService        = table.NewNoMethodsClient
	_ func(*ttrpc.Server, prefix.TTRPCFooService)       = prefix.RegisterTTRPCFooService
	_ func(*ttrpc.Client) prefix.TTRPCFooClient         = prefix.NewTTRPCFooClient
	_ func(*ttrpc.Server, prefix.TTRPCNoStreamsService) = prefix.RegisterTTRPCNoStreamsService
	_ func(*ttrpc.Client) prefix.TTRPCNoStreamsService  = prefix.NewTTRPCNoStreamsClient
	_ func(*ttrpc.Server, imports.ImporterService)      = imports.RegisterImporterService
	_ func(*ttrpc.Client) imports.ImporterClient        = imports.NewImporterClient
	_ func(*ttrpc.Server, names.TakenService_)          = names.RegisterTakenService
	_ func(*ttrpc.Client) names.TakenClient_            = names.NewTakenClient
	_ func(*ttrpc.Server, open2023.MessagesService)     = open2023.RegisterMessagesService
	_ func(*ttrpc.Client) open2023.MessagesClient       = open2023.NewMessagesClient
	_ func(*ttrpc.Server, opaque2024.MessagesService)   = opaque2024.RegisterMessagesService
	_ func(*ttrpc.Client) opaque2024.MessagesClient     = opaque2024.NewMessagesClient
)

// methods are the methods of an interface with their signatures.
type methods map[string]string

// The methods that the interfaces of streams embed.
var (
	streamServer = methods{"SendMsg": "func(interface {}) error", "RecvMsg": "func(interface {}) error"}
	clientStream = methods{"SendMsg": "func(interface {}) error", "RecvMsg": "func(interface {}) error", "CloseSend": "func() error"}
)

// plus returns the methods of m and of more.
func (m methods) plus(more methods) methods {
	sum := maps.Clone(m)
	maps.Copy(sum, more)
	return sum
}

// TestInterfaces has a case for each form of each row of the table that says what
// is generated.
func TestInterfaces(t *testing.T) {
	for _, test := range []struct {
		typ  reflect.Type
		want methods
	}{
		{reflect.TypeFor[table.FooService](), methods{
			"Unary":        "func(context.Context, *table.In) (*table.Out, error)",
			"ClientStream": "func(context.Context, table.Foo_ClientStreamServer) (*table.Out, error)",
			"ServerStream": "func(context.Context, *table.In, table.Foo_ServerStreamServer) error",
			"Both":         "func(context.Context, table.Foo_BothServer) error",
		}},
		{reflect.TypeFor[table.FooClient](), methods{
			"Unary":        "func(context.Context, *table.In) (*table.Out, error)",
			"ClientStream": "func(context.Context) (table.Foo_ClientStreamClient, error)",
			"ServerStream": "func(context.Context, *table.In) (table.Foo_ServerStreamClient, error)",
			"Both":         "func(context.Context) (table.Foo_BothClient, error)",
		}},
		{reflect.TypeFor[table.Foo_ClientStreamServer](), streamServer.plus(methods{
			"Recv": "func() (*table.In, error)",
		})},
		{reflect.TypeFor[table.Foo_ServerStreamServer](), streamServer.plus(methods{
			"Send": "func(*table.Out) error",
		})},
		{reflect.TypeFor[table.Foo_BothServer](), streamServer.plus(methods{
			"Send": "func(*table.Out) error",
			"Recv": "func() (*table.In, error)",
		})},
		{reflect.TypeFor[table.Foo_ClientStreamClient](), clientStream.plus(methods{
			"Send":         "func(*table.In) error",
			"CloseAndRecv": "func() (*table.Out, error)",
		})},
		{reflect.TypeFor[table.Foo_ServerStreamClient](), clientStream.plus(methods{
			"Recv": "func() (*table.Out, error)",
		})},
		{reflect.TypeFor[table.Foo_BothClient](), clientStream.plus(methods{
			"Send": "func(*table.In) error",
			"Recv": "func() (*table.Out, error)",
		})},
		{reflect.TypeFor[table.NoStreamsService](), methods{
			"One": "func(context.Context, *table.In) (*table.Out, error)",
			"Two": "func(context.Context, *table.Out) (*table.In, error)",
		}},
		{reflect.TypeFor[table.NoMethodsService](), methods{}},
		{reflect.TypeFor[prefix.TTRPCFooService](), methods{
			"Unary":        "func(context.Context, *prefix.Message) (*prefix.Message, error)",
			"ClientStream": "func(context.Context, prefix.TTRPCFoo_ClientStreamServer) (*prefix.Message, error)",
			"ServerStream": "func(context.Context, *prefix.Message, prefix.TTRPCFoo_ServerStreamServer) error",
			"Both":         "func(context.Context, prefix.TTRPCFoo_BothServer) error",
		}},
		{reflect.TypeFor[imports.ImporterService](), methods{
			"Unary":        "func(context.Context, *otherpb.Outer) (*emptypb.Empty, error)",
			"ClientStream": "func(context.Context, imports.Importer_ClientStreamServer) (*timestamppb.Timestamp, error)",
			"ServerStream": "func(context.Context, *emptypb.Empty, imports.Importer_ServerStreamServer) error",
			"Both":         "func(context.Context, imports.Importer_BothServer) error",
		}},
		{reflect.TypeFor[names.MethodsService](), methods{
			"DoIt":     "func(context.Context, *names.Message) (*names.Message, error)",
			"DoIt_":    "func(context.Context, *names.Message) (*names.Message, error)",
			"DoIt__":   "func(context.Context, names.Methods_DoIt__Server) (*names.Message, error)",
			"M":        "func(context.Context, names.Methods_MServer) error",
			"MServer":  "func(context.Context, names.Methods_MServerServer) error",
			"M_Server": "func(context.Context, names.Methods_M_ServerServer) error",
			"M_":       "func(context.Context, names.Methods_M_Server) error",
			"XM":       "func(context.Context, names.Methods_XMServer) error",
		}},
	} {
		got := methods{}
		for i := range test.typ.NumMethod() {
			method := test.typ.Method(i)
			got[method.Name] = method.Type.String()
		}
		if !maps.Equal(got, test.want) {
			t.Errorf("%v has the methods\n\t%v\nwant\n\t%v", test.typ, got, test.want)
		}
	}
}

// TestExported checks that the table's names, and nothing else, are exported.
func TestExported(t *testing.T) {
	for _, test := range []struct {
		file string
		want []string
	}{
		{"../golden/table/table_ttrpc.pb.go", []string{
			"FooClient", "FooService",
			"Foo_BothClient", "Foo_BothServer",
			"Foo_ClientStreamClient", "Foo_ClientStreamServer",
			"Foo_ServerStreamClient", "Foo_ServerStreamServer",
			"NewFooClient", "NewNoMethodsClient", "NewNoStreamsClient", "NewOnlyStreamsClient",
			"NoMethodsService", "NoStreamsService",
			"OnlyStreamsClient", "OnlyStreamsService",
			"OnlyStreams_UploadClient", "OnlyStreams_UploadServer",
			"RegisterFooService", "RegisterNoMethodsService", "RegisterNoStreamsService", "RegisterOnlyStreamsService",
		}},
		{"../golden/prefix/prefix_ttrpc.pb.go", []string{
			"NewTTRPCFooClient", "NewTTRPCNoStreamsClient",
			"RegisterTTRPCFooService", "RegisterTTRPCNoStreamsService",
			"TTRPCFooClient", "TTRPCFooService",
			"TTRPCFoo_BothClient", "TTRPCFoo_BothServer",
			"TTRPCFoo_ClientStreamClient", "TTRPCFoo_ClientStreamServer",
			"TTRPCFoo_ServerStreamClient", "TTRPCFoo_ServerStreamServer",
			"TTRPCNoStreamsService",
		}},
	} {
		if got := exported(t, test.file); !slices.Equal(got, test.want) {
			t.Errorf("%s exports\n\t%q\nwant\n\t%q", test.file, got, test.want)
		}
	}
}

// exported returns the sorted names that the Go file exports, but for methods.
func exported(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, decl := range parsed.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Recv == nil {
				names = append(names, decl.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, spec.Name.Name)
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						names = append(names, name.Name)
					}
				}
			}
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !ast.IsExported(name) })
	slices.Sort(names)
	return names
}
