// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package use

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/gentest/golden/editions/opaque2024"
	"github.com/containerd/ttrpc/internal/gentest/golden/names"
	"github.com/containerd/ttrpc/internal/gentest/golden/prefix"
	"github.com/containerd/ttrpc/internal/gentest/golden/table"
	"google.golang.org/protobuf/proto"
)

// serve serves what register registers until the test ends, and returns a client
// of it and a context for calls.
func serve(t *testing.T, register func(*ttrpc.Server)) (context.Context, *ttrpc.Client) {
	t.Helper()
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	register(server)
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- server.Serve(context.Background(), listener) }()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(func() {
		cancel()
		client.Close()
		server.Close()
		if err := <-done; !errors.Is(err, ttrpc.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return ctx, client
}

// fooServer answers with what it is asked, and with how many messages that took.
type fooServer struct{}

func (fooServer) Unary(_ context.Context, in *table.In) (*table.Out, error) {
	return &table.Out{Text: in.GetText(), Count: proto.Int64(1)}, nil
}

func (fooServer) ClientStream(_ context.Context, stream table.Foo_ClientStreamServer) (*table.Out, error) {
	out := &table.Out{Count: proto.Int64(0)}
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out.Text += in.GetText()
		*out.Count++
	}
}

func (fooServer) ServerStream(_ context.Context, in *table.In, stream table.Foo_ServerStreamServer) error {
	for _, text := range strings.Split(in.GetText(), "") {
		if err := stream.Send(&table.Out{Text: text}); err != nil {
			return err
		}
	}
	return nil
}

func (fooServer) Both(_ context.Context, stream table.Foo_BothServer) error {
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&table.Out{Text: in.GetText() + "!"}); err != nil {
			return err
		}
	}
}

// TestCalls calls a method of each kind.
func TestCalls(t *testing.T) {
	ctx, client := serve(t, func(server *ttrpc.Server) {
		table.RegisterFooService(server, fooServer{})
		table.RegisterNoMethodsService(server, nil)
	})
	foo := table.NewFooClient(client)

	out, err := foo.Unary(ctx, &table.In{Text: "one"})
	if err != nil || out.GetText() != "one" || out.GetCount() != 1 {
		t.Errorf("Unary returned %v, %v", out, err)
	}

	upload, err := foo.ClientStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"a", "b", "c"} {
		if err := upload.Send(&table.In{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	out, err = upload.CloseAndRecv()
	if err != nil || out.GetText() != "abc" || out.GetCount() != 3 {
		t.Errorf("CloseAndRecv returned %v, %v", out, err)
	}

	watch, err := foo.ServerStream(ctx, &table.In{Text: "abc"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a", "b", "c"} {
		if out, err := watch.Recv(); err != nil || out.GetText() != want {
			t.Errorf("Recv returned %v, %v, want %q", out, err, want)
		}
	}
	if out, err := watch.Recv(); out != nil || !errors.Is(err, io.EOF) {
		t.Errorf("Recv at the end returned %v, %v, want io.EOF", out, err)
	}
}

// TestBothStream sends and receives in turns.
func TestBothStream(t *testing.T) {
	ctx, client := serve(t, func(server *ttrpc.Server) {
		table.RegisterFooService(server, fooServer{})
	})
	chat, err := table.NewFooClient(client).Both(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"a", "b"} {
		if err := chat.Send(&table.In{Text: text}); err != nil {
			t.Fatal(err)
		}
		if out, err := chat.Recv(); err != nil || out.GetText() != text+"!" {
			t.Errorf("Recv returned %v, %v", out, err)
		}
	}
	if err := chat.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if out, err := chat.Recv(); out != nil || !errors.Is(err, io.EOF) {
		t.Errorf("Recv at the end returned %v, %v, want io.EOF", out, err)
	}
}

// opaqueServer answers Get of the opaque API.
type opaqueServer struct {
	opaque2024.MessagesService
}

func (opaqueServer) Get(_ context.Context, in *opaque2024.Message) (*opaque2024.Message, error) {
	out := new(opaque2024.Message)
	out.SetText(in.GetText() + "!")
	return out, nil
}

// TestOpaque calls a method with messages of the opaque API.
func TestOpaque(t *testing.T) {
	ctx, client := serve(t, func(server *ttrpc.Server) {
		opaque2024.RegisterMessagesService(server, opaqueServer{})
	})
	in := opaque2024.Message_builder{Text: proto.String("a")}.Build()
	out, err := opaque2024.NewMessagesClient(client).Get(ctx, in)
	if err != nil || out.GetText() != "a!" {
		t.Errorf("Get returned %v, %v", out, err)
	}
}

// prefixServer answers the unary methods of the package with a prefix.
type prefixServer struct {
	prefix.TTRPCFooService
}

func (prefixServer) Unary(_ context.Context, in *prefix.Message) (*prefix.Message, error) {
	return in, nil
}

func (prefixServer) One(_ context.Context, in *prefix.Message) (*prefix.Message, error) {
	return in, nil
}

// TestWireNames calls services by the names that the .proto gives them, which are
// on the wire whatever their Go names are.
func TestWireNames(t *testing.T) {
	ctx, client := serve(t, func(server *ttrpc.Server) {
		prefix.RegisterTTRPCFooService(server, prefixServer{})
		prefix.RegisterTTRPCNoStreamsService(server, prefixServer{})
		names.RegisterMethodsService(server, methodsServer{})
	})
	for _, test := range []struct{ service, method, want string }{
		{"gentest.prefix.Foo", "Unary", "sent"},
		{"gentest.prefix.NoStreams", "One", "sent"},
		{"gentest.names.Methods", "DoIt", "DoIt"},
		{"gentest.names.Methods", "do_it", "DoIt_"},
	} {
		// All of these messages have the one field text.
		in, out := &names.Message{Text: "sent"}, new(names.Message)
		if err := client.Call(ctx, test.service, test.method, in, out); err != nil || out.GetText() != test.want {
			t.Errorf("calling %s of %s: got %v, %v, want %q", test.method, test.service, out, err, test.want)
		}
	}
	out, err := names.NewMethodsClient(client).DoIt_(ctx, &names.Message{})
	if err != nil || out.GetText() != "DoIt_" {
		t.Errorf("DoIt_ returned %v, %v", out, err)
	}
}

// methodsServer answers with the Go name of the method.
type methodsServer struct {
	names.MethodsService
}

func (methodsServer) DoIt(context.Context, *names.Message) (*names.Message, error) {
	return &names.Message{Text: "DoIt"}, nil
}

func (methodsServer) DoIt_(context.Context, *names.Message) (*names.Message, error) {
	return &names.Message{Text: "DoIt_"}, nil
}
