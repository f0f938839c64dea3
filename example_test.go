// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

// check ends the program if there is an error. Yours will do better.
func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// listen returns a listener on a temporary unix socket.
func listen() (l net.Listener, remove func()) {
	dir, err := os.MkdirTemp("", "ttrpc")
	check(err)
	l, err = net.Listen("unix", filepath.Join(dir, "socket"))
	check(err)
	return l, func() { os.RemoveAll(dir) }
}

// serve starts a server of the service that integration/streaming holds.
func serve(opts ...ttrpc.ServerOpt) (address string, stop func()) {
	server, err := ttrpc.NewServer(append(opts, ttrpc.WithServerExtensions())...)
	check(err)
	streaming.RegisterStreamingService(server, streaming.Service{})
	l, remove := listen()
	go server.Serve(context.Background(), l)
	return l.Addr().String(), func() {
		server.Close()
		remove()
	}
}

// connect returns a client of the server at address.
func connect(address string, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	conn, err := net.Dial("unix", address)
	check(err)
	return ttrpc.NewClient(conn, opts...)
}

// A whole program: a server with a generated service, and a client of it. The
// code of the service comes from protoc-gen-go-ttrpc.
func ExampleNewServer() {
	server, err := ttrpc.NewServer()
	check(err)
	streaming.RegisterStreamingService(server, streaming.Service{})

	l, remove := listen() // on a unix socket
	defer remove()
	served := make(chan error)
	go func() { served <- server.Serve(context.Background(), l) }()

	conn, err := net.Dial("unix", l.Addr().String())
	check(err)
	client := ttrpc.NewClient(conn)
	defer client.Close()

	answer, err := streaming.NewStreamingClient(client).
		Echo(context.Background(), &streaming.EchoPayload{Seq: 1, Msg: "hello"})
	check(err)
	fmt.Println(answer.Seq, answer.Msg)

	check(server.Shutdown(context.Background()))
	fmt.Println(<-served)
	// Output:
	// 2 hello
	// ttrpc: server closed
}

// A service may also be written without generated code.
func ExampleServer_RegisterService() {
	server, err := ttrpc.NewServer()
	check(err)
	server.RegisterService("example.Greeter", &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Greet": func(_ context.Context, unmarshal func(any) error) (any, error) {
				var name wrapperspb.StringValue
				if err := unmarshal(&name); err != nil {
					return nil, err
				}
				return wrapperspb.String("Hello, " + name.Value + "!"), nil
			},
		},
	})
	l, remove := listen()
	defer remove()
	go server.Serve(context.Background(), l)
	defer server.Close()

	client := connect(l.Addr().String())
	defer client.Close()
	var greeting wrapperspb.StringValue
	check(client.Call(context.Background(), "example.Greeter", "Greet", wrapperspb.String("Ada"), &greeting))
	fmt.Println(greeting.Value)
	// Output: Hello, Ada!
}

// What generated clients do in their methods.
func ExampleClient_Call() {
	address, stop := serve()
	defer stop()
	client := connect(address)
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel() // the deadline goes along to the server
	var answer streaming.EchoPayload
	err := client.Call(ctx, "ttrpc.integration.streaming.Streaming", "Echo", &streaming.EchoPayload{Msg: "hello"}, &answer)
	fmt.Println(answer.Msg, err)

	// The server's errors are those of gRPC.
	err = client.Call(ctx, "ttrpc.integration.streaming.Streaming", "Whistle", &streaming.EchoPayload{}, &answer)
	if status.Code(err) == codes.Unimplemented {
		fmt.Println(err)
	}
	// Output:
	// hello <nil>
	// rpc error: code = Unimplemented desc = method Whistle
}

func ExampleClient_NewStream() {
	address, stop := serve()
	defer stop()
	client := connect(address)
	defer client.Close()

	// The end of the context ends the stream, wherever it stands.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := client.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true},
		"ttrpc.integration.streaming.Streaming", "EchoStream", nil)
	check(err)
	for _, msg := range []string{"one", "two"} {
		check(stream.SendMsg(&streaming.EchoPayload{Msg: msg}))
	}
	check(stream.CloseSend())
	for {
		var answer streaming.EchoPayload
		err := stream.RecvMsg(&answer)
		if errors.Is(err, io.EOF) {
			break
		}
		check(err)
		fmt.Println(answer.Msg)
	}
	// Output:
	// one
	// two
}

// printUser prints what the caller says about itself.
func printUser(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
	user, ok := ttrpc.GetMetadataValue(ctx, "user")
	fmt.Println("the server sees:", user, ok)
	return method(ctx, unmarshal)
}

func ExampleWithMetadata() {
	address, stop := serve(ttrpc.WithUnaryServerInterceptor(printUser))
	defer stop()
	client := connect(address)
	defer client.Close()

	md := ttrpc.MD{}
	md.Set("user", "ada")
	ctx := ttrpc.WithMetadata(context.Background(), md)
	_, err := streaming.NewStreamingClient(client).Echo(ctx, &streaming.EchoPayload{})
	check(err)
	// Output: the server sees: ada true
}

func ExampleWithUnaryServerInterceptor() {
	refuse := func(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
		if _, ok := ttrpc.GetMetadataValue(ctx, "user"); !ok {
			return nil, status.Errorf(codes.Unauthenticated, "%s needs a user", info.FullMethod)
		}
		return method(ctx, unmarshal)
	}
	address, stop := serve(ttrpc.WithUnaryServerInterceptor(refuse))
	defer stop()
	client := connect(address)
	defer client.Close()

	_, err := streaming.NewStreamingClient(client).Echo(context.Background(), &streaming.EchoPayload{})
	fmt.Println(err)
	// Output: rpc error: code = Unauthenticated desc = /ttrpc.integration.streaming.Streaming/Echo needs a user
}

func ExampleWithChainUnaryClientInterceptor() {
	announce := func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, info *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
		fmt.Println("calling", req.Method)
		err := invoke(ctx, req, resp)
		fmt.Println("called", req.Method)
		return err
	}
	sign := func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, info *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
		req.Metadata = append(req.Metadata, &ttrpc.KeyValue{Key: "user", Value: "ada"})
		return invoke(ctx, req, resp)
	}
	address, stop := serve(ttrpc.WithUnaryServerInterceptor(printUser))
	defer stop()
	client := connect(address, ttrpc.WithChainUnaryClientInterceptor(announce, sign))
	defer client.Close()

	_, err := streaming.NewStreamingClient(client).Echo(context.Background(), &streaming.EchoPayload{})
	check(err)
	// Output:
	// calling Echo
	// the server sees: ada true
	// called Echo
}

// A shouting stream sends messages in capitals.
type shouting struct{ ttrpc.StreamServer }

func (s shouting) SendMsg(m any) error {
	if p, ok := m.(*streaming.EchoPayload); ok {
		p.Msg = strings.ToUpper(p.Msg)
	}
	return s.StreamServer.SendMsg(m)
}

func ExampleWithChainStreamServerInterceptor() {
	shout := func(ctx context.Context, stream ttrpc.StreamServer, info *ttrpc.StreamServerInfo, handler ttrpc.StreamHandler) (any, error) {
		fmt.Println("opened", info.FullMethod)
		return handler(ctx, shouting{stream})
	}
	address, stop := serve(ttrpc.WithChainStreamServerInterceptor(shout))
	defer stop()
	client := connect(address)
	defer client.Close()

	stream, err := streaming.NewStreamingClient(client).EchoStream(context.Background())
	check(err)
	check(stream.Send(&streaming.EchoPayload{Msg: "hello"}))
	answer, err := stream.Recv()
	check(err)
	fmt.Println(answer.Msg)
	// Output:
	// opened /ttrpc.integration.streaming.Streaming/EchoStream
	// HELLO
}

func ExampleWithChainStreamClientInterceptor() {
	announce := func(ctx context.Context, desc *ttrpc.StreamDesc, fullMethod string, open ttrpc.Streamer) (ttrpc.ClientStream, error) {
		fmt.Println("opening", fullMethod)
		return open(ctx, desc, fullMethod)
	}
	address, stop := serve()
	defer stop()
	client := connect(address, ttrpc.WithChainStreamClientInterceptor(announce))
	defer client.Close()

	stream, err := streaming.NewStreamingClient(client).SumStream(context.Background())
	check(err)
	check(stream.Send(&streaming.Part{Add: 40}))
	check(stream.Send(&streaming.Part{Add: 2}))
	sum, err := stream.CloseAndRecv()
	check(err)
	fmt.Println(sum.Sum)
	// Output:
	// opening /ttrpc.integration.streaming.Streaming/SumStream
	// 42
}

// Shutdown lets calls finish, but not for ever.
func ExampleServer_Shutdown() {
	server, err := ttrpc.NewServer()
	check(err)
	l, remove := listen()
	defer remove()
	served := make(chan error)
	go func() { served <- server.Serve(context.Background(), l) }()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		server.Close() // ends the calls that took too long
	}
	fmt.Println(<-served == ttrpc.ErrServerClosed)
	// Output: true
}

// named is a handshaker that reads the name of the peer.
type named struct{}

func (named) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	name := make([]byte, 3)
	_, err := io.ReadFull(conn, name)
	return conn, string(name), err
}

// What a handshaker returns about the peer is there for the handlers. On Linux
// UnixSocketRequireSameUser and its like return the *unix.Ucred of the peer,
// its process and user.
func ExamplePeerFromContext() {
	printPeer := func(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
		if peer, ok := ttrpc.PeerFromContext(ctx); ok {
			fmt.Println("called by", peer.AuthInfo)
		}
		return method(ctx, unmarshal)
	}
	address, stop := serve(ttrpc.WithServerHandshaker(named{}), ttrpc.WithUnaryServerInterceptor(printPeer))
	defer stop()

	conn, err := net.Dial("unix", address)
	check(err)
	_, err = io.WriteString(conn, "ada")
	check(err)
	client := ttrpc.NewClient(conn)
	defer client.Close()
	_, err = streaming.NewStreamingClient(client).Echo(context.Background(), &streaming.EchoPayload{})
	check(err)
	// Output: called by ada
}

// Once a connection has ended every call returns ErrClosed; why it has ended
// the client tells apart.
func ExampleClient_Cause() {
	address, stop := serve()
	client := connect(address)
	defer client.Close()
	service := streaming.NewStreamingClient(client)
	_, err := service.Echo(context.Background(), &streaming.EchoPayload{})
	fmt.Println(err, client.Cause())

	stop()
	_, err = service.Echo(context.Background(), &streaming.EchoPayload{})
	if err == ttrpc.ErrClosed {
		check(client.UserOnCloseWait(context.Background()))
		fmt.Println("the server has gone:", client.Cause())
	}
	// Output:
	// <nil> <nil>
	// the server has gone: EOF
}

func ExampleWithOnClose() {
	address, stop := serve()
	defer stop()
	client := connect(address, ttrpc.WithOnClose(func() { fmt.Println("the connection has ended") }))
	client.Close()
	check(client.UserOnCloseWait(context.Background()))
	// Output: the connection has ended
}

// A message over the limit is refused before anything is sent, and the
// connection lives on.
func ExampleOversizedMessageErr() {
	address, stop := serve()
	defer stop()
	client := connect(address)
	defer client.Close()
	large := &streaming.EchoPayload{Msg: strings.Repeat("x", 5<<20)}
	_, err := streaming.NewStreamingClient(client).Echo(context.Background(), large)
	var oversized *ttrpc.OversizedMessageErr
	if errors.As(err, &oversized) {
		fmt.Println("at most", oversized.MaximumLength(), "bytes,", status.Code(err))
	}
	// Output: at most 4194304 bytes, ResourceExhausted
}
