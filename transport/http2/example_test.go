// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package http2_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
	"github.com/containerd/ttrpc/libchan"
	"github.com/containerd/ttrpc/transport"
	"github.com/containerd/ttrpc/transport/http2"
)

// serveHTTP runs a handler without TLS, and returns its URL and what ends it.
func serveHTTP(h http.Handler) (url string, server *http.Server) {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	server = &http.Server{Handler: h, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	go server.Serve(l)
	return "http://" + l.Addr().String(), server
}

// A ttrpc server beside other handlers of a mux, behind the same authentication.
func Example() {
	listener := new(http2.Listener)
	mux := http.NewServeMux()
	mux.Handle("/ttrpc", authenticate(listener))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	url, httpServer := serveHTTP(mux)
	defer httpServer.Close()

	whoCalls := func(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
		peer, _ := ttrpc.PeerFromContext(ctx)
		fmt.Println("called by", peer.AuthInfo.(*transport.AuthInfo).Context.Value(userKey{}))
		return method(ctx, unmarshal)
	}
	server, err := ttrpc.NewServer(
		ttrpc.WithServerHandshaker(transport.Handshaker(nil)),
		ttrpc.WithUnaryServerInterceptor(whoCalls))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	streaming.RegisterStreamingService(server, streaming.Service{})
	go server.Serve(context.Background(), listener)

	header := make(http.Header)
	header.Set("Authorization", "Basic Z29waGVyOnNlY3JldA==")
	dialer := http2.Dialer{Header: header}
	conn, err := dialer.Dial(context.Background(), url+"/ttrpc")
	if err != nil {
		log.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	answer, err := streaming.NewStreamingClient(client).Echo(context.Background(), &streaming.EchoPayload{Msg: "hello"})
	fmt.Println(answer.GetMsg(), err)
	// Output:
	// called by gopher
	// hello <nil>
}

// A client that connects when it is first used, and again when its connection is lost.
func ExampleDialer_Dial() {
	listener := new(http2.Listener)
	url, httpServer := serveHTTP(listener)
	defer httpServer.Close()
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	streaming.RegisterStreamingService(server, streaming.Service{})
	go server.Serve(context.Background(), listener)

	dialer := http2.Dialer{HandshakeTimeout: 5 * time.Second}
	client, err := ttrpc.Dial(url, ttrpc.WithDialer(ttrpc.Dialer{Dial: dialer.Dial}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	answer, err := streaming.NewStreamingClient(client).Echo(context.Background(), &streaming.EchoPayload{Msg: "hello"})
	fmt.Println(answer.GetMsg(), err)
	// Output: hello <nil>
}

// Dial tells what is in the way.
func ExampleDial() {
	url, httpServer := serveHTTP(authenticate(new(http2.Listener)))
	defer httpServer.Close()

	_, err := http2.Dial(context.Background(), url)
	var status *transport.StatusError
	if errors.As(err, &status) {
		fmt.Println(status.Code, status.Text)
	}
	// Output: 401 wrong password
}

// A Listener is a net.Listener like any other; here it accepts one conn for a session of
// libchan.
func ExampleListener() {
	listener := new(http2.Listener)
	defer listener.Close()
	url, httpServer := serveHTTP(listener)
	defer httpServer.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			log.Print(err)
			return
		}
		session, err := libchan.NewServer(conn)
		if err != nil {
			log.Print(err)
			return
		}
		sender, err := session.NewSendChannel()
		if err != nil {
			log.Print(err)
			return
		}
		sender.Send("hello")
		sender.Close()
	}()

	conn, err := http2.Dial(context.Background(), url)
	if err != nil {
		log.Fatal(err)
	}
	session, err := libchan.NewClient(conn)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	receiver, err := session.WaitReceiveChannel()
	if err != nil {
		log.Fatal(err)
	}
	var text string
	fmt.Println(receiver.Receive(&text), text)
	// Output: <nil> hello
}
