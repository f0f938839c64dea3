// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// A server that only processes of its own user may call, and that knows which one does.
func ExampleUnixSocketRequireSameUser() {
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser()))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Register("example.Who", map[string]ttrpc.Method{
		"AmI": func(ctx context.Context, _ func(any) error) (any, error) {
			peer, _ := ttrpc.PeerFromContext(ctx)
			return wrapperspb.Int32(peer.AuthInfo.(*unix.Ucred).Pid), nil
		},
	})
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(context.Background(), l)

	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	pid := new(wrapperspb.Int32Value)
	err = client.Call(context.Background(), "example.Who", "AmI", wrapperspb.String(""), pid)
	fmt.Println(int(pid.Value) == os.Getpid(), err)
	peer, err := client.Peer(context.Background())
	fmt.Println(peer.Addr.Network(), err)
	// Output:
	// true <nil>
	// unix <nil>
}
