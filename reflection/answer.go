// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package reflection

import (
	"maps"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/containerd/ttrpc/internal/reflectionpb"
)

// An answer is one of files, numbers, services and err.
type answer struct {
	files    []encodedFile
	numbers  *pb.ExtensionNumberResponse
	services *pb.ListServiceResponse
	err      error
}

type encodedFile struct {
	path string
	data []byte
}

// message returns the answer to a request, which is repeated in it.
func (a answer) message(request *pb.ServerReflectionRequest) *pb.ServerReflectionResponse {
	m := &pb.ServerReflectionResponse{ValidHost: request.GetHost(), OriginalRequest: request}
	switch {
	case a.err != nil:
		st := status.Convert(a.err)
		m.MessageResponse = &pb.ServerReflectionResponse_ErrorResponse{ErrorResponse: &pb.ErrorResponse{
			ErrorCode: int32(st.Code()), ErrorMessage: st.Message()}}
	case a.numbers != nil:
		m.MessageResponse = &pb.ServerReflectionResponse_AllExtensionNumbersResponse{AllExtensionNumbersResponse: a.numbers}
	case a.services != nil:
		m.MessageResponse = &pb.ServerReflectionResponse_ListServicesResponse{ListServicesResponse: a.services}
	default:
		files := new(pb.FileDescriptorResponse)
		for _, file := range a.files {
			files.FileDescriptorProto = append(files.FileDescriptorProto, file.data)
		}
		m.MessageResponse = &pb.ServerReflectionResponse_FileDescriptorResponse{FileDescriptorResponse: files}
	}
	return m
}

// A conversation is what goes on on one stream.
type conversation struct {
	*service
	sent map[string]bool // paths of the files that the client has got
}

// answer finds the answer to a request.
func (c *conversation) answer(request *pb.ServerReflectionRequest) answer {
	switch q := request.MessageRequest.(type) {
	case *pb.ServerReflectionRequest_ListServices:
		return answer{services: c.list()}
	case *pb.ServerReflectionRequest_FileByFilename:
		return c.file(c.byPath(q.FileByFilename))
	case *pb.ServerReflectionRequest_FileContainingSymbol:
		return c.file(parentFile(c.byName(q.FileContainingSymbol)))
	case *pb.ServerReflectionRequest_FileContainingExtension:
		return c.file(c.byExtension(q.FileContainingExtension.GetContainingType(), q.FileContainingExtension.GetExtensionNumber()))
	case *pb.ServerReflectionRequest_AllExtensionNumbersOfType:
		return c.extensionNumbers(q.AllExtensionNumbersOfType)
	}
	return answer{err: status.Error(codes.InvalidArgument, "the request has none of the questions that this server knows: "+
		"list_services, file_by_filename, file_containing_symbol, file_containing_extension, all_extension_numbers_of_type")}
}

func (s *service) list() *pb.ListServiceResponse {
	list := new(pb.ListServiceResponse)
	for _, info := range s.server.Services() {
		list.Service = append(list.Service, &pb.ServiceResponse{Name: info.Name})
	}
	return list
}

func (s *service) byPath(path string) (protoreflect.FileDescriptor, error) {
	for _, source := range s.sources {
		if file, err := source.FindFileByPath(path); err == nil {
			return file, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "there is no file %q", path)
}

func (s *service) byName(name string) (protoreflect.Descriptor, error) {
	for _, source := range s.sources {
		if found, err := source.FindDescriptorByName(protoreflect.FullName(name)); err == nil {
			return found, nil
		}
	}
	for _, info := range s.server.Services() {
		if info.Name == name {
			return nil, status.Errorf(codes.NotFound, "the server has no description of the service %q", name)
		}
	}
	return nil, status.Errorf(codes.NotFound, "there is no symbol %q", name)
}

func parentFile(found protoreflect.Descriptor, err error) (protoreflect.FileDescriptor, error) {
	if err != nil {
		return nil, err
	}
	return found.ParentFile(), nil
}

func (s *service) byExtension(message string, number int32) (protoreflect.FileDescriptor, error) {
	if x := s.extensions(message)[protoreflect.FieldNumber(number)]; x != nil {
		return x.ParentFile(), nil
	}
	return nil, status.Errorf(codes.NotFound, "there is no extension %d of %q", number, message)
}

func (s *service) extensionNumbers(message string) answer {
	found := s.extensions(message)
	if len(found) == 0 {
		if _, err := s.byName(message); err != nil {
			return answer{err: err}
		}
	}
	numbers := &pb.ExtensionNumberResponse{BaseTypeName: message}
	for _, number := range slices.Sorted(maps.Keys(found)) {
		numbers.ExtensionNumber = append(numbers.ExtensionNumber, int32(number))
	}
	return answer{numbers: numbers}
}

// extensions returns the extensions of a message by their numbers.
func (s *service) extensions(message string) map[protoreflect.FieldNumber]protoreflect.ExtensionDescriptor {
	all := map[protoreflect.FieldNumber]protoreflect.ExtensionDescriptor{}
	for _, source := range s.sources {
		source.RangeFiles(func(file protoreflect.FileDescriptor) bool {
			addExtensions(all, message, file)
			return true
		})
	}
	return all
}

// addExtensions adds the extensions that are declared in a file or message, if their numbers are
// not there.
func addExtensions(all map[protoreflect.FieldNumber]protoreflect.ExtensionDescriptor, message string, in interface {
	Extensions() protoreflect.ExtensionDescriptors
	Messages() protoreflect.MessageDescriptors
}) {
	for i := range in.Extensions().Len() {
		x := in.Extensions().Get(i)
		if string(x.ContainingMessage().FullName()) == message && all[x.Number()] == nil {
			all[x.Number()] = x
		}
	}
	for i := range in.Messages().Len() {
		addExtensions(all, message, in.Messages().Get(i))
	}
}

// file answers with a file, and what it imports, directly or not, of what was not sent yet on
// this stream.
func (c *conversation) file(file protoreflect.FileDescriptor, err error) answer {
	if err != nil {
		return answer{err: err}
	}
	var a answer
	seen := map[string]bool{file.Path(): true}
	for next := []protoreflect.FileDescriptor{file}; len(next) > 0; next = next[1:] {
		file := next[0]
		if len(a.files) == 0 || !c.sent[file.Path()] {
			data, err := proto.Marshal(protodesc.ToFileDescriptorProto(file))
			if err != nil {
				return answer{err: status.Errorf(codes.Internal, "the description %q: %v", file.Path(), err)}
			}
			a.files = append(a.files, encodedFile{file.Path(), data})
		}
		for i := range file.Imports().Len() {
			imported := c.resolved(file.Imports().Get(i).FileDescriptor)
			if imported != nil && !seen[imported.Path()] {
				seen[imported.Path()] = true
				next = append(next, imported)
			}
		}
	}
	for _, file := range a.files {
		c.sent[file.path] = true
	}
	return a
}

// resolved returns an imported file, or nil if nobody has it.
func (s *service) resolved(file protoreflect.FileDescriptor) protoreflect.FileDescriptor {
	if file.IsPlaceholder() {
		file, _ = s.byPath(file.Path())
	}
	return file
}
