// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc"
)

const reflectionMethod = "ServerReflectionInfo"

// reflectionServices are the names of the reflection service, in the order in which they are
// tried. Their messages are the same.
var reflectionServices = []string{"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}

// asked is a stream of the reflection service, of either protocol.
type asked interface {
	ask(*reflectionpb.ServerReflectionRequest) (*reflectionpb.ServerReflectionResponse, error)
	close()
}

// ReflectGRPC returns a Reflection that asks a server by gRPC. Behind a name with several
// servers any of these is asked.
func ReflectGRPC(conn grpc.ClientConnInterface) *Reflection {
	return newReflection(func(ctx context.Context) (asked, error) {
		ctx, cancel := context.WithCancel(ctx)
		return &askedGRPC{ctx: ctx, cancel: cancel, conn: conn}, nil
	})
}

type askedGRPC struct {
	ctx    context.Context
	cancel context.CancelFunc
	conn   grpc.ClientConnInterface
	stream grpc.ClientStream
}

func (a *askedGRPC) ask(request *reflectionpb.ServerReflectionRequest) (*reflectionpb.ServerReflectionResponse, error) {
	if a.stream != nil {
		return a.askOn(a.stream, request)
	}
	var failed error
	for _, service := range reflectionServices {
		stream, err := a.conn.NewStream(a.ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/"+service+"/"+reflectionMethod)
		if err != nil {
			return nil, err
		}
		answer, err := a.askOn(stream, request)
		if err == nil {
			a.stream = stream
			return answer, nil
		}
		if failed = err; status.Code(err) != codes.Unimplemented {
			break
		}
	}
	return nil, failed
}

func (*askedGRPC) askOn(stream grpc.ClientStream, request *reflectionpb.ServerReflectionRequest) (*reflectionpb.ServerReflectionResponse, error) {
	_ = stream.SendMsg(request) // how it fails RecvMsg tells
	answer := new(reflectionpb.ServerReflectionResponse)
	return answer, stream.RecvMsg(answer)
}

func (a *askedGRPC) close() { a.cancel() }

// ReflectTTRPC returns a Reflection that asks a server by ttrpc. One that does not serve
// reflection, of whatever release, gets one request that it refuses, and no message on a
// stream.
func ReflectTTRPC(client *ttrpc.Client) *Reflection {
	return newReflection(func(ctx context.Context) (asked, error) {
		ctx, cancel := context.WithCancel(ctx)
		return &askedTTRPC{ctx: ctx, cancel: cancel, client: client}, nil
	})
}

type askedTTRPC struct {
	ctx    context.Context
	cancel context.CancelFunc
	client *ttrpc.Client
	stream ttrpc.ClientStream
}

func (a *askedTTRPC) ask(request *reflectionpb.ServerReflectionRequest) (*reflectionpb.ServerReflectionResponse, error) {
	answer := new(reflectionpb.ServerReflectionResponse)
	if a.stream != nil { // it has answered, so there is such a method, and it takes messages
		if err := a.stream.SendMsg(request); err != nil {
			return nil, err
		}
		return answer, a.stream.RecvMsg(answer)
	}
	var failed error
	for _, service := range reflectionServices {
		desc := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
		stream, err := a.client.NewStream(a.ctx, desc, service, reflectionMethod, request) // the first message is in the request
		if err != nil {
			return nil, err
		}
		if err = stream.RecvMsg(answer); err == nil {
			a.stream = stream
			return answer, nil
		}
		if failed = err; !noSuchMethod(err) {
			break
		}
	}
	return nil, failed
}

// noSuchMethod tells whether an error says that a ttrpc server does not have a method.
// Servers in Rust say so with InvalidArgument.
func noSuchMethod(err error) bool {
	code := statusOf(err).Code()
	return code == codes.Unimplemented || code == codes.InvalidArgument
}

func (a *askedTTRPC) close() {
	if a.stream != nil {
		_ = a.stream.CloseSend() // so that a classic server, which learns of no cancel, ends it
	}
	a.cancel()
}

// A session is questions and answers on one stream, and the files that have come.
type session struct {
	stream asked
	files  map[string]*descriptorpb.FileDescriptorProto
}

func newSession(stream asked) *session {
	return &session{stream, map[string]*descriptorpb.FileDescriptorProto{}}
}

// ask asks and keeps the files of the answer.
func (s *session) ask(request *reflectionpb.ServerReflectionRequest) (*reflectionpb.ServerReflectionResponse, error) {
	answer, err := s.stream.ask(request)
	if err != nil {
		return nil, err
	}
	if failed := answer.GetErrorResponse(); failed != nil {
		return nil, status.Error(codes.Code(failed.ErrorCode), failed.ErrorMessage)
	}
	for _, encoded := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(encoded, file); err != nil {
			return nil, fmt.Errorf("the server's reflection: %w", err)
		}
		s.files[file.GetName()] = file
	}
	return answer, nil
}

func (s *session) symbol(name string) error {
	_, err := s.ask(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name}})
	return err
}

func (s *session) file(path string) error {
	_, err := s.ask(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_FileByFilename{FileByFilename: path}})
	return err
}

func (s *session) services() (names []string, err error) {
	answer, err := s.ask(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{ListServices: "*"}})
	for _, service := range answer.GetListServicesResponse().GetService() {
		names = append(names, service.Name)
	}
	return names, err
}

// imports asks for the files that those that have come import, and that are not known.
func (s *session) imports(known *Descriptors) error {
	for {
		missing := ""
		for _, file := range s.files {
			for _, path := range file.GetDependency() {
				if _, err := known.FindFileByPath(path); err != nil && s.files[path] == nil {
					missing = path
				}
			}
		}
		if missing == "" {
			return nil
		}
		if err := s.file(missing); err != nil {
			return err
		}
		if s.files[missing] == nil {
			return status.Errorf(codes.Internal, "the server's reflection does not have the file %s, which others import", missing)
		}
	}
}
