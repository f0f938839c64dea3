// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package reflection_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/containerd/ttrpc"
	pb "github.com/containerd/ttrpc/internal/reflectionpb"
	"github.com/containerd/ttrpc/reflection"
)

// talk is a stream of reflection whose messages are seen.
type talk struct {
	t      *testing.T
	stream ttrpc.ClientStream
}

func talkTo(t *testing.T, client *ttrpc.Client, service string) talk {
	t.Helper()
	stream, err := client.NewStream(t.Context(), &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, service, "ServerReflectionInfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	return talk{t, stream}
}

func (s talk) ask(request *pb.ServerReflectionRequest) *pb.ServerReflectionResponse {
	s.t.Helper()
	if err := s.stream.SendMsg(request); err != nil {
		s.t.Fatal(err)
	}
	answer := new(pb.ServerReflectionResponse)
	if err := s.stream.RecvMsg(answer); err != nil {
		s.t.Fatalf("B154: the stream ends with %v", err)
	}
	return answer
}

func (s talk) wantFiles(request *pb.ServerReflectionRequest, want ...string) {
	s.t.Helper()
	request.Host = "host"
	answer := s.ask(request)
	var got []string
	for _, data := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(data, file); err != nil {
			s.t.Errorf("B154: %v", err)
		}
		got = append(got, file.GetName())
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("B154: %v is answered with %q (%v), want %q", request, got, answer.GetErrorResponse(), want)
	}
	if answer.ValidHost != "host" || !proto.Equal(answer.OriginalRequest, request) {
		s.t.Errorf("B154: %v is repeated as %q, %v", request, answer.ValidHost, answer.OriginalRequest)
	}
}

func (s talk) wantError(request *pb.ServerReflectionRequest, code codes.Code, text string) {
	s.t.Helper()
	answer := s.ask(request)
	failed := answer.GetErrorResponse()
	if failed == nil || codes.Code(failed.ErrorCode) != code || !strings.Contains(failed.ErrorMessage, text) {
		s.t.Errorf("B154: %v is answered with %v, want an error %v of %q", request, answer, code, text)
	}
	if !proto.Equal(answer.OriginalRequest, request) {
		s.t.Errorf("B154: %v is repeated as %v", request, answer.OriginalRequest)
	}
}

func (s talk) wantNumbers(message string, want ...int32) {
	s.t.Helper()
	answer := s.ask(numbers(message)).GetAllExtensionNumbersResponse()
	if answer == nil || answer.BaseTypeName != message || !slices.Equal(answer.ExtensionNumber, want) {
		s.t.Errorf("B154: the extensions of %s are %v, want %v", message, answer, want)
	}
}

func symbol(name string) *pb.ServerReflectionRequest {
	return &pb.ServerReflectionRequest{MessageRequest: &pb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name}}
}

func file(path string) *pb.ServerReflectionRequest {
	return &pb.ServerReflectionRequest{MessageRequest: &pb.ServerReflectionRequest_FileByFilename{FileByFilename: path}}
}

func extension(message string, number int32) *pb.ServerReflectionRequest {
	return &pb.ServerReflectionRequest{MessageRequest: &pb.ServerReflectionRequest_FileContainingExtension{
		FileContainingExtension: &pb.ExtensionRequest{ContainingType: message, ExtensionNumber: number}}}
}

func numbers(message string) *pb.ServerReflectionRequest {
	return &pb.ServerReflectionRequest{MessageRequest: &pb.ServerReflectionRequest_AllExtensionNumbersOfType{AllExtensionNumbersOfType: message}}
}

// extended is a file with extensions, at its top and in a message.
const extended = `
	name: "ext.proto" package: "ext" syntax: "proto2" dependency: "google/protobuf/any.proto"
	message_type: { name: "Base" extension_range: { start: 100 end: 200 } }
	message_type: {
		name: "Holder"
		extension: { name: "inner" number: 150 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Any" extendee: ".ext.Base" }
	}
	extension: { name: "outer" number: 101 label: LABEL_OPTIONAL type: TYPE_STRING extendee: ".ext.Base" }`

// parse makes registered files of descriptions as text.
func parse(t *testing.T, texts ...string) *protoregistry.Files {
	t.Helper()
	files := new(protoregistry.Files)
	for _, text := range texts {
		described := new(descriptorpb.FileDescriptorProto)
		if err := prototext.Unmarshal([]byte(text), described); err != nil {
			t.Fatal(err)
		}
		file, err := protodesc.NewFile(described, both{files, protoregistry.GlobalFiles})
		if err == nil {
			err = files.RegisterFile(file)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// both looks into one and then into the other.
type both struct{ first, second protodesc.Resolver }

func (b both) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if found, err := b.first.FindFileByPath(path); err == nil {
		return found, nil
	}
	return b.second.FindFileByPath(path)
}

func (b both) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if found, err := b.first.FindDescriptorByName(name); err == nil {
		return found, nil
	}
	return b.second.FindDescriptorByName(name)
}

// TestStream asks everything that there is to ask, under both names.
func TestStream(t *testing.T) {
	files := parse(t, extended)
	register := func(server *ttrpc.Server) {
		reflection.Register(server, reflection.WithFiles(files))
		server.RegisterService("old.Undescribed", &ttrpc.ServiceDesc{})
	}
	eachMode(t, register, func(t *testing.T, _ *ttrpc.Server, client *ttrpc.Client) {
		for _, version := range []string{"v1", "v1alpha"} {
			s := talkTo(t, client, "grpc.reflection."+version+".ServerReflection")
			s.wantFiles(symbol("ttrpc.Request"), "request.proto", "google/rpc/status.proto", "google/protobuf/any.proto")
			s.wantFiles(symbol("google.rpc.Status.code"), "google/rpc/status.proto")
			s.wantFiles(file("google/protobuf/any.proto"), "google/protobuf/any.proto")
			s.wantFiles(symbol("grpc.reflection."+version+".ServerReflection.ServerReflectionInfo"), "grpc/reflection/"+version+"/reflection.proto")
			s.wantError(symbol("no.Such"), codes.NotFound, `there is no symbol "no.Such"`)
			s.wantError(symbol("old.Undescribed"), codes.NotFound, `no description of the service "old.Undescribed"`)
			s.wantError(file("no/such.proto"), codes.NotFound, `there is no file "no/such.proto"`)
			s.wantError(&pb.ServerReflectionRequest{}, codes.InvalidArgument, "list_services")
			s.wantFiles(extension("ext.Base", 150), "ext.proto")
			s.wantFiles(extension("ext.Base", 101), "ext.proto")
			s.wantError(extension("ext.Base", 102), codes.NotFound, `there is no extension 102 of "ext.Base"`)
			s.wantNumbers("ext.Base", 101, 150)
			s.wantNumbers("ext.Holder")
			s.wantError(numbers("no.Such"), codes.NotFound, `there is no symbol "no.Such"`)
			if err := s.stream.CloseSend(); err != nil {
				t.Error(err)
			}
			if err := s.stream.RecvMsg(new(pb.ServerReflectionResponse)); err != io.EOF {
				t.Errorf("B154: the stream ends with %v", err)
			}
		}
	})
}

// TestClientExtensions asks for extensions with a Client.
func TestClientExtensions(t *testing.T) {
	files := parse(t, extended)
	register := func(server *ttrpc.Server) { reflection.Register(server, reflection.WithFiles(files)) }
	eachMode(t, register, func(t *testing.T, _ *ttrpc.Server, client *ttrpc.Client) {
		c := reflection.NewClient(t.Context(), client)
		defer c.Close()
		if got, err := c.ExtensionNumbers("ext.Base"); err != nil || !slices.Equal(got, []int32{101, 150}) {
			t.Errorf("B154: the extensions are %v, %v", got, err)
		}
		got, err := c.Extension("ext.Base", 150)
		if err != nil {
			t.Fatal(err)
		}
		found, ok := find(t, "ext.Holder.inner", got).(protoreflect.ExtensionDescriptor)
		if !ok || dynamicpb.NewExtensionType(found).TypeDescriptor().Number() != 150 {
			t.Errorf("B154: extension 150 is %v", found)
		}
		if want := []string{"google/protobuf/any.proto", "ext.proto"}; !slices.Equal(paths(got), want) {
			t.Errorf("B154: its files are %q, want %q", paths(got), want)
		}
		if _, err := c.Extension("ext.Base", 102); status.Code(err) != codes.NotFound {
			t.Errorf("B154: an extension that is not there: %v", err)
		}
		if _, err := c.ExtensionNumbers("no.Such"); status.Code(err) != codes.NotFound {
			t.Errorf("B154: extensions of a message that is not there: %v", err)
		}
		if got, err := c.File("ext.proto"); err != nil || len(got) != 2 {
			t.Errorf("B154: File: %q, %v", paths(got), err)
		}
	})
}

// chain returns files of which each imports the next; all but the last have a field whose
// default is size bytes.
func chain(size int, names ...string) (texts []string) {
	for i := len(names) - 1; i >= 0; i-- {
		text := `syntax: "proto2" name: "` + names[i] + `.proto" message_type: { name: "` + names[i] + `" `
		if i < len(names)-1 {
			text += `field: { name: "f" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING default_value: "` + strings.Repeat("x", size) + `" } ` +
				`field: { name: "next" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".` + names[i+1] + `" } } dependency: "` + names[i+1] + `.proto"`
		} else {
			text += "}"
		}
		texts = append(texts, text)
	}
	return texts
}

// TestLargeAnswers has files of which no message holds all, and one that no message holds.
func TestLargeAnswers(t *testing.T) {
	const limit = 16 << 10
	files := parse(t, append(chain(limit/2, "A", "B", "C", "D", "E"), chain(2*limit, "Huge", "Small")...)...)
	synctest.Test(t, func(t *testing.T) {
		server, client, end := connect(t, ttrpc.WithServerLimits(ttrpc.Limits{MessageSize: limit}))
		defer end()
		reflection.Register(server, reflection.WithFiles(files))
		c := reflection.NewClient(t.Context(), client)
		defer c.Close()
		if got, err := c.Symbol("A"); err != nil || !slices.Equal(paths(got), []string{"E.proto", "D.proto", "C.proto", "B.proto", "A.proto"}) {
			t.Errorf("B154: the files are %q, %v", paths(got), err)
		}
		if _, err := c.Symbol("Huge"); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("B154: a file that is too large: %v", err)
		}
		if got, err := c.Symbol("Small"); err != nil || len(got) != 1 {
			t.Errorf("B154: after one that was too large: %q, %v", paths(got), err)
		}
		s := talkTo(t, client, "grpc.reflection.v1.ServerReflection")
		s.wantFiles(symbol("A"), "A.proto")
		s.wantFiles(symbol("D"), "D.proto", "E.proto") // which counted as sent, and were not
		// Even what repeats the question may be too large.
		if _, err := c.Symbol(strings.Repeat("x", limit-8)); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("B154: a long name: %v", err)
		}
		if _, err := c.Services(); err != nil {
			t.Errorf("B154: after a long name: %v", err)
		}
	})
}

// TestShutdown holds that an idle stream does not hold up a server that shuts down.
func TestShutdown(t *testing.T) {
	register := func(server *ttrpc.Server) { reflection.Register(server) }
	eachMode(t, register, func(t *testing.T, server *ttrpc.Server, client *ttrpc.Client) {
		s := talkTo(t, client, "grpc.reflection.v1.ServerReflection")
		s.wantFiles(file("google/protobuf/any.proto"), "google/protobuf/any.proto")
		shut := make(chan error, 1)
		go func() { shut <- server.Shutdown(context.Background()) }()
		if err := s.stream.RecvMsg(new(pb.ServerReflectionResponse)); status.Code(err) != codes.Unavailable {
			t.Errorf("B152: the stream ends with %v", err)
		}
		if err := <-shut; err != nil {
			t.Errorf("B152: Shutdown: %v", err)
		}
	})
}
