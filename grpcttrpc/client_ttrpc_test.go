// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
)

// TestMetadataOfHandlers holds that a gRPC call made in a ttrpc handler, or with metadata of ttrpc's,
// sends what gRPC sends with its context and nothing else.
func TestMetadataOfHandlers(t *testing.T) {
	onBothModes(t, func(t *testing.T, serverOpts []ttrpc.ServerOpt, clientOpts []ttrpc.ClientOpts) {
		server := newServer(t, serverOpts...)
		var stub testpb.TestServiceClient
		server.Register("seen", map[string]ttrpc.Method{"Show": showMetadata})
		server.Register("middle", map[string]ttrpc.Method{"Call": func(ctx context.Context, _ func(any) error) (any, error) {
			return new(testpb.Empty), seen(ctx, stub)
		}})
		client := connect(t, server, clientOpts...)
		conn := grpcttrpc.NewClientConn(client)
		stub = testpb.NewTestServiceClient(conn)
		server.Register(testServiceName, map[string]ttrpc.Method{"UnaryCall": showMetadata})
		ctx := ttrpc.WithMetadata(withDeadline(t), ttrpc.MD{"secret": {"1"}})
		for _, err := range []error{client.Call(ctx, "middle", "Call", new(testpb.Empty), new(testpb.Empty)), seen(ctx, stub)} {
			if status.Convert(err).Message() != "map[]" {
				t.Errorf("B129: what goes on is %v", err)
			}
		}
		ctx = metadata.AppendToOutgoingContext(ctx, "a", "1", "B-Bin", "\xff", "grpc-timeout", "1S")
		if err := seen(ctx, stub); status.Convert(err).Message() != "map[a:[1] b-bin:[/w]]" {
			t.Errorf("B129: what is sent is %v", err)
		}
		// gRPC refuses it if it is made by hand, and shows it in lower case to all who ask.
		ctx = metadata.NewOutgoingContext(withDeadline(t), metadata.MD{"Upper": {"1"}})
		if err := seen(ctx, stub); status.Convert(err).Message() != "map[upper:[1]]" {
			t.Errorf("B129: what is sent is %v", err)
		}
	})
}

// showMetadata fails with the metadata that has come.
func showMetadata(ctx context.Context, _ func(any) error) (any, error) {
	md, _ := ttrpc.GetMetadata(ctx)
	return nil, status.Error(codes.Aborted, fmt.Sprint(md))
}

func seen(ctx context.Context, stub testpb.TestServiceClient) error {
	_, err := stub.UnaryCall(ctx, smallRequest)
	return err
}

// TestMalformedAnswers has a peer send header and trailer that are none of gRPC's.
func TestMalformedAnswers(t *testing.T) {
	server := newServer(t, ttrpc.WithServerExtensions())
	bad := ttrpc.MD{"a-bin": {"no base64!"}}
	sets := map[string]func(context.Context, ttrpc.MD) error{"header": ttrpc.SetHeader, "trailer": ttrpc.SetTrailer}
	for name, set := range sets {
		stream := ttrpc.Stream{StreamingClient: true, StreamingServer: true, Handler: func(ctx context.Context, s ttrpc.StreamServer) (any, error) {
			return nil, errors.Join(set(ctx, bad), s.SendMsg(new(testpb.SimpleResponse)))
		}}
		server.RegisterService(name, &ttrpc.ServiceDesc{
			Methods: map[string]ttrpc.Method{"Call": func(ctx context.Context, _ func(any) error) (any, error) {
				return new(testpb.SimpleResponse), set(ctx, bad)
			}},
			Streams: map[string]ttrpc.Stream{"Stream": stream},
		})
	}
	conn := grpcttrpc.NewClientConn(connect(t, server, ttrpc.WithExtensions()))
	for name := range sets {
		var got metadata.MD
		err := conn.Invoke(withDeadline(t), "/"+name+"/Call", smallRequest, new(testpb.SimpleResponse), grpc.Header(&got))
		if status.Code(err) != codes.Internal {
			t.Errorf("B129: a call with a malformed %s returns %v, and %v", name, err, got)
		}
		stream, err := conn.NewStream(withDeadline(t), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/"+name+"/Stream")
		for err == nil {
			err = stream.RecvMsg(new(testpb.SimpleResponse))
		}
		if status.Code(err) != codes.Internal {
			t.Errorf("B129: a stream with a malformed %s returns %v", name, err)
		}
	}
}

// TestWaitForReady holds what grpc.WaitForReady does for clients of Dial and for others.
func TestWaitForReady(t *testing.T) {
	quiet := ttrpc.WithClientLogger(slog.New(slog.DiscardHandler))
	for _, failFast := range []bool{true, false} {
		server := newServer(t, ttrpc.WithServerExtensions())
		testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), echoes())
		up := make(chan struct{})
		attempted := make(chan struct{}, 1)
		dial := func(context.Context, string) (net.Conn, error) {
			select {
			case <-up:
				near, far := net.Pipe()
				go server.ServeConn(context.Background(), far)
				return near, nil
			default:
				return nil, errors.New("not up")
			}
		}
		client, err := ttrpc.Dial("server", quiet, ttrpc.WithExtensions(), ttrpc.WithDialer(ttrpc.Dialer{
			Dial: dial, FailFast: failFast, Backoff: ttrpc.Backoff{Min: time.Millisecond, Max: time.Millisecond},
			Events: func(e ttrpc.ConnectionEvent) {
				if e.Kind == ttrpc.EventFailed {
					select {
					case attempted <- struct{}{}:
					default:
					}
				}
			},
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		<-attempted
		stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(client))
		ctx := withDeadline(t)
		_, err = stub.UnaryCall(ctx, smallRequest, grpc.WaitForReady(false), grpc.Header(new(metadata.MD)))
		if status.Code(err) != codes.Unavailable || !errors.Is(err, ttrpc.ErrNotExecuted) {
			t.Errorf("B129: without a connection: %v", err)
		}
		_, err = stub.FullDuplexCall(ctx, grpc.WaitForReady(false))
		if status.Code(err) != codes.Unavailable {
			t.Errorf("B129: a stream without a connection: %v", err)
		}
		waited := make(chan error, 1)
		go func() {
			var header metadata.MD
			_, err := stub.UnaryCall(ctx, smallRequest, grpc.WaitForReady(true), grpc.Header(&header))
			waited <- err
		}()
		close(up)
		if err := <-waited; err != nil {
			t.Errorf("B129: with WaitForReady: %v", err)
		}
	}
	client := connect(t, newServer(t))
	client.Close()
	_, err := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(client)).UnaryCall(withDeadline(t), smallRequest, grpc.WaitForReady(true))
	if status.Code(err) != codes.Canceled {
		t.Errorf("B129: no other connection comes, and a call waits: %v", err)
	}
}

// TestAnswersNoMore has the connection that follows one of Dial's be classic, and asks for metadata
// of answers as on the one before.
func TestAnswersNoMore(t *testing.T) {
	old, classic := newServer(t, ttrpc.WithServerExtensions()), newServer(t)
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(old), echoes())
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(classic), echoes())
	servers := make(chan *ttrpc.Server, 2)
	servers <- old
	servers <- classic
	dial := func(context.Context, string) (net.Conn, error) {
		near, far := net.Pipe()
		go (<-servers).ServeConn(context.Background(), far)
		return near, nil
	}
	client, err := ttrpc.Dial("server", ttrpc.WithClientLogger(slog.New(slog.DiscardHandler)), ttrpc.WithExtensions(),
		ttrpc.WithDialer(ttrpc.Dialer{Dial: dial, Backoff: ttrpc.Backoff{Min: time.Millisecond, Max: time.Millisecond}}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(client))
	var header metadata.MD
	if _, err := stub.UnaryCall(withDeadline(t), smallRequest, grpc.Header(&header)); err != nil {
		t.Fatal(err)
	}
	old.Close()
	code := codes.Unavailable // of a call that was sent to the old server, or found it closed
	for code == codes.Unavailable {
		_, err = stub.UnaryCall(withDeadline(t), smallRequest, grpc.Header(&header), grpc.WaitForReady(true))
		code = status.Code(err)
	}
	wantOption(t, optionTest{nil, "grpc.Header", codes.Unimplemented}, err)
}

// TestLostStreamFinishes holds that a stream whose connection is lost has finished, once, when its user
// is told.
func TestLostStreamFinishes(t *testing.T) {
	onBothModes(t, func(t *testing.T, serverOpts []ttrpc.ServerOpt, clientOpts []ttrpc.ClientOpts) {
		server := newServer(t, serverOpts...)
		testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), echoes())
		client := connect(t, server, clientOpts...)
		stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(client))
		finished := make(chan error, 2)
		stream, err := stub.FullDuplexCall(withDeadline(t), grpc.OnFinish(func(err error) { finished <- err }))
		if err == nil {
			err = stream.Send(askFor(7))
		}
		if err == nil {
			_, err = stream.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
		server.Close()
		<-client.Done()
		if n := len(finished); n != 0 {
			t.Errorf("B129: the stream has finished before its user was told")
		}
		for err == nil {
			_, err = stream.Recv()
		}
		if got := <-finished; status.Code(err) != codes.Unavailable || got != err || len(finished) != 0 {
			t.Errorf("B129: the stream ends with %v, and has finished with %v", err, got)
		}
	})
}

// A slowHandshaker shakes hands when it is told to.
type slowHandshaker struct{ asked, told chan struct{} }

func (s slowHandshaker) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	close(s.asked)
	<-s.told
	return conn, nil, nil
}

// TestHandshakeAwaited holds that calls and streams wait for the handshake of a client with one
// connection, if they say so and if not.
func TestHandshakeAwaited(t *testing.T) {
	onBothModes(t, func(t *testing.T, serverOpts []ttrpc.ServerOpt, clientOpts []ttrpc.ClientOpts) {
		server := newServer(t, serverOpts...)
		testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), echoes())
		slow := slowHandshaker{make(chan struct{}), make(chan struct{})}
		client := connect(t, server, append(clientOpts, ttrpc.WithClientHandshaker(slow))...)
		stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(client))
		ctx, told := withDeadline(t), make(chan error)
		for _, opts := range [][]grpc.CallOption{nil, {grpc.WaitForReady(true)}, {grpc.WaitForReady(false)}} {
			go func() {
				_, err := stub.UnaryCall(ctx, smallRequest, opts...)
				told <- err
			}()
			go func() {
				s, err := stub.FullDuplexCall(ctx, opts...)
				if err == nil {
					err = s.Send(askFor(7))
				}
				if err == nil {
					_, err = s.Recv()
				}
				told <- err
			}()
		}
		<-slow.asked
		close(slow.told)
		for range 6 {
			if err := <-told; err != nil {
				t.Errorf("B129: a call does not wait for the handshake: %v", err)
			}
		}
	})
}

// TestLargeMetadata holds what becomes of metadata that is too large, of requests and of answers.
func TestLargeMetadata(t *testing.T) {
	server := newServer(t, ttrpc.WithServerExtensions())
	service := echoes()
	refused := make(chan error, 1)
	service.unary = func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		refused <- grpc.SetTrailer(ctx, metadata.Pairs("k", strings.Repeat("v", 70_000)))
		return new(testpb.SimpleResponse), nil
	}
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), service)
	stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(t, server, ttrpc.WithExtensions())))
	ctx := withDeadline(t)
	large := metadata.AppendToOutgoingContext(ctx, "k", strings.Repeat("v", 5<<20))
	_, unary := stub.UnaryCall(large, smallRequest)
	_, stream := stub.FullDuplexCall(large)
	for _, err := range []error{unary, stream} {
		if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "larger than max") {
			t.Errorf("B129: metadata of 5 MiB: %v", err)
		}
	}
	if _, err := stub.UnaryCall(ctx, smallRequest); err != nil {
		t.Errorf("B129: the connection is of no use any more: %v", err)
	}
	if err := <-refused; status.Code(err) != codes.Internal {
		t.Errorf("B122: a trailer of 70 KB: %v", err)
	}
}

// TestStreamsLeaveNothing holds that no goroutine is left of streams that have ended, however they were used.
func TestStreamsLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		server := newServer(t, ttrpc.WithServerExtensions())
		testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), echoes())
		served := make(chan struct{})
		go func() {
			defer close(served)
			server.ServeConn(context.Background(), far)
		}()
		client := ttrpc.NewClient(near, ttrpc.WithExtensions())
		conn := grpcttrpc.NewClientConn(client)
		stub := testpb.NewTestServiceClient(conn)
		onFinish := grpc.OnFinish(func(error) {})
		for _, opts := range [][]grpc.CallOption{nil, {onFinish}, {onFinish, grpc.MaxCallSendMsgSize(1)}} {
			ctx, cancel := context.WithCancel(t.Context())
			if s, err := stub.FullDuplexCall(ctx, opts...); err != nil || s.Send(askFor(7)) == io.EOF {
				t.Error(err)
			}
			conn.NewStream(ctx, &grpc.StreamDesc{}, "/"+testServiceName+"/UnaryCall", opts...)
			conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/"+testServiceName+"/StreamingOutputCall", opts...)
			cancel()
			if up, err := stub.StreamingInputCall(t.Context(), opts...); err != nil {
				t.Error(err)
			} else if _, err := up.CloseAndRecv(); err != nil {
				t.Error(err)
			}
		}
		client.Close()
		<-served // the bubble holds that no goroutine is left
	})
}

// TestCallsBack has gRPC's stubs call in both directions of one connection.
func TestCallsBack(t *testing.T) {
	ours, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(ours), echoes())
	server := newServer(t, ttrpc.WithServerExtensions())
	back := echoes()
	back.unary = func(ctx context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		peer, err := ttrpc.PeerClient(ctx)
		if err != nil {
			return nil, err
		}
		return testpb.NewTestServiceClient(grpcttrpc.NewClientConn(peer)).UnaryCall(ctx, req)
	}
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), back)
	stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(t, server, ttrpc.WithClientServices(ours))))
	got, err := stub.UnaryCall(withDeadline(t), smallRequest)
	if err != nil || len(got.Payload.GetBody()) != 7 {
		t.Errorf("B129: the way there and back returns %v, %v", got, err)
	}
	classic := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(t, server)))
	if _, err := classic.UnaryCall(withDeadline(t), smallRequest); status.Code(err) != codes.Unimplemented {
		t.Errorf("B129: a peer that takes no calls: %v", err)
	}
}
