// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package quic_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"

	quicgo "github.com/quic-go/quic-go"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/transport"
	"github.com/containerd/ttrpc/transport/quic"
)

// greeter has a service that knows the names of its clients from their certificates.
func greeter() *ttrpc.Server {
	server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(transport.Handshaker(nil)))
	if err != nil {
		log.Fatal(err)
	}
	server.Register("example.Greeter", map[string]ttrpc.Method{
		"Hello": func(ctx context.Context, _ func(any) error) (any, error) {
			peer, _ := ttrpc.PeerFromContext(ctx)
			name := peer.AuthInfo.(*transport.AuthInfo).TLS.PeerCertificates[0].Subject.CommonName
			return wrapperspb.String("hello " + name), nil
		},
	})
	return server
}

// A ttrpc server knows its clients by certificates, and a client connects to it again whenever
// the connection is lost.
func Example() {
	listener, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{
		Certificates: serverTLS.Certificates,
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: trusted.pool(),
	})
	if err != nil {
		log.Fatal(err)
	}
	server := greeter()
	go server.Serve(context.Background(), listener)
	defer server.Close()

	dialer := quic.Dialer{TLS: &tls.Config{RootCAs: trusted.pool(), Certificates: []tls.Certificate{trusted.sign("Ada")}}}
	client, err := ttrpc.Dial("quic://"+listener.Addr().String(), ttrpc.WithDialer(ttrpc.Dialer{Dial: dialer.Dial}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	var greeting wrapperspb.StringValue
	if err := client.Call(context.Background(), "example.Greeter", "Hello", wrapperspb.String(""), &greeting); err != nil {
		log.Fatal(err)
	}
	fmt.Println(greeting.Value)
	// Output: hello Ada
}

// Conns come from a listener and a dialer of quic-go as well, with a protocol of one's own.
func ExampleNewConn() {
	config := serverTLS.Clone()
	config.NextProtos = []string{"letters/1"}
	letters, err := quicgo.ListenAddr("127.0.0.1:0", config, nil)
	if err != nil {
		log.Fatal(err)
	}
	listener := quic.NewListener(letters)
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		io.WriteString(conn, "what comes of it\n")
		conn.Close()
	}()

	config = clientTLS.Clone()
	config.ServerName, config.NextProtos = "localhost", []string{"letters/1"}
	connection, err := quicgo.DialAddr(context.Background(), letters.Addr().String(), config, nil)
	if err != nil {
		log.Fatal(quic.DialError(letters.Addr().String(), err)) // says what it means
	}
	conn, err := quic.NewConn(connection)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	fmt.Printf("%s%v\n", text, err)
	// Output:
	// what comes of it
	// <nil>
}

// An end may say why it wants no more.
func ExampleConn_CloseWithError() {
	listener, err := quic.ListenAddr("127.0.0.1:0", serverTLS)
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			conn.(*quic.Conn).CloseWithError(451, "not for you")
		}
	}()

	conn, err := (&quic.Dialer{TLS: clientTLS}).Dial(context.Background(), listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	var ended *quic.CloseError
	if errors.As(err, &ended) {
		fmt.Println(ended.Code, ended.Text)
	}
	// Output: 451 not for you
}
