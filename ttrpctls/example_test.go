// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpctls_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math/big"
	"net"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
	"github.com/containerd/ttrpc/ttrpctls"
)

// selfSigned returns a certificate for a name, and what trusts it.
func selfSigned(name string) (tls.Certificate, *x509.CertPool) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		log.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, pool
}

func Example() {
	cert, pool := selfSigned("server.test")
	server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(ttrpctls.ServerHandshaker(
		&tls.Config{Certificates: []tls.Certificate{cert}})))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	streaming.RegisterStreamingService(server, streaming.Service{})
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(context.Background(), l)

	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	client := ttrpc.NewClient(conn, ttrpc.WithClientHandshaker(ttrpctls.ClientHandshaker(
		&tls.Config{RootCAs: pool, ServerName: "server.test"})))
	defer client.Close()
	answer, err := streaming.NewStreamingClient(client).Echo(context.Background(), &streaming.EchoPayload{Msg: "hello"})
	fmt.Println(answer.GetMsg(), err)
	// Output: hello <nil>
}

// Both ends show who they are, and the handlers learn who is calling.
func ExampleServerHandshaker() {
	serverCert, serverPool := selfSigned("server.test")
	clientCert, clientPool := selfSigned("client.test")
	whoCalls := func(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
		peer, ok := ttrpc.PeerFromContext(ctx)
		if !ok {
			return nil, status.Error(codes.Internal, "no peer")
		}
		state, ok := peer.AuthInfo.(tls.ConnectionState)
		if !ok || len(state.PeerCertificates) == 0 {
			return nil, status.Error(codes.Unauthenticated, "no certificate")
		}
		fmt.Println("called by", state.PeerCertificates[0].Subject.CommonName)
		return method(ctx, unmarshal)
	}
	server, err := ttrpc.NewServer(
		ttrpc.WithUnaryServerInterceptor(whoCalls),
		ttrpc.WithServerHandshaker(ttrpctls.ServerHandshaker(&tls.Config{
			Certificates: []tls.Certificate{serverCert},
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    clientPool,
		})))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	streaming.RegisterStreamingService(server, streaming.Service{})
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(context.Background(), l)

	client, err := ttrpc.Dial("tcp:"+l.Addr().String(), ttrpc.WithClientHandshaker(ttrpctls.ClientHandshaker(&tls.Config{
		Certificates: []tls.Certificate{clientCert},
		RootCAs:      serverPool,
		ServerName:   "server.test",
	})))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	answer, err := streaming.NewStreamingClient(client).Echo(context.Background(), &streaming.EchoPayload{Msg: "hello"})
	fmt.Println(answer.GetMsg(), err)
	// Output:
	// called by client.test
	// hello <nil>
}

// A client that does not trust the server's certificate tells why it does not connect.
func ExampleClientHandshaker() {
	cert, _ := selfSigned("server.test")
	_, otherPool := selfSigned("other.test")
	server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(ttrpctls.ServerHandshaker(
		&tls.Config{Certificates: []tls.Certificate{cert}})), ttrpc.WithServerLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	near, far := net.Pipe() // a socket, elsewhere
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near, ttrpc.WithClientHandshaker(ttrpctls.ClientHandshaker(
		&tls.Config{RootCAs: otherPool, ServerName: "server.test"})))
	defer client.Close()
	<-client.Done()
	var unknown x509.UnknownAuthorityError
	fmt.Println(errors.As(client.Cause(), &unknown))
	// Output: true
}

// A conn that already speaks TLS needs no handshaker. It does not say that it is a byte
// stream, so ttrpc.ByteStream does.
func Example_withoutHandshaker() {
	cert, pool := selfSigned("server.test")
	l, err := tls.Listen("tcp", "localhost:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		log.Fatal(err)
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	streaming.RegisterStreamingService(server, streaming.Service{})
	go server.Serve(context.Background(), streamListener{l})

	conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "server.test"})
	if err != nil {
		log.Fatal(err)
	}
	client := ttrpc.NewClient(ttrpc.ByteStream(conn))
	defer client.Close()
	answer, err := streaming.NewStreamingClient(client).Echo(context.Background(), &streaming.EchoPayload{Msg: "hello"})
	fmt.Println(answer.GetMsg(), err)
	// Output: hello <nil>
}

// A streamListener accepts byte streams.
type streamListener struct{ net.Listener }

func (l streamListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return ttrpc.ByteStream(conn), nil
}
