// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
)

// TestClientInterceptors holds in which order interceptors run, and what they see and may change.
func TestClientInterceptors(t *testing.T) {
	var r *clientRun
	unary := func(name string) grpc.UnaryClientInterceptor {
		return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			r.note("%s: %s %T %T, %d options, with a target: %v", name, method, req, reply, len(opts), cc.Target() != "")
			ctx = metadata.AppendToOutgoingContext(ctx, "a", name)
			err := invoke(ctx, method, req, reply, cc, append(opts, grpc.EmptyCallOption{})...)
			r.noteErr(name, err)
			if name == "second" {
				err = invoke(ctx, method, req, reply, cc, opts...)
			}
			return err
		}
	}
	stream := func(name string) grpc.StreamClientInterceptor {
		return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			r.note("%s: %s %v %v, %d options", name, method, desc.ClientStreams, desc.ServerStreams, len(opts))
			s, err := open(metadata.AppendToOutgoingContext(ctx, "a", name), desc, cc, method, append(opts, grpc.EmptyCallOption{})...)
			return &notingStream{s, r, name}, err
		}
	}
	(&clientCase{
		service: described(), defaults: []grpc.CallOption{grpc.MaxCallRecvMsgSize(1 << 20)},
		unary:  []grpc.UnaryClientInterceptor{unary("first"), unary("second"), unary("third")},
		stream: []grpc.StreamClientInterceptor{stream("first"), stream("second"), stream("third")},
		run: func(run *clientRun) {
			r = run
			_, err := r.stub.UnaryCall(r.ctx, smallRequest, grpc.MaxCallRecvMsgSize(-1))
			r.noteErr("an option of the call counts more", err)
			var header metadata.MD
			_, err = r.stub.UnaryCall(r.ctx, smallRequest, grpc.Header(&header))
			r.noteErr("unary", err)
			r.note("header %s", ofUsers(header))
			duplex, err := r.stub.FullDuplexCall(r.ctx, grpc.Header(&header))
			if err != nil {
				r.Fatal(err)
			}
			r.noteErr("CloseSend", duplex.CloseSend())
			_, err = duplex.Recv()
			r.noteErr("Recv", err)
			r.note("header %s", ofUsers(header))
		},
	}).beside(t)
}

// A notingStream notes what is done with a stream.
type notingStream struct {
	grpc.ClientStream
	r    *clientRun
	name string
}

func (s *notingStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	s.r.noteErr(s.name+" RecvMsg", err)
	return err
}

// TestOnFinish holds that the function is called once, with the call's end, however that comes.
func TestOnFinish(t *testing.T) {
	(&clientCase{service: described(), run: func(r *clientRun) {
		finished := make(chan error, 9)
		onFinish := grpc.OnFinish(func(err error) { finished <- err })
		note := func(what string, _ error) {
			r.noteErr(what+" has finished with", <-finished)
			if len(finished) > 0 {
				r.note("twice")
			}
		}
		each := func(ctx context.Context, opts ...grpc.CallOption) {
			eachKind(r, func() context.Context { return ctx }, func(what string, err error) {
				if err != nil || what == "unary" || what == "up" {
					note(what, err)
				}
			}, append(opts, onFinish)...)
		}
		each(r.ctx)
		ctx := metadata.AppendToOutgoingContext(r.ctx, "fails", "1")
		each(ctx)
		each(metadata.AppendToOutgoingContext(r.ctx, "", ""))
		each(r.ctx, grpc.PerRPCCredentials(token{fails: true}))
		each(r.ctx, grpc.MaxCallSendMsgSize(1))
	}}).beside(t)
	(&clientCase{service: waits(nil), run: func(r *clientRun) {
		finished := make(chan error, 9)
		onFinish := grpc.OnFinish(func(err error) { finished <- err })
		ctx, cancel := context.WithCancel(r.ctx)
		if _, err := r.stub.FullDuplexCall(ctx, onFinish); err != nil {
			r.Fatal(err)
		}
		cancel()
		r.noteErr("cancelled, and nobody receives", <-finished)
		if _, err := r.stub.FullDuplexCall(r.ctx, onFinish); err != nil {
			r.Fatal(err)
		}
		r.close()
		r.noteErr("closed, and nobody receives", <-finished)
	}}).besideClassic(t)
}

// TestPerRPCCredentials sends credentials, or not.
func TestPerRPCCredentials(t *testing.T) {
	var seen atomic.Value
	service := echoes()
	service.unary = func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		seen.Store(fmt.Sprint(md.Get("authorization"), md.Get("a")))
		return &testpb.SimpleResponse{}, nil
	}
	for _, creds := range []credentials.PerRPCCredentials{
		token{}, token{secure: true}, token{fails: true},
		givenMetadata{"Authorization": "\x01"}, givenMetadata{"grpc-status": "1", "authorization": "x"}, givenMetadata{},
		failingWith{status.Error(codes.NotFound, "no token")}, failingWith{status.Error(codes.Unauthenticated, "no token")},
	} {
		(&clientCase{service: service, run: func(r *clientRun) {
			seen.Store("")
			_, err := r.stub.UnaryCall(metadata.AppendToOutgoingContext(r.ctx, "a", "1"), smallRequest, grpc.PerRPCCredentials(creds))
			r.noteErr("unary", err)
			r.note("%v", seen.Load())
		}}).besideClassic(t)
	}
	(&clientCase{run: func(r *clientRun) {
		_, err := r.stub.UnaryCall(r.ctx, smallRequest, grpc.PerRPCCredentials(askedFor(r.note)))
		r.noteErr("unary", err)
	}}).besideClassic(t)
	server := newServer(t)
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), service)
	stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(t, server), grpcttrpc.WithPerRPCCredentials(token{})))
	if _, err := stub.UnaryCall(withDeadline(t), smallRequest); err != nil || seen.Load() != "[Bearer 1] []" {
		t.Errorf("B129: credentials of all calls: %v, the server sees %v", err, seen.Load())
	}
	insecure := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(t, newServer(t)), grpcttrpc.WithPerRPCCredentials(token{secure: true})))
	if _, err := insecure.UnaryCall(withDeadline(t), smallRequest); status.Code(err) != codes.Unauthenticated {
		t.Errorf("B129: credentials go over an insecure connection: %v", err)
	}
}

type givenMetadata map[string]string

func (m givenMetadata) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return m, nil
}
func (givenMetadata) RequireTransportSecurity() bool { return false }

// askedFor is credentials that note what they are asked for.
type askedFor func(format string, args ...any)

func (note askedFor) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	info, ok := credentials.RequestInfoFromContext(ctx)
	note("%v %v %v", uri, info.Method, ok)
	return nil, nil
}
func (askedFor) RequireTransportSecurity() bool { return false }

type failingWith struct{ err error }

func (f failingWith) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return nil, f.err
}
func (failingWith) RequireTransportSecurity() bool { return false }

// A tlsHandshaker says that the connection has TLS.
type tlsHandshaker struct{}

func (tlsHandshaker) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	return conn, tls.ConnectionState{HandshakeComplete: true, ServerName: "example.org"}, nil
}

// A lookingToken is credentials that look at what they are told.
type lookingToken struct{ saw *string }

func (l lookingToken) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	info, _ := credentials.RequestInfoFromContext(ctx)
	err := credentials.CheckSecurityLevel(info.AuthInfo, credentials.PrivacyAndIntegrity)
	*l.saw = fmt.Sprint(info.Method, " ", info.AuthInfo.AuthType(), " ", uri, " ", err)
	return nil, nil
}
func (lookingToken) RequireTransportSecurity() bool { return true }

// TestTLSCredentials holds what credentials are told of a connection with TLS, and grpc.Peer.
func TestTLSCredentials(t *testing.T) {
	onBothModes(t, func(t *testing.T, serverOpts []ttrpc.ServerOpt, clientOpts []ttrpc.ClientOpts) {
		server := newServer(t, serverOpts...)
		testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), echoes())
		client := connect(t, server, append(clientOpts, ttrpc.WithClientHandshaker(tlsHandshaker{}))...)
		stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(client))
		var saw string
		var p peer.Peer
		if _, err := stub.UnaryCall(withDeadline(t), smallRequest, grpc.PerRPCCredentials(lookingToken{&saw}), grpc.Peer(&p)); err != nil {
			t.Fatal(err)
		}
		if want := "/grpc.testing.TestService/UnaryCall tls [https://example.org/grpc.testing.TestService] <nil>"; saw != want {
			t.Errorf("B129: credentials see %q", saw)
		}
		if _, ok := p.AuthInfo.(credentials.TLSInfo); !ok || p.Addr.Network() != "unix" || p.LocalAddr == nil {
			t.Errorf("B129: the peer is %v", p)
		}
		p = peer.Peer{}
		stream, err := stub.FullDuplexCall(withDeadline(t), grpc.Peer(&p))
		if err == nil {
			err = stream.CloseSend()
		}
		if err == nil {
			_, err = stream.Recv()
		}
		if err != io.EOF || p.Addr == nil {
			t.Errorf("B129: after a stream, %v, the peer is %v", err, p)
		}
	})
}

// TestClassicSaysSo holds that what a classic connection does not have is refused where it is asked
// for, with nothing sent.
func TestClassicSaysSo(t *testing.T) {
	var calls atomic.Int32
	service := echoes()
	service.unary = func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		calls.Add(1)
		return new(testpb.SimpleResponse), nil
	}
	server := newServer(t)
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), service)
	stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(t, server, ttrpc.WithExtensions())))
	ctx := withDeadline(t)
	for name, o := range map[string]grpc.CallOption{"grpc.Header": grpc.Header(new(metadata.MD)), "grpc.Trailer": grpc.Trailer(new(metadata.MD))} {
		_, err := stub.UnaryCall(ctx, smallRequest, o)
		wantOption(t, optionTest{o, name, codes.Unimplemented}, err)
		_, err = stub.FullDuplexCall(ctx, o)
		wantOption(t, optionTest{o, name, codes.Unimplemented}, err)
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("B129: %d calls were made", n)
	}
	stream, err := stub.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	header, err := stream.Header()
	wantOption(t, optionTest{nil, "Header of a stream", codes.Unimplemented}, err)
	if trailer := stream.Trailer(); len(header)+len(trailer) > 0 {
		t.Errorf("B129: header %v, trailer %v", header, trailer)
	}
	if err := errors.Join(stream.Send(askFor(7)), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Errorf("B129: the stream is of no use any more: %v", err)
	}
}

// TestMistakes holds that what no program means is told at once, and that a call with it is an error.
func TestMistakes(t *testing.T) {
	client := connect(t, newServer(t))
	for name, mistake := range map[string]func(){
		"client":      func() { grpcttrpc.NewClientConn(nil) },
		"option":      func() { grpcttrpc.NewClientConn(client, nil) },
		"interceptor": func() { grpcttrpc.WithChainUnaryClientInterceptor(nil) },
		"stream":      func() { grpcttrpc.WithChainStreamClientInterceptor(nil) },
		"stats":       func() { grpcttrpc.WithClientStatsHandler(nil) },
		"credentials": func() { grpcttrpc.WithPerRPCCredentials(nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("B129: a nil %s is none", name)
				}
			}()
			mistake()
		}()
	}
	conn := grpcttrpc.NewClientConn(client)
	if _, err := conn.NewStream(withDeadline(t), nil, "/s/m"); status.Code(err) != codes.Internal {
		t.Errorf("B129: a stream without a description: %v", err)
	}
	for _, reply := range []any{(*testpb.SimpleResponse)(nil), nil} {
		err := conn.Invoke(withDeadline(t), "/s/m", smallRequest, reply)
		if code := status.Code(err); code != codes.Internal && code != codes.Unimplemented {
			t.Errorf("B129: an answer into a nil %T: %v", reply, err)
		}
	}
	if err := grpcttrpc.NewClientConn(new(ttrpc.Client)).Invoke(withDeadline(t), "/s/m", smallRequest, new(testpb.Empty)); status.Code(err) != codes.Canceled {
		t.Errorf("B129: the zero client: %v", err)
	}
}
