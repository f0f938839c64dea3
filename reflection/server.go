// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package reflection

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/grpcfiles"
	pb "github.com/containerd/ttrpc/internal/reflectionpb"
)

const methodName = "ServerReflectionInfo"

// serviceNames are the names under which reflection is served, the one to prefer first. Their
// messages are the same.
var serviceNames = [...]string{"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}

// An Option is one of Register.
type Option func(*service)

// WithFiles has descriptions looked up in files first, before those that are linked into the
// program. It may be given several times. The files must not change any more.
func WithFiles(files *protoregistry.Files) Option {
	if files == nil {
		panic("reflection: the files are nil")
	}
	return func(s *service) { s.sources = append(s.sources, files) }
}

// Register has a server serve reflection of all services that are registered with it, before
// or later. Those of which there is no description are listed by their names. It panics if
// the server has reflection already.
//
// A stream of it ends with Unavailable when [ttrpc.Server.Shutdown] begins.
func Register(server *ttrpc.Server, opts ...Option) {
	s := &service{server: server}
	for _, opt := range opts {
		opt(s)
	}
	s.sources = append(s.sources, protoregistry.GlobalFiles, grpcfiles.Files())
	desc := &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{
		methodName: {Handler: s.serve, StreamingClient: true, StreamingServer: true},
	}}
	for _, name := range serviceNames {
		server.RegisterService(name, desc)
	}
}

// A service is the reflection of one server.
type service struct {
	server  *ttrpc.Server
	sources []*protoregistry.Files // are asked in this order
}

// serve answers the questions of one stream.
func (s *service) serve(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
	leaving := ttrpc.DrainingFromContext(ctx)
	staying, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-leaving:
			cancel()
		case <-staying.Done():
		}
	}()
	c := &conversation{service: s, sent: map[string]bool{}}
	for {
		request := new(pb.ServerReflectionRequest)
		err := stream.RecvMsg(ttrpc.Within(staying, request))
		switch {
		case err == io.EOF:
			return nil, nil
		case err != nil && ctx.Err() != nil: // the client has gone
			return nil, ctx.Err()
		case err != nil && isClosed(leaving):
			return nil, status.Error(codes.Unavailable, "the server is shutting down")
		case err != nil:
			return nil, err
		}
		if err := c.send(stream, request, c.answer(request)); err != nil {
			return nil, err
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// send sends an answer. One that is too large for a message goes with fewer of the files that
// the first one imports, which the client then asks for one by one.
func (c *conversation) send(stream ttrpc.StreamServer, request *pb.ServerReflectionRequest, a answer) error {
	for {
		err := stream.SendMsg(a.message(request))
		if large := (*ttrpc.OversizedMessageErr)(nil); !errors.As(err, &large) {
			return err
		}
		if len(a.files) < 2 {
			a = answer{err: status.Error(codes.ResourceExhausted, "the answer is too large for a message")}
			return stream.SendMsg(a.message(nil))
		}
		half := len(a.files) / 2
		for _, file := range a.files[half:] {
			delete(c.sent, file.path)
		}
		a.files = a.files[:half]
	}
}
