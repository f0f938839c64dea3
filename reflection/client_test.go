// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package reflection_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/kit"
	pb "github.com/containerd/ttrpc/internal/reflectionpb"
	"github.com/containerd/ttrpc/reflection"
)

// connect makes a connection to a server. end must be called.
func connect(t *testing.T, opts ...ttrpc.ServerOpt) (server *ttrpc.Server, client *ttrpc.Client, end func()) {
	t.Helper()
	return kit.Connect(t, opts, nil)
}

// TestNoReflection asks servers that have none.
func TestNoReflection(t *testing.T) {
	for _, code := range []codes.Code{codes.Unimplemented, codes.NotFound, codes.InvalidArgument} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			_, client, end := connect(t, ttrpc.WithUnknownServiceHandler(func(ctx context.Context, call *ttrpc.UnknownCall, stream ttrpc.StreamServer) (any, error) {
				asked++
				return nil, status.Error(code, "no")
			}))
			defer end()
			c := reflection.NewClient(t.Context(), client)
			defer c.Close()
			for range 2 {
				_, err := c.Services()
				if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "does not serve reflection") {
					t.Errorf("B154: without reflection, %v: %v", code, err)
				}
			}
			if asked != 2 {
				t.Errorf("B154: the server was asked %d times, want once by each name", asked)
			}
		})
	}
}

// TestClientFailures loses the connection, and gives the question up.
func TestClientFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client, end := connect(t)
		defer end()
		reflection.Register(server)
		c := reflection.NewClient(t.Context(), client)
		defer c.Close()
		if _, err := c.Services(); err != nil {
			t.Error(err)
		}
		client.Close()
		if _, err := c.Services(); !errors.Is(err, ttrpc.ErrClosed) {
			t.Errorf("B154: on a connection that has ended: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		_, client, end := connect(t, ttrpc.WithUnknownServiceHandler(func(ctx context.Context, _ *ttrpc.UnknownCall, _ ttrpc.StreamServer) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		defer end()
		c := reflection.NewClient(t.Context(), client)
		failed := make(chan error, 1)
		go func() {
			_, err := c.Services()
			failed <- err
		}()
		synctest.Wait()
		c.Close()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("B154: a question of a closed client: %v", err)
		}
	})
}

// TestBadServers has servers answer what they should not.
func TestBadServers(t *testing.T) {
	encoded := func(texts ...string) *pb.ServerReflectionResponse {
		files := new(pb.FileDescriptorResponse)
		for _, text := range texts {
			file := new(descriptorpb.FileDescriptorProto)
			if err := prototext.Unmarshal([]byte(text), file); err != nil {
				t.Fatal(err)
			}
			data, _ := proto.Marshal(file)
			files.FileDescriptorProto = append(files.FileDescriptorProto, data)
		}
		return &pb.ServerReflectionResponse{MessageResponse: &pb.ServerReflectionResponse_FileDescriptorResponse{FileDescriptorResponse: files}}
	}
	for name, tt := range map[string]struct {
		answer *pb.ServerReflectionResponse // to each question; nil ends the stream
		want   string                       // what the error says
		files  []string
	}{
		"no file":                              {answer: encoded(), want: "no file, and no error"},
		"end":                                  {want: "has ended the stream"},
		"always the same":                      {answer: encoded(`name: "a.proto" dependency: "b.proto"`), want: `was asked for the file "b.proto", and has sent others (a.proto imports it)`},
		"not a file":                           {answer: &pb.ServerReflectionResponse{MessageResponse: &pb.ServerReflectionResponse_FileDescriptorResponse{FileDescriptorResponse: &pb.FileDescriptorResponse{FileDescriptorProto: [][]byte{{0xff}}}}}, want: "cannot be decoded"},
		"imports of each other":                {answer: encoded(`name: "a.proto" dependency: "b.proto"`, `name: "b.proto" dependency: "a.proto"`), files: []string{"b.proto", "a.proto"}},
		"an import that only this program has": {answer: encoded(`name: "a.proto" dependency: "google/protobuf/any.proto"`), files: []string{"google/protobuf/any.proto", "a.proto"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, client, end := connect(t)
				defer end()
				server.RegisterService("grpc.reflection.v1.ServerReflection", &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{
					"ServerReflectionInfo": {StreamingClient: true, StreamingServer: true, Handler: func(_ context.Context, stream ttrpc.StreamServer) (any, error) {
						for tt.answer != nil {
							if err := stream.RecvMsg(new(pb.ServerReflectionRequest)); err != nil {
								return nil, nil
							}
							if err := stream.SendMsg(tt.answer); err != nil {
								return nil, err
							}
						}
						return nil, nil
					}},
				}})
				c := reflection.NewClient(t.Context(), client)
				defer c.Close()
				files, err := c.Symbol("A")
				for what, ask := range map[string]func() error{
					"services":   func() error { _, err := c.Services(); return err },
					"extensions": func() error { _, err := c.ExtensionNumbers("A"); return err },
				} {
					if err := ask(); err == nil {
						t.Errorf("B154: a server that answers always the same has told its %s", what)
					}
				}
				if tt.want == "" && (err != nil || !slices.Equal(paths(files), tt.files)) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("B154: the files are %q, %v, want %q, %q", paths(files), err, tt.files, tt.want)
				}
			})
		})
	}
}

// TestEndlessImports has a server each of whose files imports another.
func TestEndlessImports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client, end := connect(t)
		defer end()
		server.RegisterService("grpc.reflection.v1.ServerReflection", &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{
			"ServerReflectionInfo": {StreamingClient: true, StreamingServer: true, Handler: func(_ context.Context, stream ttrpc.StreamServer) (any, error) {
				for i := 0; ; i++ {
					if err := stream.RecvMsg(new(pb.ServerReflectionRequest)); err != nil {
						return nil, nil
					}
					file := &descriptorpb.FileDescriptorProto{Name: proto.String(fmt.Sprint(i)), Dependency: []string{fmt.Sprint(i + 1)}}
					data, err := proto.Marshal(file)
					if err != nil {
						return nil, err
					}
					files := &pb.FileDescriptorResponse{FileDescriptorProto: [][]byte{data}}
					if err := stream.SendMsg(&pb.ServerReflectionResponse{MessageResponse: &pb.ServerReflectionResponse_FileDescriptorResponse{FileDescriptorResponse: files}}); err != nil {
						return nil, err
					}
				}
			}},
		}})
		c := reflection.NewClient(t.Context(), client)
		defer c.Close()
		_, err := c.Symbol("A")
		if status.Code(err) != codes.ResourceExhausted || len(err.Error()) > 1000 {
			t.Errorf("B154: endless imports: %.1000v", err)
		}
	})
}
