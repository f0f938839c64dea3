// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/brpc"
	"github.com/containerd/ttrpc/brpc/example/greet"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A greeter greets clients by the name that they tell when they are called back.
type greeter struct {
	greet.UnimplementedGreeterServer
	*brpc.Server[greet.NamerClient]
}

func (g *greeter) Greet(ctx context.Context, _ *greet.GreetRequest) (*greet.GreetResponse, error) {
	namer, err := g.ClientFromContext(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := namer.Name(ctx, &greet.NameRequest{})
	if err != nil {
		return nil, err
	}
	return &greet.GreetResponse{Greeting: "Hello, " + answer.Name}, nil
}

// A namer tells its name.
type namer struct {
	greet.UnimplementedNamerServer
	name string
}

func (n namer) Name(context.Context, *greet.NameRequest) (*greet.NameResponse, error) {
	return &greet.NameResponse{Name: n.name}, nil
}

// register has a client serve what tells a name.
func register(name string) brpc.ServiceRegisterFunc[greet.NamerClient] {
	return func(r grpc.ServiceRegistrar) { greet.RegisterNamerServer(r, namer{name: name}) }
}

// listenUnix listens on a unix socket.
func listenUnix() (l net.Listener, remove func()) {
	dir, err := os.MkdirTemp("", "brpc")
	check(err)
	l, err = net.Listen("unix", filepath.Join(dir, "socket"))
	check(err)
	return l, func() { os.RemoveAll(dir) }
}

// dialTo returns what connects to a unix socket.
func dialTo(l net.Listener) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", l.Addr().String())
	}
}

// Calls in both directions of one connection, on a unix socket.
func Example() {
	l, remove := listenUnix()
	defer remove()
	g := &greeter{Server: brpc.NewServer(brpc.ServerConfig[greet.NamerClient]{
		ClientServiceBuilder: greet.NewNamerClient,
		Server:               grpc.NewServer(),
	})}
	greet.RegisterGreeterServer(g.Server, g)
	go g.ServeListener(context.Background(), l)
	defer g.GracefulStop()

	conn, err := brpc.DialNet("greetings", dialTo(l))
	check(err)
	defer conn.Close()
	go brpc.ServeClientService(nil, conn, register("Alice"))
	answer, err := greet.NewGreeterClient(conn).Greet(context.Background(), &greet.GreetRequest{})
	check(err)
	fmt.Println(answer.Greeting)
	// Output: Hello, Alice
}

// A callee calls its caller back, whatever service that has, and without a Server at hand.
type asker struct {
	greet.UnimplementedGreeterServer
}

func (asker) Greet(ctx context.Context, _ *greet.GreetRequest) (*greet.GreetResponse, error) {
	namer, err := brpc.ClientFromContext(ctx, greet.NewNamerClient)
	if err != nil {
		return nil, err
	}
	answer, err := namer.Name(ctx, &greet.NameRequest{})
	return &greet.GreetResponse{Greeting: "Hi, " + answer.GetName()}, err
}

func ExampleClientFromContext() {
	server := brpc.NewServer(brpc.ServerConfig[greet.NamerClient]{})
	greet.RegisterGreeterServer(server, asker{})
	here, there := net.Pipe()
	go server.ServeConn(context.Background(), there)
	defer server.Stop()

	conn, err := brpc.NewClientConn(here)
	check(err)
	defer conn.Close()
	services := grpc.NewServer()
	greet.RegisterNamerServer(services, namer{name: "Bob"})
	go conn.ServeReverse(services)
	answer, err := greet.NewGreeterClient(conn).Greet(context.Background(), &greet.GreetRequest{})
	check(err)
	fmt.Println(answer.Greeting)
	// Output: Hi, Bob
}

// A server calls machines that it cannot dial: they have dialled it.
func ExamplePool() {
	l, remove := listenUnix()
	defer remove()
	pool := brpc.NewPool(brpc.PoolConfig{
		Key: func(ctx context.Context, _ *brpc.Peer) (string, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			return md.Get("site")[0], nil // more careful ones look at the peer's certificate
		},
		Closed: func(c *brpc.PoolClient) { fmt.Println(c.Key(), "has gone") },
	})
	server := brpc.NewServer(brpc.ServerConfig[greet.NamerClient]{Pool: pool})
	go server.ServeListener(context.Background(), l)
	defer server.GracefulStop()

	conn, err := brpc.DialNet("greetings", dialTo(l), brpc.WithServeMetadata(metadata.Pairs("site", "attic")))
	check(err)
	shutdown, served := make(chan struct{}), make(chan error)
	go func() { served <- brpc.ServeClientService(shutdown, conn, register("thermometer")) }()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	attic := pool.KeyConn("attic")
	check(attic.WaitForReady(ctx))
	for _, on := range []grpc.ClientConnInterface{pool.Conn(), attic, attic.Affine("a session"), pool.Clients()[0]} {
		answer, err := greet.NewNamerClient(on).Name(ctx, &greet.NameRequest{})
		check(err)
		fmt.Println(answer.Name)
	}
	pool.Shutdown() // takes no more
	close(shutdown)
	check(<-served)
	check(conn.Shutdown(ctx))
	check(server.Shutdown(ctx))
	fmt.Println(attic.Ready())
	// Unordered output:
	// thermometer
	// thermometer
	// thermometer
	// thermometer
	// attic has gone
	// false
}

// A whoami answers with what is known of its caller.
type whoami struct {
	greet.UnimplementedGreeterServer
}

func (whoami) Greet(ctx context.Context, _ *greet.GreetRequest) (*greet.GreetResponse, error) {
	info, _ := brpc.PeerInfo(ctx)
	_, byHandshaker := info.AuthInfo.(brpc.AuthInfo)
	known, _ := peer.FromContext(ctx)
	return &greet.GreetResponse{Greeting: fmt.Sprintln(info.LocalAddr.Network(), byHandshaker, known.AuthInfo.AuthType())}, nil
}

func ExampleCredentials() {
	l, remove := listenUnix()
	defer remove()
	server := brpc.NewServer(brpc.ServerConfig[greet.NamerClient]{
		Server:     grpc.NewServer(grpc.Creds(brpc.Credentials())),
		Handshaker: ttrpc.UnixSocketRequireSameUser(),
	})
	greet.RegisterGreeterServer(server, whoami{})
	go server.ServeListener(context.Background(), l)
	defer server.Stop()

	conn, err := brpc.DialNet("greetings", dialTo(l), brpc.WithBackoff(ttrpc.Backoff{Min: 10 * time.Millisecond}))
	check(err)
	defer conn.Close()
	answer, err := greet.NewGreeterClient(conn).Greet(context.Background(), &greet.GreetRequest{})
	check(err)
	fmt.Print(answer.Greeting)
	fmt.Println(conn.Snapshot().Extended, len(server.Snapshot()))
	// Output:
	// unix true brpc
	// true 1
}

// A client that serves nothing, or has gone, is told from one that fails.
func ExampleServer_ClientFromContext() {
	l, remove := listenUnix()
	defer remove()
	g := &greeter{Server: brpc.NewServer(brpc.ServerConfig[greet.NamerClient]{ClientServiceBuilder: greet.NewNamerClient})}
	greet.RegisterGreeterServer(g.Server, g)
	go g.ServeListener(context.Background(), l)
	defer g.Stop()

	conn, err := brpc.DialNet("greetings", dialTo(l), brpc.WithEvents(func(e ttrpc.ConnectionEvent) {
		if e.Kind == ttrpc.EventConnected {
			fmt.Println(e.Kind)
		}
	}))
	check(err)
	defer conn.Close()
	_, err = greet.NewGreeterClient(conn).Greet(context.Background(), &greet.GreetRequest{})
	fmt.Println(status.Code(err))
	fmt.Println(status.Code(brpc.ErrClientNotConnected))
	// Output:
	// connected
	// Unimplemented
	// Unavailable
}
