// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/source"
	"github.com/containerd/ttrpc/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// builtIn returns a schema of what is built in.
func builtIn(t *testing.T) *schema.Schema {
	t.Helper()
	s, err := new(schema.Flags).Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// builtInFiles returns the files of all services that are built in, and what they import.
func builtInFiles(t *testing.T) map[string]protoreflect.FileDescriptor {
	s := builtIn(t)
	names, err := s.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]protoreflect.FileDescriptor{}
	var add func(file protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		all[file.Path()] = file
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
	}
	for _, name := range append(names, "io.containerd.cgroups.v1.Metrics", "io.containerd.cgroups.v2.Metrics", "containerd.events.TaskExit", "containerd.runc.v1.Options") {
		d, err := s.Find(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		add(d.ParentFile())
	}
	return all
}

// compile compiles a file that may import others.
func compile(t *testing.T, path, text string, others map[string]protoreflect.FileDescriptor) protoreflect.FileDescriptor {
	t.Helper()
	files, err := (&protocompile.Compiler{
		SourceInfoMode: protocompile.SourceInfoStandard,
		Resolver: protocompile.WithStandardImports(protocompile.ResolverFunc(func(name string) (protocompile.SearchResult, error) {
			if name == path {
				return protocompile.SearchResult{Source: strings.NewReader(text)}, nil
			}
			if file := others[name]; file != nil {
				return protocompile.SearchResult{Desc: file}, nil
			}
			return protocompile.SearchResult{}, os.ErrNotExist
		})),
	}).Compile(context.WithoutCancel(t.Context()), path)
	if err != nil {
		t.Fatalf("%s: %v\n%s", path, err, text)
	}
	return files[0]
}

// plain returns what counts of a file: not the places in the source, nor options that are for
// generated code and that the source of a file is written without.
func plain(t *testing.T, file protoreflect.FileDescriptor) *descriptorpb.FileDescriptorProto {
	t.Helper()
	p := protodesc.ToFileDescriptorProto(file)
	p.SourceCodeInfo, p.Options = nil, nil
	for _, x := range p.Extension {
		x.Proto3Optional = nil // which depends on who makes the descriptor
	}
	for _, service := range p.Service {
		for _, method := range service.Method {
			if proto.Size(method.Options) == 0 {
				method.Options = nil
			}
		}
	}
	var sort func([]*descriptorpb.DescriptorProto)
	sort = func(all []*descriptorpb.DescriptorProto) {
		slices.SortFunc(all, func(a, b *descriptorpb.DescriptorProto) int { return strings.Compare(a.GetName(), b.GetName()) })
		for _, m := range all {
			sort(m.NestedType)
		}
	}
	sort(p.MessageType)
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(data, p); err != nil {
		t.Fatal(err)
	}
	return p
}

const everything = `syntax = "proto2";
package every.thing;
import "google/protobuf/descriptor.proto";
extend google.protobuf.FieldOptions { optional Mark mark = 50001; repeated string words = 50002; }
extend google.protobuf.MethodOptions { optional string note = 50003; }
// Mark is a mark.
//
// It has two paragraphs.
message Mark { optional int32 a = 1; optional string b = 2; extensions 100 to 199, 1000 to max; reserved 3, 5 to 7; reserved "old"; }
extend Mark { repeated int32 more = 100; }
message All {
  option deprecated = true;
  required int64 id = 1 [default = -5, json_name = "ID", (mark) = { a: 1, b: "x\"y" }, (words) = "é", (words) = "b"];
  optional bytes data = 2 [default = "\001\377a"];
  optional double d = 3 [default = inf];
  optional Kind kind = 4 [default = SECOND];
  repeated int32 packed = 5 [packed = true];
  map<string, Mark> marks = 6;
  oneof choice { string text = 7; Mark pick = 8; }
  optional group Inner = 9 { optional All all = 1; }
  enum Kind { option allow_alias = true; FIRST = 0; SECOND = 1 [deprecated = true]; ZWEITE = 1; reserved -9 to -2, 40 to max; reserved "X"; }
  extend Mark { optional All in = 101; }
  optional bool flag = 10 [default = true];
  optional string s = 11 [default = "a\nb\"ü"];
  optional float f = 12 [default = 0.5];
}
service S { option deprecated = true; rpc A(All) returns (stream Mark) { option (note) = "n"; option idempotency_level = IDEMPOTENT; } rpc B(stream All) returns (All); }
`

const editions = `edition = "2023";
package every.edition;
message M { string a = 1 [features.field_presence = IMPLICIT]; int32 b = 2; M child = 3 [features.message_encoding = DELIMITED]; repeated int32 c = 4 [features.repeated_field_encoding = EXPANDED]; }
enum E { option features.enum_type = CLOSED; A = 1; }
`

const optional = `syntax = "proto3"; message P { optional string a = 1; oneof _b { int32 b = 2; } repeated P ps = 3; map<int32, bytes> m = 4; }`

// TestCompiles holds that what is written compiles to what it was written from.
func TestCompiles(t *testing.T) { // B176
	files := builtInFiles(t)
	for path, text := range map[string]string{"everything.proto": everything, "editions.proto": editions, "optional.proto": optional} {
		files[path] = compile(t, path, text, files)
	}
	if len(files) < 25 {
		t.Errorf("only %d files", len(files))
	}
	for path, file := range files {
		if path == "google/protobuf/descriptor.proto" {
			continue
		}
		text := source.Write(file)
		again := compile(t, path, text, files)
		if got, want := plain(t, again), plain(t, file); !proto.Equal(got, want) {
			t.Errorf("%s is not the same:\n%s", path, firstDifference(prototext.Format(got), prototext.Format(want)))
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			from := max(0, i-5)
			return "got\n" + strings.Join(g[from:i+1], "\n") + "\nwant\n" + strings.Join(w[from:i+1], "\n")
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

func TestComments(t *testing.T) { // B176
	file := compile(t, "everything.proto", everything, nil)
	got := source.Write(file.Messages().ByName("Mark"))
	const want = `// Mark is a mark.
//
// It has two paragraphs.
message Mark {
  optional int32 a = 1;
`
	if !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestTemplates holds that call takes the template of each message that is built in.
func TestTemplates(t *testing.T) { // B176
	format := &message.Format{Types: builtIn(t).Types(), EmitDefaults: true}
	count := 0
	var each func(messages protoreflect.MessageDescriptors)
	each = func(messages protoreflect.MessageDescriptors) {
		for i := range messages.Len() {
			d := messages.Get(i)
			each(d.Messages())
			template := source.Template(d)
			text, err := format.Marshal(template)
			if err != nil {
				t.Errorf("%s: %v", d.FullName(), err)
				continue
			}
			back := dynamicpb.NewMessage(d)
			if err := format.Unmarshal(text, back); err != nil {
				t.Errorf("%s: %v\n%s", d.FullName(), err, text)
			}
			if !proto.Equal(template, back) {
				t.Errorf("%s came back as %v, not %v", d.FullName(), back, template)
			}
			count++
		}
	}
	for _, file := range builtInFiles(t) {
		each(file.Messages())
	}
	if count < 300 {
		t.Errorf("only %d messages", count)
	}
}

func TestTemplateOfOneof(t *testing.T) { // B176
	file := compile(t, "everything.proto", everything, nil)
	m := source.Template(file.Messages().ByName("All")).ProtoReflect()
	fields := m.Descriptor().Fields()
	if !m.Has(fields.ByName("text")) || m.Has(fields.ByName("pick")) {
		t.Errorf("B176: of a oneof the template has not the first field: %v", m)
	}
}

// TestWideTemplate holds that types that hold each other many times make no endless template.
func TestWideTemplate(t *testing.T) { // B177
	var text strings.Builder
	text.WriteString("syntax = \"proto3\";\nmessage M40 {}\n")
	for i := range 40 {
		fmt.Fprintf(&text, "message M%d { M%d a = 1; M%d b = 2; repeated M%d c = 3; }\n", i, i+1, i+1, i+1)
	}
	file := compile(t, "wide.proto", text.String(), nil)
	if size := proto.Size(source.Template(file.Messages().ByName("M0"))); size > 1<<20 {
		t.Errorf("the template has %d bytes", size)
	}
}
