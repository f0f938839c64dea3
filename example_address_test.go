// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/ttrpc"
)

// A tool takes an address from its user, whatever leads to the server.
func ExampleDialAddress() {
	path, stop := serve()
	defer stop()
	conn, err := ttrpc.DialAddress(context.Background(), "unix:"+path)
	check(err)
	client := ttrpc.NewClient(conn)
	defer client.Close()
	fmt.Println(client.Cause())

	_, err = ttrpc.DialAddress(context.Background(), "localhost:50051")
	fmt.Println(strings.Split(err.Error(), ", ")[0]) // and so on
	// Output:
	// <nil>
	// ttrpc: address "localhost:50051": unknown scheme "localhost": an address begins with unix:
}

func ExampleListenAddress() {
	l, err := ttrpc.ListenAddress(context.Background(), "tcp:127.0.0.1:0")
	check(err)
	defer l.Close()
	fmt.Println(l.Addr().Network())
	// Output: tcp
}

// A program says at its start what is wrong with an address of its configuration.
func ExampleParseAddress() {
	fmt.Println(ttrpc.ParseAddress("ttrpc+unix:///run/service.sock"))
	fmt.Println(ttrpc.ParseAddress("vsock://host:1024"))

	_, _, err := ttrpc.ParseAddress("unix:")
	fmt.Println(err)
	// Output:
	// unix /run/service.sock <nil>
	// vsock 2:1024 <nil>
	// ttrpc: address "unix:": there is no path
}

// A scheme is registered once in a program.
func init() {
	ttrpc.RegisterScheme("sandbox", func(ctx context.Context, name string) (net.Conn, error) {
		return ttrpc.DialAddress(ctx, "unix:"+filepath.Join(os.TempDir(), name, "agent.sock"))
	})
}

// A scheme of one's own has been registered in an init function, with
//
//	ttrpc.RegisterScheme("sandbox", func(ctx context.Context, name string) (net.Conn, error) {
//		return ttrpc.DialAddress(ctx, "unix:"+filepath.Join(os.TempDir(), name, "agent.sock"))
//	})
func ExampleRegisterScheme() {
	client, err := ttrpc.Dial("sandbox:one")
	check(err)
	defer client.Close()
	fmt.Println(client.Cause()) // Dial connects in the background
	// Output: <nil>
}
