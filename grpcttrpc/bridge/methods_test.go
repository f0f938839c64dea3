// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/bridge"
	"github.com/containerd/ttrpc/internal/wire"
)

// TestTable holds what can be said of methods, and what is refused.
func TestTable(t *testing.T) {
	table := bridge.Table{}
	for entry, wrong := range map[string]string{
		"a.B/C=unary": "", "a.B/D=client-stream": "", "a.B/*=server-stream": "", "*=bidi-stream": "",
		"a.B/C=both": "only unary, client-stream", "a.B/C": "does not look like", "a.B=unary": "does not look like",
		"/C=unary": "does not look like", "a.B/=unary": "does not look like", "a.B/C/D=unary": "does not look like",
	} {
		if err := table.Set(entry); (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%q: %v, want %q", entry, err, wrong)
		}
	}
	if err := table.Set("a.B/C=client-stream"); err == nil || !strings.Contains(err.Error(), "unary and client-stream") {
		t.Errorf("two kinds of one method: %v", err)
	}
	for name, want := range map[string]bridge.Kind{"a.B/C": bridge.Unary, "a.B/D": bridge.ClientStream, "a.B/E": bridge.ServerStream, "a.C/C": bridge.BidiStream} {
		service, method, _ := strings.Cut(name, "/")
		if kind, err := table.Kind(context.Background(), service, method); kind != want || err != nil {
			t.Errorf("%s is %v, %v, want %v", name, kind, err, want)
		}
	}
}

// TestDescriptors holds what is said about descriptions that are not whole.
func TestDescriptors(t *testing.T) {
	set := protoset(testpb.File_grpc_testing_test_proto)
	if _, err := bridge.NewDescriptors(set, set); err != nil {
		t.Errorf("the same file twice: %v", err)
	}
	var alone descriptorpb.FileDescriptorSet
	for _, file := range set.File {
		if file.GetName() == "grpc/testing/test.proto" {
			file.Dependency = append(file.Dependency, "elsewhere.proto")
			alone.File = append(alone.File, file)
		}
	}
	if _, err := bridge.NewDescriptors(&alone); err == nil || !strings.Contains(err.Error(), "elsewhere.proto is imported and not described") {
		t.Errorf("a file whose import is missing: %v", err)
	}
}

// TestUnknownKind holds that nothing reaches a server for a method whose kind nobody knows.
func TestUnknownKind(t *testing.T) {
	l, path := socket(t)
	defer l.Close()
	received := make(chan int, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		n, _ := io.Copy(io.Discard, conn)
		received <- int(n)
	}()
	client := dialTTRPC(t, "unix:"+path)
	b := bridge.NewToTTRPC(client, bridge.Config{Methods: []bridge.Methods{bridge.Table{"a.B/C": bridge.Unary}}})
	conn := dialGRPC(t, serveGRPC(t, b.NewServer()))
	for range 3 {
		s, err := conn.NewStream(bounded(t), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/a.B/Other")
		if err != nil {
			t.Fatal(err)
		}
		_ = s.SendMsg(new(testpb.Empty)) // RecvMsg tells
		err = s.RecvMsg(new(testpb.Empty))
		if s := status.Convert(err); s.Code() != codes.Unimplemented || !strings.Contains(s.Message(), "give the bridge a protoset or the kind (a.B/Other=unary") {
			t.Errorf("%v", err)
		}
	}
	if c := b.Counts(); c.UnknownKind != 3 || c.Ended[codes.Unimplemented] != 3 || c.Active != 0 {
		t.Errorf("%+v", c)
	}
	client.Close()
	if n := <-received; n != 0 {
		t.Errorf("%d bytes have reached the server", n)
	}
}

// TestHelloStays holds that no client asks a server, through a bridge, for the extended mode of
// the bridge's own connection, even if all methods are said to be unary.
func TestHelloStays(t *testing.T) {
	h := newHandlers()
	conn := toTTRPC(t, serveTTRPC(t, h.registerTTRPC, ttrpc.WithServerExtensions()), bridge.Config{Methods: []bridge.Methods{bridge.Table{"*": bridge.Unary}}})
	for _, test := range []struct {
		path string
		code codes.Code
	}{
		{"/" + wire.HelloService + "/Hello", codes.Unimplemented},
		{"/" + service + "/EmptyCall", codes.OK},
	} {
		if err := conn.Invoke(bounded(t), test.path, new(testpb.Empty), new(testpb.Empty)); status.Code(err) != test.code {
			t.Errorf("%s: %v, want %v", test.path, err, test.code)
		}
	}
}

// TestReflectTTRPCAsksOnce holds that a ttrpc server that does not know reflection gets requests
// and no message on a stream, which v1.2.10 may not survive.
func TestReflectTTRPCAsksOnce(t *testing.T) {
	l, path := socket(t)
	defer l.Close()
	types := make(chan wire.Type, 100)
	go func() {
		defer close(types)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		refuseAll(conn, types)
	}()
	client := dialTTRPC(t, "unix:"+path)
	kind, err := bridge.ReflectTTRPC(client).Kind(bounded(t), service, "EmptyCall")
	if kind != bridge.Unknown || err != nil {
		t.Errorf("%v, %v", kind, err)
	}
	client.Close()
	requests := 0
	for typ := range types {
		if requests++; typ != wire.TypeRequest {
			t.Errorf("a frame of type %d", typ)
		}
	}
	if requests != 2 { // one of v1, one of v1alpha
		t.Errorf("%d requests", requests)
	}
}

// refuseAll answers each frame as a ttrpc server does that has no services.
func refuseAll(conn net.Conn, types chan<- wire.Type) {
	for {
		b := make([]byte, wire.HeaderLength)
		if _, err := io.ReadFull(conn, b); err != nil {
			return
		}
		header, err := wire.ParseHeader(b)
		if err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, conn, int64(header.Length)); err != nil {
			return
		}
		types <- header.Type
		refusal, err := proto.Marshal(status.New(codes.Unimplemented, "no such service").Proto())
		if err != nil {
			return
		}
		if _, err := conn.Write(wire.AppendFrame(nil, header.StreamID, wire.TypeResponse, 0, wire.AppendResponseFront(nil, refusal, 0))); err != nil {
			return
		}
	}
}

// TestReflection finds out kinds by the reflection of either side, and serves it.
func TestReflection(t *testing.T) {
	h := newHandlers()
	server := grpc.NewServer()
	h.registerGRPC(server)
	reflection.Register(server)
	target := serveGRPC(t, server)
	address := serveTTRPC(t, func(s *ttrpc.Server) {
		h.registerTTRPC(s)
		reflection.Register(grpcttrpc.NewRegistrar(s))
	}, ttrpc.WithServerExtensions())

	client := dialTTRPC(t, address, ttrpc.WithExtensions())
	asks := map[string]*bridge.Reflection{"ttrpc": bridge.ReflectTTRPC(client), "grpc": bridge.ReflectGRPC(dialGRPC(t, target))}
	for name, r := range asks {
		for method, want := range kinds {
			if kind, err := r.Kind(bounded(t), service, method); kind != want || err != nil {
				t.Errorf("%s: %s is %v, %v, want %v", name, method, kind, err, want)
			}
		}
		for _, method := range []string{service + "/None", "none.None/None"} {
			service, method, _ := strings.Cut(method, "/")
			if kind, err := r.Kind(bounded(t), service, method); kind != bridge.Unknown || err != nil {
				t.Errorf("%s: %s/%s is %v, %v", name, service, method, kind, err)
			}
		}
		r.Forget()
		if kind, err := r.Kind(bounded(t), service, "EmptyCall"); kind != bridge.Unary || err != nil {
			t.Errorf("%s: once it has forgotten: %v, %v", name, kind, err)
		}
	}
	b := bridge.NewToTTRPC(client, bridge.Config{Methods: []bridge.Methods{asks["ttrpc"]}})
	conn := dialGRPC(t, serveGRPC(t, b.NewServer()))
	if _, err := testpb.NewTestServiceClient(conn).EmptyCall(bounded(t), new(testpb.Empty)); err != nil {
		t.Error(err)
	}
	s, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	answer, err := s.Recv()
	if err != nil || !strings.Contains(answer.String(), `"`+service+`"`) {
		t.Errorf("services: %v, %v", answer, err)
	}
}

// TestReflectionUnreachable holds that a server that cannot be asked is not one without methods.
func TestReflectionUnreachable(t *testing.T) {
	l, path := socket(t)
	l.Close()
	client := dialTTRPC(t, "unix:"+path)
	b := bridge.NewToTTRPC(client, bridge.Config{Methods: []bridge.Methods{bridge.ReflectTTRPC(client)}})
	_, err := testpb.NewTestServiceClient(dialGRPC(t, serveGRPC(t, b.NewServer()))).EmptyCall(bounded(t), new(testpb.Empty))
	if s := status.Convert(err); s.Code() != codes.Unavailable || !strings.Contains(s.Message(), "cannot find out the kind") {
		t.Error(err)
	}
}

// TestReflectionIsBounded holds that calls of ever new names do not pile up questions.
func TestReflectionIsBounded(t *testing.T) {
	l, path := socket(t)
	defer l.Close() // it is connected to, and nobody answers
	reflection := bridge.ReflectTTRPC(dialTTRPC(t, "unix:"+path))
	gone, cancel := context.WithCancel(bounded(t))
	cancel()
	ask := func(ctx context.Context, n int) codes.Code {
		_, err := reflection.Kind(ctx, fmt.Sprint("service", n), "Method")
		return status.Code(err)
	}
	for n := range 256 {
		if code := ask(gone, n); code == codes.ResourceExhausted {
			t.Fatalf("question %d: %v", n, code)
		}
	}
	if code := ask(bounded(t), 256); code != codes.ResourceExhausted {
		t.Errorf("one more question: %v", code)
	}
}

// TestHealth holds what is told under which name.
func TestHealth(t *testing.T) {
	serving, not := healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING
	client := dialTTRPC(t, serveTTRPC(t, newHandlers().registerTTRPC))
	if _, err := client.Extended(bounded(t)); err != nil {
		t.Fatal(err)
	}
	b := bridge.NewToTTRPC(client, bridge.Config{Methods: []bridge.Methods{described(t)}})
	health := healthpb.NewHealthClient(dialGRPC(t, serveGRPC(t, b.NewServer())))
	check := func(name string, want healthpb.HealthCheckResponse_ServingStatus, code codes.Code) {
		t.Helper()
		answer, err := health.Check(bounded(t), &healthpb.HealthCheckRequest{Service: name})
		if answer.GetStatus() != want || status.Code(err) != code {
			t.Errorf("%q: %v, %v, want %v, %v", name, answer.GetStatus(), err, want, code)
		}
	}
	check("", serving, codes.OK)
	check(bridge.HealthService, serving, codes.OK)
	check("other", 0, codes.NotFound)
	watch, err := health.Watch(bounded(t), new(healthpb.HealthCheckRequest))
	if err != nil {
		t.Fatal(err)
	}
	if state, err := watch.Recv(); err != nil || state.Status != serving {
		t.Errorf("watching: %v, %v", state, err)
	}
	b.Drain()
	if state, err := watch.Recv(); err != nil || state.Status != not {
		t.Errorf("watching while it drains: %v, %v", state, err)
	}
	check("", not, codes.OK)
	check(bridge.HealthService, not, codes.OK)
}

// TestHealthBehind holds that the health of what is behind the bridge is passed on.
func TestHealthBehind(t *testing.T) {
	not := healthpb.HealthCheckResponse_NOT_SERVING
	address := serveTTRPC(t, func(s *ttrpc.Server) {
		healthpb.RegisterHealthServer(grpcttrpc.NewRegistrar(s), ill{})
	})
	descriptors, err := bridge.NewDescriptors(protoset(healthpb.File_grpc_health_v1_health_proto))
	if err != nil {
		t.Fatal(err)
	}
	health := healthpb.NewHealthClient(toTTRPC(t, address, bridge.Config{Methods: []bridge.Methods{descriptors}}))
	for _, name := range []string{"", "behind"} {
		if answer, err := health.Check(bounded(t), &healthpb.HealthCheckRequest{Service: name}); err != nil || answer.Status != not {
			t.Errorf("%q: %v, %v", name, answer, err)
		}
		watch, err := health.Watch(bounded(t), &healthpb.HealthCheckRequest{Service: name})
		if err != nil {
			t.Fatal(err)
		}
		if state, err := watch.Recv(); err != nil || state.Status != not {
			t.Errorf("watching %q: %v, %v", name, state, err)
		}
	}
}

// ill is a health service that is not serving.
type ill struct {
	healthpb.UnimplementedHealthServer
}

func (ill) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING}, nil
}

func (ill) Watch(_ *healthpb.HealthCheckRequest, s healthpb.Health_WatchServer) error {
	if err := s.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING}); err != nil {
		return err
	}
	<-s.Context().Done()
	return nil
}
