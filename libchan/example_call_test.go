// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/libchan"
)

// A request with a return channel that is made for it, and a handler for such requests.
func ExampleCall() {
	near, far := net.Pipe()
	go serveUpper(far)
	session, err := libchan.NewClient(near)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	requests, err := session.NewSendChannel()
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	answer, err := libchan.Call[string, string](ctx, requests, "hello")
	fmt.Println(answer, err)
	_, err = libchan.Call[string, string](ctx, requests, "")
	fmt.Println(status.Code(err), err)
	// Output:
	// HELLO <nil>
	// InvalidArgument nothing to shout
}

func serveUpper(conn net.Conn) {
	session, err := libchan.NewServer(conn)
	if err != nil {
		log.Fatal(err)
	}
	requests, err := session.WaitReceiveChannel()
	if err != nil {
		log.Fatal(err)
	}
	// Serve runs until the channel or the session ends.
	_ = libchan.Serve(context.Background(), requests, func(_ context.Context, text string) (string, error) {
		if text == "" {
			return "", status.Error(codes.InvalidArgument, "nothing to shout")
		}
		return strings.ToUpper(text), nil
	})
}
