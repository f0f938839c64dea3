// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/libchan"
)

// A Command has streams for its input and output: each end of [libchan.NewByteStream] is one
// that can be sent. Of the other the fields take one direction each.
type Command struct {
	Name   string
	Stdin  io.Reader
	Stdout io.WriteCloser
	Code   libchan.SendChan[int]
}

// A program's input and output are a byte stream in a message, its exit code comes by a channel.
func ExampleNewByteStream() {
	near, far := net.Pipe()
	go runCommands(far)
	session, err := libchan.NewClient(near)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	commands, err := session.NewSendChannel()
	if err != nil {
		log.Fatal(err)
	}

	local, remote := libchan.NewByteStream()
	codes, code := libchan.Make[int](1)
	if err := commands.Send(Command{"upper", remote, remote, code}); err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(local, "shout it")
	local.CloseWrite() // the end of the input; the output still comes
	output, err := io.ReadAll(local)
	if err != nil {
		log.Fatal(err)
	}
	exit, err := codes.Receive(context.Background())
	fmt.Printf("%s, code %d, %v\n", output, exit, err)
	// Output: SHOUT IT, code 0, <nil>
}

// runCommands runs what its peer sends. It knows one program.
func runCommands(conn net.Conn) {
	session, err := libchan.NewServer(conn)
	if err != nil {
		log.Fatal(err)
	}
	commands, err := session.WaitReceiveChannel()
	if err != nil {
		return
	}
	for c, err := range libchan.From[Command](commands).All(context.Background()) {
		if err != nil {
			return
		}
		input, err := io.ReadAll(c.Stdin)
		if err == nil {
			_, err = c.Stdout.Write(bytes.ToUpper(input))
		}
		exit := 0
		if err != nil {
			exit = 1
		}
		c.Stdout.Close()
		c.Code.Send(context.Background(), exit)
	}
}

// A Document has a file. Over a unix socket the receiver gets the very one, as a descriptor,
// where the system can pass it; over any other connection one that is filled meanwhile.
type Document struct {
	Title string
	File  *os.File
}

// An open file in a message.
func Example_file() {
	dir, err := os.MkdirTemp("", "libchan")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	listener, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		readDocument(listener)
	}()
	conn, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	session, err := libchan.NewClient(conn)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	documents, err := session.NewSendChannel()
	if err != nil {
		log.Fatal(err)
	}

	name := filepath.Join(dir, "text")
	if err := os.WriteFile(name, []byte("what it says"), 0o600); err != nil {
		log.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	if err := documents.Send(Document{"a text", file}); err != nil {
		log.Fatal(err)
	}
	<-read
	file.Close() // it is still ours
	// Output: a text: what it says
}

// readDocument prints the document that comes by the first connection.
func readDocument(listener net.Listener) {
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	session, err := libchan.NewServer(conn)
	if err != nil {
		log.Fatal(err)
	}
	documents, err := session.WaitReceiveChannel()
	if err != nil {
		log.Fatal(err)
	}
	var d Document
	if err := documents.Receive(&d); err != nil {
		log.Fatal(err)
	}
	defer d.File.Close()
	text, err := io.ReadAll(d.File)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", d.Title, text)
}

// A gateway dials for who cannot, what is on its list. Whoever has the Sender of its channel may
// ask.
func ExampleGateway() {
	service, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()
	go greet(service)

	near, far := net.Pipe()
	go serveGateway(far, service.Addr().String())
	session, err := libchan.NewClient(near)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	ctx := context.Background()
	gate, err := session.OpenChannel(ctx, "gateway")
	if err != nil {
		log.Fatal(err)
	}
	conn, err := libchan.DialThrough(ctx, gate, "tcp", service.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	greeting, err := io.ReadAll(conn)
	fmt.Printf("%s, %v\n", greeting, err)

	_, err = libchan.DialThrough(ctx, gate, "tcp", "10.0.0.1:22")
	fmt.Println(status.Code(err) == codes.PermissionDenied, status.Convert(err).Message())
	// Output:
	// hello, <nil>
	// true libchan: the gateway does not dial tcp "10.0.0.1:22": it is not on the list
}

// serveGateway dials one address for its peer.
func serveGateway(conn net.Conn, allowed string) {
	session, err := libchan.NewServer(conn)
	if err != nil {
		log.Fatal(err)
	}
	name, requests, err := session.Accept(context.Background())
	if err != nil || name != "gateway" {
		return
	}
	gateway := &libchan.Gateway{Allow: func(network, addr string) error {
		if network != "tcp" || addr != allowed {
			return errors.New("it is not on the list")
		}
		return nil
	}}
	gateway.Serve(context.Background(), requests)
}

// greet says hello to one who dials.
func greet(service net.Listener) {
	conn, err := service.Accept()
	if err != nil {
		return
	}
	fmt.Fprint(conn, "hello")
	conn.Close()
}
