// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/libchan"
)

// What another protocol has encoded becomes a message, with ends of channels beside it.
func ExampleNewRaw() {
	receiver, sender := libchan.Pipe()
	acks, ack := libchan.Pipe()
	raw, err := libchan.NewRaw("json", []byte(`{"Text":"hello","Ack":{"$libchan":0}}`), ack)
	if err != nil {
		log.Fatal(err)
	}
	if err := sender.Send(raw); err != nil {
		log.Fatal(err)
	}
	var line struct {
		Text string
		Ack  libchan.Sender
	}
	if err := receiver.Receive(&line); err != nil {
		log.Fatal(err)
	}
	if err := line.Ack.Send("got " + line.Text); err != nil {
		log.Fatal(err)
	}
	var text string
	fmt.Println(acks.Receive(&text), text)
	// Output: <nil> got hello
}

// The ends that a message carries can be taken from it, or let go of.
func ExampleRaw_Ends() {
	receiver, sender := libchan.Pipe()
	for range 2 {
		acks, ack := libchan.Pipe()
		if err := sender.Send(map[string]libchan.Sender{"ack": ack}); err != nil {
			log.Fatal(err)
		}
		go func() { _ = acks.Receive(new(string)) }()
	}
	var raw libchan.Raw
	if err := receiver.Receive(&raw); err != nil {
		log.Fatal(err)
	}
	ends, err := raw.Ends()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(ends), ends[0].(libchan.Sender).Send("taken"))
	if err := receiver.Receive(&raw); err != nil {
		log.Fatal(err)
	}
	raw.Release() // the receiver of the acks gets libchan.ErrDropped
	fmt.Println(raw.Len())
	// Output:
	// 1 <nil>
	// 0
}

// Draining tells that the session is about to end, so that what needs it can go elsewhere.
func ExampleSession_Draining() {
	near, far := net.Pipe()
	go func() {
		session, err := libchan.NewServer(far)
		if err != nil {
			log.Fatal(err)
		}
		_ = session.Shutdown(context.Background())
	}()
	session, err := libchan.NewClient(near)
	if err != nil {
		log.Fatal(err)
	}
	<-session.Draining()
	<-session.Done()
	_, err = session.NewSendChannel()
	fmt.Println(err != nil)
	// Output: true
}

// A client with a session can have services of its own, too, that the server calls.
func ExampleWithServices() {
	services, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	services.Register("example.Client", map[string]ttrpc.Method{
		"Name": func(context.Context, func(any) error) (any, error) { return wrapperspb.String("Ada"), nil },
	})
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	if err := libchan.Register(server); err != nil {
		log.Fatal(err)
	}
	server.Register("example.Greeter", map[string]ttrpc.Method{
		"Greet": func(ctx context.Context, _ func(any) error) (any, error) {
			caller, err := ttrpc.PeerClient(ctx)
			if err != nil {
				return nil, err
			}
			name := new(wrapperspb.StringValue)
			if err := caller.Call(ctx, "example.Client", "Name", wrapperspb.String(""), name); err != nil {
				return nil, err
			}
			return wrapperspb.String("hello, " + name.Value), nil
		},
	})
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)

	client := ttrpc.NewClient(near, libchan.WithSessions(libchan.WithServices(services)))
	defer client.Close()
	session, err := libchan.Over(client)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	answer := new(wrapperspb.StringValue)
	err = client.Call(context.Background(), "example.Greeter", "Greet", wrapperspb.String(""), answer)
	fmt.Println(answer.Value, err)
	// Output: hello, Ada <nil>
}
