// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package reflection

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc"
	pb "github.com/containerd/ttrpc/internal/reflectionpb"
)

// A Stream is one of the reflection service: a [ttrpc.ClientStream] or a grpc.ClientStream.
type Stream interface {
	SendMsg(m any) error
	RecvMsg(m any) error
	CloseSend() error
}

// A Client asks a server's reflection, all on one stream, which the first question opens. It
// keeps the files that it gets, so it is for one look at the server, and not for its
// life. Its methods may be called concurrently.
//
// Errors are statuses: NotFound if the server does not have what is asked for,
// Unimplemented if it does not serve reflection; else those of the stream, as they are. After
// an error of the stream all questions have that error.
type Client struct {
	ctx    context.Context
	cancel context.CancelFunc
	open   func(ctx context.Context, service, method string, first any) (Stream, error)

	mu     sync.Mutex // held while a question waits for its answer
	stream Stream
	failed error // of the stream
	files  map[string]*descriptorpb.FileDescriptorProto
}

// NewClient returns a Client that asks by ttrpc until ctx ends. Close must be called.
//
// A server that does not serve reflection, of whatever release, gets one request for each of
// reflection's two names, and no message on a stream.
func NewClient(ctx context.Context, client *ttrpc.Client) *Client {
	return NewClientFunc(ctx, func(ctx context.Context, service, method string, first any) (Stream, error) {
		desc := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
		return client.NewStream(ctx, desc, service, method, first) // the first message is in the request
	})
}

// NewClientFunc returns a Client that asks on what open returns: a stream whose both sides
// stream, of a method of a service ("package.Service"), on which the message first has been
// sent. Close must be called.
func NewClientFunc(ctx context.Context, open func(ctx context.Context, service, method string, first any) (Stream, error)) *Client {
	ctx, cancel := context.WithCancel(ctx)
	return &Client{ctx: ctx, cancel: cancel, open: open, files: map[string]*descriptorpb.FileDescriptorProto{}}
}

// Close ends the stream. It waits for no question: those that wait fail.
func (c *Client) Close() {
	if c.mu.TryLock() {
		if c.stream != nil {
			_ = c.stream.CloseSend() // so that a classic server, which learns of no cancel, ends it
		}
		c.mu.Unlock()
	}
	c.cancel()
}

// Services returns the names of the server's services, sorted.
func (c *Client) Services() ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, err := c.ask(&pb.ServerReflectionRequest{MessageRequest: &pb.ServerReflectionRequest_ListServices{ListServices: "*"}})
	if err != nil {
		return nil, err
	}
	list := answer.GetListServicesResponse()
	if list == nil {
		return nil, errOtherAnswer
	}
	var names []string
	for _, service := range list.GetService() {
		names = append(names, service.Name)
	}
	slices.Sort(names)
	return names, nil
}

// Symbol returns the file that declares what has a full name, as "package.Service", and all
// files that it imports, each after those that it imports itself: what [protodesc.NewFiles]
// takes.
func (c *Client) Symbol(name string) ([]*descriptorpb.FileDescriptorProto, error) {
	return c.closure(&pb.ServerReflectionRequest{MessageRequest: &pb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name}})
}

// File returns the file with a path, as "google/protobuf/any.proto", and all files that it
// imports, in the order of Symbol.
func (c *Client) File(path string) ([]*descriptorpb.FileDescriptorProto, error) {
	return c.closure(&pb.ServerReflectionRequest{MessageRequest: &pb.ServerReflectionRequest_FileByFilename{FileByFilename: path}})
}

// Extension returns the file that declares the extension of a message with a number, and all
// files that it imports, in the order of Symbol.
func (c *Client) Extension(message string, number int32) ([]*descriptorpb.FileDescriptorProto, error) {
	return c.closure(&pb.ServerReflectionRequest{MessageRequest: &pb.ServerReflectionRequest_FileContainingExtension{
		FileContainingExtension: &pb.ExtensionRequest{ContainingType: message, ExtensionNumber: number}}})
}

// ExtensionNumbers returns the numbers of the extensions of a message that the server knows.
func (c *Client) ExtensionNumbers(message string) ([]int32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, err := c.ask(&pb.ServerReflectionRequest{MessageRequest: &pb.ServerReflectionRequest_AllExtensionNumbersOfType{AllExtensionNumbersOfType: message}})
	if err != nil {
		return nil, err
	}
	numbers := answer.GetAllExtensionNumbersResponse()
	if numbers == nil {
		return nil, errOtherAnswer
	}
	return numbers.ExtensionNumber, nil
}

var errOtherAnswer = status.Error(codes.Internal, "the server's reflection has answered another question")

// closure asks for a file and returns it after all that it imports.
func (c *Client) closure(request *pb.ServerReflectionRequest) ([]*descriptorpb.FileDescriptorProto, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	path, err := c.askForFile(request)
	if err != nil {
		return nil, err
	}
	var sorted []*descriptorpb.FileDescriptorProto
	if err := c.sort(path, map[string]bool{}, &sorted); err != nil {
		return nil, err
	}
	return sorted, nil
}

// sort appends a file after those that it imports, and asks for those that have not come.
func (c *Client) sort(path string, seen map[string]bool, sorted *[]*descriptorpb.FileDescriptorProto) error {
	seen[path] = true
	file := c.files[path]
	for _, imported := range file.GetDependency() {
		if seen[imported] {
			continue
		}
		if err := c.need(imported); err != nil {
			return fmt.Errorf("%w (%s imports it)", err, path)
		}
		if err := c.sort(imported, seen, sorted); err != nil {
			return err
		}
	}
	*sorted = append(*sorted, file)
	return nil
}

// mostFiles is how many files one server may have, so that one that goes on for ever comes to an
// end.
const mostFiles = 4000

// need sees to it that a file is there. One that the server does not have may be linked into
// this program, as google/protobuf/any.proto is.
func (c *Client) need(path string) error {
	if c.files[path] != nil {
		return nil
	}
	if len(c.files) > mostFiles {
		return status.Errorf(codes.ResourceExhausted, "the server's reflection has more than %d files", mostFiles)
	}
	_, err := c.askForFile(&pb.ServerReflectionRequest{MessageRequest: &pb.ServerReflectionRequest_FileByFilename{FileByFilename: path}})
	if err == nil && c.files[path] == nil {
		err = status.Errorf(codes.Internal, "the server's reflection was asked for the file %q, and has sent others", path)
	}
	if err != nil && c.failed == nil {
		if linked, failed := protoregistry.GlobalFiles.FindFileByPath(path); failed == nil {
			c.files[path] = protodesc.ToFileDescriptorProto(linked)
			return nil
		}
	}
	return err
}

// askForFile asks for a file, keeps all that come, and returns the path of the first.
func (c *Client) askForFile(request *pb.ServerReflectionRequest) (first string, err error) {
	answer, err := c.ask(request)
	if err != nil {
		return "", err
	}
	encoded := answer.GetFileDescriptorResponse().GetFileDescriptorProto()
	if len(encoded) == 0 {
		return "", status.Error(codes.Internal, "the server's reflection has sent no file, and no error")
	}
	for i, data := range encoded {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(data, file); err != nil {
			return "", status.Errorf(codes.Internal, "the server's reflection has sent a file that cannot be decoded: %v", err)
		}
		if i == 0 {
			first = file.GetName()
		}
		c.files[file.GetName()] = file
	}
	return first, nil
}

// ask asks one question.
func (c *Client) ask(request *pb.ServerReflectionRequest) (*pb.ServerReflectionResponse, error) {
	answer := new(pb.ServerReflectionResponse)
	if c.failed == nil {
		c.failed = c.exchange(request, answer)
	}
	if c.failed != nil {
		return nil, c.failed
	}
	if failed := answer.GetErrorResponse(); failed != nil {
		return nil, status.Error(codes.Code(failed.ErrorCode), failed.ErrorMessage)
	}
	return answer, nil
}

// exchange sends a request and receives its answer. The first opens the stream.
func (c *Client) exchange(request *pb.ServerReflectionRequest, answer *pb.ServerReflectionResponse) error {
	if c.stream != nil { // it has answered, so there is such a method, and it takes messages
		if err := c.stream.SendMsg(request); err != nil && err != io.EOF { // which RecvMsg explains
			return err
		}
		return ended(c.stream.RecvMsg(answer))
	}
	var failed error
	for _, service := range serviceNames {
		stream, err := c.open(c.ctx, service, methodName, request)
		if err != nil {
			return err
		}
		if err = ended(stream.RecvMsg(answer)); err == nil {
			c.stream = stream
			return nil
		}
		if !isNoMethod(err) {
			return err
		}
		if failed == nil {
			failed = status.Errorf(codes.Unimplemented, "the server does not serve reflection: it answers %q", err)
		}
	}
	return failed
}

// ended makes an error of the end of a stream, which comes too early.
func ended(err error) error {
	if err == io.EOF {
		return status.Error(codes.Unavailable, "the server has ended the stream of its reflection")
	}
	return err
}

// isNoMethod tells whether an error says that a server does not have a method. Servers in Rust
// say InvalidArgument, and those of ttrpc before v1.1 NotFound.
func isNoMethod(err error) bool {
	code := status.Code(err)
	return code == codes.Unimplemented || code == codes.InvalidArgument || code == codes.NotFound
}
