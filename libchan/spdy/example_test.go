// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/containerd/ttrpc/libchan"
	"github.com/containerd/ttrpc/libchan/spdy"
)

// A Command and its channels, as a peer with docker/libchan v0.1.0 knows them.
type Command struct {
	Args []string
	Exit libchan.Sender // answers go there
}

type Exit struct{ Code int }

// A program that talks to old peers: here it is both of them.
func Example() {
	near, far := net.Pipe() // or what net.Dial returns
	go serve(far)
	peer, err := spdy.NewClient(near)
	if err != nil {
		log.Fatal(err)
	}
	defer peer.Close()

	commands, err := peer.NewSendChannel()
	if err != nil {
		log.Fatal(err)
	}
	codes, exit := libchan.Pipe()
	if err := commands.Send(Command{[]string{"true"}, exit}); err != nil {
		log.Fatal(err)
	}
	var end Exit
	if err := codes.Receive(&end); err != nil {
		log.Fatal(err)
	}
	fmt.Println("exit code", end.Code)
	// Output: exit code 0
}

func serve(conn net.Conn) {
	peer, err := spdy.NewServer(conn, spdy.WithDialect(spdy.Released))
	if err != nil {
		log.Fatal(err)
	}
	commands, err := peer.WaitReceiveChannel()
	if err != nil {
		log.Fatal(err)
	}
	for command, err := range libchan.From[Command](commands).All(context.Background()) {
		if err != nil {
			return // the client has closed the session
		}
		_ = command.Exit.Send(Exit{Code: 0})
	}
}

// A session between this program and an old peer's ends in order by Shutdown.
func ExampleTransport_Shutdown() {
	near, far := net.Pipe()
	old, err := spdy.NewServer(far, spdy.WithLimits(spdy.Limits{Streams: 100}))
	if err != nil {
		log.Fatal(err)
	}
	peer, err := spdy.NewClient(near)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	words, err := peer.OpenChannel(ctx)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		_ = words.SendContext(ctx, "last word")
		_ = words.Close()
		_ = peer.Shutdown(ctx)
	}()
	in, err := old.Accept(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for word, err := range libchan.From[string](in).All(ctx) {
		fmt.Println(word, err)
	}
	<-old.Done()
	fmt.Println(old.Cause())
	// Output:
	// last word <nil>
	// EOF
}
