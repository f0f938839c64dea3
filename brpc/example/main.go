// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command example runs a server and two clients over QUIC: to greet a client the server asks
// it for its name, on the connection on which the client asked for the greeting.
//
//	go run ./example
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"math/big"
	"net"
	"time"

	"github.com/quic-go/quic-go"
	"google.golang.org/grpc"

	"github.com/containerd/ttrpc/brpc"
	"github.com/containerd/ttrpc/brpc/example/greet"
)

// A greeter is the server's service. What it embeds lets it call whoever calls it.
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

// A namer is a client's service.
type namer struct {
	greet.UnimplementedNamerServer
	name string
}

func (n namer) Name(context.Context, *greet.NameRequest) (*greet.NameResponse, error) {
	fmt.Printf("%s: asked for the name\n", n.name)
	return &greet.NameResponse{Name: n.name}, nil
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	certificate, roots, err := selfSigned()
	if err != nil {
		return err
	}
	listener, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{certificate},
		NextProtos:   []string{"greetings"},
	}, nil)
	if err != nil {
		return err
	}
	g := &greeter{Server: brpc.NewServer(brpc.ServerConfig[greet.NamerClient]{
		ClientServiceBuilder: greet.NewNamerClient,
		Server:               grpc.NewServer(),
	})}
	greet.RegisterGreeterServer(g.Server, g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(context.Background(), listener) }()

	config := &tls.Config{RootCAs: roots, NextProtos: []string{"greetings"}}
	for _, name := range []string{"Alice", "Bob"} {
		if err := visit(listener.Addr().String(), config, name); err != nil {
			return err
		}
	}
	g.GracefulStop()
	return <-served
}

// visit is what a client does.
func visit(target string, config *tls.Config, name string) error {
	conn, err := brpc.Dial(target, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	shutdown, served := make(chan struct{}), make(chan error, 1)
	go func() {
		served <- brpc.ServeClientService[greet.NamerClient](shutdown, conn, func(r grpc.ServiceRegistrar) {
			greet.RegisterNamerServer(r, namer{name: name})
		})
	}()
	answer, err := greet.NewGreeterClient(conn).Greet(context.Background(), &greet.GreetRequest{})
	if err != nil {
		return err
	}
	fmt.Printf("%s: the server says %q\n", name, answer.Greeting)
	close(shutdown)
	return <-served
}

// selfSigned makes a certificate for this machine, and what trusts it.
func selfSigned() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots, nil
}
