// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/libchan"
)

// A client made by Dial connects again when its connection is lost. Channels that are opened
// afterwards are of the next connection.
func ExampleRedial() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	names := make(chan string)
	err = libchan.Register(server, libchan.WithHandler(func(s *libchan.Session) {
		for {
			name, _, err := s.Accept(context.Background())
			if err != nil {
				return
			}
			names <- name
		}
	}))
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(context.Background(), l)

	client, err := ttrpc.Dial("tcp:"+l.Addr().String(), libchan.WithSessions())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	transport, err := libchan.Redial(client)
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"first", "second"} {
		if _, err := transport.OpenChannel(context.Background(), name); err != nil {
			log.Fatal(err)
		}
		fmt.Println(<-names)
		session, err := transport.Session(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		session.Close() // the next channel is of another one
	}
	// Output:
	// first
	// second
}
