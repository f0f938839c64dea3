// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/libchan"
)

// Either side opens channels. Each has events for the other here.
func ExampleSession() {
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		session, err := libchan.NewServer(far)
		if err != nil {
			log.Fatal(err)
		}
		tell(session, "the server is up")
		fmt.Println("the server hears:", hear(session))
		session.Shutdown(context.Background()) // ends with the last channel
	}()
	session, err := libchan.NewClient(near)
	if err != nil {
		log.Fatal(err)
	}
	event := hear(session)
	tell(session, "the client is up")
	<-done
	fmt.Println("the client hears:", event)
	<-session.Done()
	fmt.Println(session.Cause())
	// Output:
	// the server hears: the client is up
	// the client hears: the server is up
	// EOF
}

func tell(session *libchan.Session, event string) {
	events, err := session.NewSendChannel()
	if err != nil {
		log.Fatal(err)
	}
	if err := events.Send(event); err != nil {
		log.Fatal(err)
	}
	events.Close()
}

func hear(session *libchan.Session) (event string) {
	events, err := session.WaitReceiveChannel()
	if err != nil {
		log.Fatal(err)
	}
	if err := events.Receive(&event); err != nil {
		log.Fatal(err)
	}
	for events.Receive(new(any)) == nil { // up to the end, so that the channel is over
	}
	return event
}

// A session shares a connection with ordinary calls.
func ExampleOver() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	if err := libchan.Register(server); err != nil {
		log.Fatal(err)
	}
	server.Register("example.Jobs", map[string]ttrpc.Method{
		"Start": func(ctx context.Context, unmarshal func(any) error) (any, error) {
			session, err := libchan.FromContext(ctx) // that with the caller
			if err != nil {
				return nil, err
			}
			progress, err := session.OpenChannel(ctx, "progress")
			if err != nil {
				return nil, err
			}
			go func() {
				progress.Send(50)
				progress.Send(100)
				progress.Close()
			}()
			return wrapperspb.String("started"), nil
		},
	})
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)

	ctx := context.Background()
	client := ttrpc.NewClient(near, libchan.WithSessions())
	defer client.Close()
	session, err := libchan.Over(client)
	if err != nil {
		log.Fatal(err)
	}
	answer := new(wrapperspb.StringValue)
	if err := client.Call(ctx, "example.Jobs", "Start", wrapperspb.String(""), answer); err != nil {
		log.Fatal(err)
	}
	name, r, err := session.Accept(ctx)
	fmt.Println(answer.Value, name, err)
	for percent, err := range libchan.From[int](r).All(ctx) {
		fmt.Println(percent, err)
	}
	// Output:
	// started progress <nil>
	// 50 <nil>
	// 100 <nil>
}

// A server serves a session to each client that begins one.
func ExampleWithHandler() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	err = libchan.Register(server, libchan.WithHandler(func(session *libchan.Session) {
		greetings, err := session.WaitReceiveChannel()
		if err != nil {
			return
		}
		_ = libchan.Serve(context.Background(), greetings, func(_ context.Context, name string) (string, error) {
			return "hello, " + name, nil
		})
	}))
	if err != nil {
		log.Fatal(err)
	}
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)

	session, err := libchan.NewClient(near)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	greetings, err := session.NewSendChannel()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(libchan.Call[string, string](context.Background(), greetings, "Ada"))
	// Output: hello, Ada <nil>
}

// A session can be told which channels it takes, by their names.
func ExampleWithNames() {
	near, far := net.Pipe()
	go func() {
		session, err := libchan.NewServer(far, libchan.WithNames(func(name string) error {
			if name != "logs" {
				return errors.New("there is no channel called " + name)
			}
			return nil
		}))
		if err != nil {
			log.Fatal(err)
		}
		<-session.Done()
	}()
	session, err := libchan.NewClient(near)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	secrets, err := session.OpenChannel(context.Background(), "secrets")
	if err != nil {
		log.Fatal(err)
	}
	<-secrets.Done()
	fmt.Println(secrets.Send("?"))
	// Output: there is no channel called secrets
}
