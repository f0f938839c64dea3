// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge_test

import (
	"context"
	"encoding/base64"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/bridge"
)

const (
	service     = "grpc.testing.TestService"
	echoHeader  = "x-grpc-test-echo-initial"
	echoTrailer = "x-grpc-test-echo-trailing-bin"
	behaviour   = "x-behave" // what a handler is asked to do, see serve
)

// A call is a call at its handler, of either protocol.
type call struct {
	ctx      context.Context
	incoming metadata.MD
	recv     func(proto.Message) error
	send     func(proto.Message) error
	header   func(metadata.MD) error
	trailer  func(metadata.MD) error
}

// handlers is what the handlers of a test do, and tell.
type handlers struct {
	running chan string   // gets the name of a method that waits
	ended   chan error    // gets how the context of one that waited has ended
	goes    chan struct{} // lets one that holds go on
}

func newHandlers() *handlers {
	return &handlers{make(chan string, 100), make(chan error, 100), make(chan struct{})}
}

// serve is the handler of all methods.
func (h *handlers) serve(method string, c *call) error {
	if values := c.incoming[echoHeader]; values != nil {
		if err := c.header(metadata.MD{echoHeader: values}); err != nil {
			return err
		}
	}
	if values := c.incoming[echoTrailer]; values != nil {
		if err := c.trailer(metadata.MD{echoTrailer: values}); err != nil {
			return err
		}
	}
	switch strings.Join(c.incoming[behaviour], "") {
	case "wait":
		h.running <- method
		<-c.ctx.Done()
		h.ended <- c.ctx.Err()
		return c.ctx.Err()
	case "sleep":
		<-c.ctx.Done()
		return c.ctx.Err()
	case "hold":
		h.running <- method
		<-h.goes
	case "tell":
		told := metadata.MD{"told": c.incoming[strings.Join(c.incoming["tell"], "")]}
		if err := c.header(told); err != nil {
			return err
		}
	case "panic":
		panic("asked to panic")
	}
	switch method {
	case "EmptyCall":
		if err := c.recv(new(testpb.Empty)); err != nil {
			return err
		}
		return c.send(new(testpb.Empty))
	case "UnaryCall":
		return serveUnary(c)
	case "StreamingInputCall":
		return serveInput(c)
	case "StreamingOutputCall":
		request := new(testpb.StreamingOutputCallRequest)
		if err := c.recv(request); err != nil {
			return err
		}
		return answer(c, request)
	case "FullDuplexCall":
		for {
			request := new(testpb.StreamingOutputCallRequest)
			if err := c.recv(request); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if err := answer(c, request); err != nil {
				return err
			}
		}
	}
	return status.Error(codes.Unimplemented, "no such method in the test")
}

func serveUnary(c *call) error {
	request := new(testpb.SimpleRequest)
	if err := c.recv(request); err != nil {
		return err
	}
	if err := asked(request.GetResponseStatus()); err != nil {
		return err
	}
	return c.send(&testpb.SimpleResponse{Payload: body(request.GetResponseSize()), Username: string(request.GetPayload().GetBody())})
}

func serveInput(c *call) error {
	sum := 0
	for {
		request := new(testpb.StreamingInputCallRequest)
		if err := c.recv(request); err == io.EOF {
			return c.send(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
		} else if err != nil {
			return err
		}
		sum += len(request.GetPayload().GetBody())
	}
}

// answer streams the answers that are asked for.
func answer(c *call, request *testpb.StreamingOutputCallRequest) error {
	for _, asked := range request.GetResponseParameters() {
		if err := c.send(&testpb.StreamingOutputCallResponse{Payload: body(asked.GetSize())}); err != nil {
			return err
		}
	}
	return asked(request.GetResponseStatus())
}

func body(size int32) *testpb.Payload { return &testpb.Payload{Body: make([]byte, size)} }

// asked returns the error that is asked for, with a detail.
func asked(s *testpb.EchoStatus) error {
	if s.GetCode() == 0 {
		return nil
	}
	detailed, err := status.New(codes.Code(s.GetCode()), s.GetMessage()).WithDetails(durationpb.New(time.Minute))
	if err != nil {
		panic(err)
	}
	return detailed.Err()
}

var kinds = map[string]bridge.Kind{
	"EmptyCall": bridge.Unary, "UnaryCall": bridge.Unary, "StreamingInputCall": bridge.ClientStream,
	"StreamingOutputCall": bridge.ServerStream, "FullDuplexCall": bridge.BidiStream,
}

// registerGRPC registers the service with a gRPC server.
func (h *handlers) registerGRPC(server *grpc.Server) {
	desc := &grpc.ServiceDesc{ServiceName: service, Metadata: "grpc/testing/test.proto", HandlerType: (*any)(nil)}
	for method := range kinds {
		desc.Streams = append(desc.Streams, grpc.StreamDesc{StreamName: method, ClientStreams: true, ServerStreams: true,
			Handler: func(_ any, s grpc.ServerStream) error {
				incoming, _ := metadata.FromIncomingContext(s.Context())
				return h.serve(method, &call{s.Context(), incoming,
					func(m proto.Message) error { return s.RecvMsg(m) }, func(m proto.Message) error { return s.SendMsg(m) },
					s.SendHeader, func(md metadata.MD) error { s.SetTrailer(md); return nil }})
			}})
	}
	server.RegisterService(desc, nil)
}

// registerTTRPC registers the service with a ttrpc server.
func (h *handlers) registerTTRPC(server *ttrpc.Server) {
	desc := &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{}, Streams: map[string]ttrpc.Stream{}}
	for method, kind := range kinds {
		if kind == bridge.Unary {
			desc.Methods[method] = func(ctx context.Context, unmarshal func(any) error) (answer any, err error) {
				c := ttrpcCall(ctx)
				c.recv = func(m proto.Message) error { return unmarshal(m) }
				c.send = func(m proto.Message) error { answer = m; return nil }
				err = h.serve(method, c)
				return answer, err
			}
			continue
		}
		desc.Streams[method] = ttrpc.Stream{StreamingClient: kind.ClientStreams(), StreamingServer: kind.ServerStreams(),
			Handler: func(ctx context.Context, s ttrpc.StreamServer) (last any, err error) {
				c := ttrpcCall(ctx)
				c.recv = func(m proto.Message) error { return s.RecvMsg(m) }
				c.send = func(m proto.Message) error { return s.SendMsg(m) }
				if !kind.ServerStreams() {
					c.send = func(m proto.Message) error { last = m; return nil }
				}
				err = h.serve(method, c)
				return last, err
			}}
	}
	server.RegisterService(service, desc)
}

// ttrpcCall returns a call with the metadata of a ttrpc handler's context. The connection may
// be classic, and carry no metadata of answers.
func ttrpcCall(ctx context.Context) *call {
	sent, _ := ttrpc.GetMetadata(ctx)
	incoming := metadata.MD{}
	for key, values := range sent {
		for _, value := range values {
			if strings.HasSuffix(key, "-bin") {
				decoded, err := base64.RawStdEncoding.DecodeString(value)
				if err != nil {
					panic(err)
				}
				value = string(decoded)
			}
			incoming.Append(key, value)
		}
	}
	tell := func(set func(context.Context, ttrpc.MD) error) func(metadata.MD) error {
		return func(md metadata.MD) error {
			sent := ttrpc.MD{}
			for key, values := range md {
				for _, value := range values {
					if strings.HasSuffix(key, "-bin") {
						value = base64.RawStdEncoding.EncodeToString([]byte(value))
					}
					sent.Append(key, value)
				}
			}
			if err := set(ctx, sent); err != ttrpc.ErrNoResponseMetadata {
				return err
			}
			return nil
		}
	}
	return &call{ctx: ctx, incoming: incoming, header: tell(ttrpc.SendHeader), trailer: tell(ttrpc.SetTrailer)}
}

// socket returns a new unix socket's listener and its path.
func socket(t testing.TB) (net.Listener, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "bridge")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return l, path
}

// serveGRPC serves until the test ends and returns the target.
func serveGRPC(t testing.TB, server *grpc.Server) (target string) {
	t.Helper()
	l, path := socket(t)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "unix://" + path
}

// serveTTRPC serves until the test ends and returns the address.
func serveTTRPC(t testing.TB, register func(*ttrpc.Server), opts ...ttrpc.ServerOpt) (address string) {
	t.Helper()
	l, path := socket(t)
	server, err := ttrpc.NewServer(opts...)
	if err != nil {
		t.Fatal(err)
	}
	register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != ttrpc.ErrServerClosed {
			t.Error(err)
		}
	})
	return "unix:" + path
}

func dialGRPC(t testing.TB, target string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(target, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func dialTTRPC(t testing.TB, address string, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	t.Helper()
	client, err := ttrpc.Dial(address, append(opts, ttrpc.WithDialer(ttrpc.Dialer{FailFast: true}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); <-client.Done() })
	return client
}

// protoset returns a file and those that it imports.
func protoset(file protoreflect.FileDescriptor) *descriptorpb.FileDescriptorSet {
	set := new(descriptorpb.FileDescriptorSet)
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	add(file)
	return set
}

// described are the descriptions of the test's service.
func described(t testing.TB) *bridge.Descriptors {
	t.Helper()
	d, err := bridge.NewDescriptors(protoset(testpb.File_grpc_testing_test_proto))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// toTTRPC returns a gRPC connection through a bridge to a ttrpc server.
func toTTRPC(t testing.TB, address string, config bridge.Config, mode ...ttrpc.ClientOpts) *grpc.ClientConn {
	t.Helper()
	b := bridge.NewToTTRPC(dialTTRPC(t, address, mode...), config)
	return dialGRPC(t, serveGRPC(t, b.NewServer()))
}

// toGRPC returns the address of a bridge to a gRPC server.
func toGRPC(t testing.TB, target string, config bridge.Config, opts ...ttrpc.ServerOpt) (address string) {
	t.Helper()
	b := bridge.NewToGRPC(dialGRPC(t, target), config)
	return serveTTRPC(t, func(*ttrpc.Server) {}, append(opts, ttrpc.WithUnknownServiceHandler(b.Handler()))...)
}

// A way is one to reach the handlers from a gRPC client.
type way struct {
	name string
	conn *grpc.ClientConn
	*handlers
	classic bool // neither cancellation nor metadata of answers pass
}

// ways returns all: the first is without a bridge, to hold the others to.
func ways(t *testing.T, limits bridge.Limits) []way {
	config := bridge.Config{Methods: []bridge.Methods{described(t)}, Limits: limits}
	serve := func(h *handlers) string {
		server := grpc.NewServer()
		h.registerGRPC(server)
		reflection.Register(server)
		return serveGRPC(t, server)
	}
	direct, extended, classic, both := newHandlers(), newHandlers(), newHandlers(), newHandlers()
	return []way{
		{"grpc-go alone", dialGRPC(t, serve(direct)), direct, false},
		{"to ttrpc", toTTRPC(t, serveTTRPC(t, extended.registerTTRPC, ttrpc.WithServerExtensions()), config, ttrpc.WithExtensions()), extended, false},
		{"to classic ttrpc", toTTRPC(t, serveTTRPC(t, classic.registerTTRPC), config), classic, true},
		{"to ttrpc and to grpc", toTTRPC(t, toGRPC(t, serve(both), config, ttrpc.WithServerExtensions()), config, ttrpc.WithExtensions()), both, false},
	}
}

func eachWay(t *testing.T, limits bridge.Limits, f func(t *testing.T, w way)) {
	for _, w := range ways(t, limits) {
		t.Run(w.name, func(t *testing.T) { f(t, w) })
	}
}
