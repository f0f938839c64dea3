// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpctls_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net"

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
	template := newTemplate(name)
	template.DNSNames = []string{name}
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
