// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	pb "github.com/containerd/ttrpc/internal/reflectionpb"
)

// file returns a description of a file with one message.
func file(path, message string, imports ...string) *descriptorpb.FileDescriptorProto {
	return &descriptorpb.FileDescriptorProto{
		Name: &path, Syntax: proto.String("proto3"), Package: proto.String("h"), Dependency: imports,
		MessageType: []*descriptorpb.DescriptorProto{{Name: &message}},
	}
}

// protoset writes a set of descriptions and returns its path.
func protoset(t *testing.T, files ...*descriptorpb.FileDescriptorProto) string {
	t.Helper()
	data, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: files})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "set")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHostileProtosets(t *testing.T) { // B176, B177
	self := file("self.proto", "S")
	self.Dependency = []string{"self.proto"}
	lost := file("lost.proto", "L")
	lost.MessageType[0].Field = []*descriptorpb.FieldDescriptorProto{{
		Name: proto.String("f"), Number: proto.Int32(1), TypeName: proto.String(".h.Nowhere"), Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()}}
	for want, sets := range map[string][]string{
		"files import each other: a.proto → b.proto → c.proto → a.proto": {protoset(t, file("a.proto", "A", "b.proto"), file("b.proto", "B", "c.proto"), file("c.proto", "C", "a.proto"))},
		"files import each other: self.proto → self.proto":               {protoset(t, self)},
		"a.proto imports none.proto, which is missing":                   {protoset(t, file("a.proto", "A", "none.proto"))},
		"a.proto is not the same in ":                                    {protoset(t, file("a.proto", "A")), protoset(t, file("a.proto", "B"))},
		"h.A is described in a.proto, and again in b.proto":              {protoset(t, file("a.proto", "A"), file("b.proto", "A"))},
		"lost.proto: ": {protoset(t, lost)},
	} {
		_, err := (&Flags{Protosets: sets}).Open(t.Context(), nil)
		var exit *cli.Exit
		if !errors.As(err, &exit) || exit.Code != cli.ExitInput || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("B177: %v\nwant %s", err, want)
		}
	}
	same := protoset(t, file("a.proto", "A"))
	if _, err := open(t, &Flags{Protosets: []string{same, protoset(t, file("a.proto", "A"), file("b.proto", "B", "a.proto"))}}, nil).Find(t.Context(), "h.B"); err != nil {
		t.Errorf("B176: the same file in two sets: %v", err)
	}
}

// lie serves reflection that lists the service h.S, and answers all other questions by answer.
func lie(t *testing.T, answer func(ctx context.Context, request *pb.ServerReflectionRequest) []*descriptorpb.FileDescriptorProto) *ttrpc.Client {
	return serve(t, func(s *ttrpc.Server) {
		s.RegisterService("grpc.reflection.v1.ServerReflection", &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{"ServerReflectionInfo": {
			StreamingClient: true, StreamingServer: true,
			Handler: func(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
				for {
					request := new(pb.ServerReflectionRequest)
					if stream.RecvMsg(request) != nil {
						return nil, nil
					}
					response := new(pb.ServerReflectionResponse)
					if request.GetListServices() != "" {
						response.MessageResponse = &pb.ServerReflectionResponse_ListServicesResponse{
							ListServicesResponse: &pb.ListServiceResponse{Service: []*pb.ServiceResponse{{Name: "h.S"}}}}
					} else {
						files := new(pb.FileDescriptorResponse)
						for _, file := range answer(ctx, request) {
							data, err := proto.Marshal(file)
							if err != nil {
								return nil, err
							}
							files.FileDescriptorProto = append(files.FileDescriptorProto, data)
						}
						response.MessageResponse = &pb.ServerReflectionResponse_FileDescriptorResponse{FileDescriptorResponse: files}
					}
					if err := stream.SendMsg(response); err != nil {
						return nil, err
					}
				}
			},
		}}})
	})
}

func TestLyingReflection(t *testing.T) { // B177
	type files = []*descriptorpb.FileDescriptorProto
	for want, sent := range map[string]files{
		"it has sent files without h.S":                                      {file("a.proto", "A")},
		"files import each other: a.proto → b.proto → a.proto":               {file("a.proto", "A", "b.proto"), file("b.proto", "B", "a.proto")},
		"the server's reflection has sent no file, and no error":             nil,
		`the server's reflection was asked for the file "none.proto", and h`: {file("a.proto", "A", "none.proto")},
		`a.proto: descriptor "" has an invalid nested name: "a b"`:           {{Name: proto.String("a.proto"), MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("a b")}}}},
	} {
		s := open(t, &Flags{}, lie(t, func(context.Context, *pb.ServerReflectionRequest) []*descriptorpb.FileDescriptorProto { return sent }))
		_, err := s.Find(t.Context(), "h.S")
		if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), want) {
			t.Errorf("B177: %v\nwant %s", err, want)
		}
		if _, err := s.Find(t.Context(), "containerd.task.v2.Task"); err != nil {
			t.Errorf("B177: what is built in is lost: %v", err)
		}
	}
}

func TestEndlessReflection(t *testing.T) { // B177
	n := 0
	s := open(t, &Flags{}, lie(t, func(context.Context, *pb.ServerReflectionRequest) (files []*descriptorpb.FileDescriptorProto) {
		for range 500 { // each imports the next
			n++
			files = append(files, file(fmt.Sprintf("%d.proto", n), fmt.Sprintf("M%d", n), fmt.Sprintf("%d.proto", n+1)))
		}
		return files
	}))
	if _, err := s.Find(t.Context(), "h.S"); err == nil || !strings.Contains(err.Error(), ": the server's reflection has more than ") {
		t.Errorf("B177: %v", err)
	}
}

func TestSilentReflection(t *testing.T) { // B177
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		client := lie(t, func(ctx context.Context, _ *pb.ServerReflectionRequest) []*descriptorpb.FileDescriptorProto {
			<-ctx.Done()
			return nil
		})
		s := open(t, &Flags{}, client)
		for range 3 {
			_, err := s.Find(t.Context(), "h.S")
			exit := new(cli.Exit)
			if !errors.As(err, &exit) || exit.Code != cli.CodeDeadline || !strings.Contains(err.Error(), "it has not answered within 10s") {
				t.Errorf("B177: %v", err)
			}
		}
		if took := time.Since(begin); took != patience {
			t.Errorf("B177: three questions took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin = time.Now()
		if _, err := open(t, &Flags{}, client).Find(ctx, "h.S"); err == nil || time.Since(begin) != time.Second {
			t.Errorf("B177: a context of a second ended after %v with %v", time.Since(begin), err)
		}
	})
}

func TestManyTypes(t *testing.T) { // B177
	for name, test := range map[string]struct {
		pause time.Duration
		most  int
	}{"quick": {0, mostTypes}, "slow": {4 * time.Second, 3}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				s := open(t, &Flags{}, lie(t, func(context.Context, *pb.ServerReflectionRequest) []*descriptorpb.FileDescriptorProto {
					asked++
					time.Sleep(test.pause)
					return []*descriptorpb.FileDescriptorProto{file("a.proto", "A")}
				}))
				for range 2 {
					for i := range 1000 {
						if _, err := s.Types().FindMessageByURL(fmt.Sprintf("x.y/h.T%d", i)); err == nil {
							t.Errorf("B177: T%d was found", i)
						}
					}
				}
				if asked != test.most {
					t.Errorf("B177: the server was asked %d times, want %d", asked, test.most)
				}
			})
		})
	}
}
