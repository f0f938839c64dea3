// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command hello is the program that README.md builds up: a server that asks its caller
// back, and a client that is called.
//
//	go run ./example/hello
package main

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/containerd/ttrpc"
)

type greeter struct{} // runs in the server

// Greet asks its caller back before it answers.
func (greeter) Greet(ctx context.Context, greeting *Text) (*Text, error) {
	caller, err := ttrpc.ClientFromContext(ctx, NewAskerClient)
	if err != nil {
		return nil, err
	}
	name, err := caller.Ask(ctx, &Text{Text: "Who are you?"})
	if err != nil {
		return nil, err
	}
	return &Text{Text: greeting.Text + ", " + name.Text + "!"}, nil
}

type asker struct{} // runs in the client

func (asker) Ask(context.Context, *Text) (*Text, error) { return &Text{Text: "Ada"}, nil }

func main() {
	ctx := context.Background()
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions()) // takes the extended mode
	check(err)
	RegisterGreeterService(server, greeter{})
	listener, err := net.Listen("unix", "hello.sock")
	check(err)
	go server.Serve(ctx, listener)

	services, err := ttrpc.NewServer() // what the client answers
	check(err)
	RegisterAskerService(services, asker{})
	client, err := ttrpc.Dial("unix:hello.sock", ttrpc.WithClientServices(services)) // asks for it, and reconnects
	check(err)
	answer, err := NewGreeterClient(client).Greet(ctx, &Text{Text: "Hello"})
	check(err)
	fmt.Println(answer.Text)
	check(server.Shutdown(ctx)) // calls under way finish
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
