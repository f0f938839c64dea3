// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// Root and the members of a group may call, and the handler knows who does.
func ExamplePeerCredentialsFunc() {
	root, docker := ttrpc.RequireRoot(), ttrpc.RequireGroup(uint32(os.Getegid()))
	rootOrGroup := ttrpc.PeerCredentialsFunc(func(p *ttrpc.PeerCredentials) error {
		if root(p) == nil {
			return nil
		}
		return docker(p)
	})
	server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(rootOrGroup))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Register("example.Who", map[string]ttrpc.Method{
		"AmI": func(ctx context.Context, _ func(any) error) (any, error) {
			peer, _ := ttrpc.PeerFromContext(ctx)
			return wrapperspb.UInt32(peer.AuthInfo.(*ttrpc.PeerCredentials).UID), nil
		},
	})
	l, err := net.Listen("unix", "@ttrpc-example")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(context.Background(), l)

	conn, err := net.Dial("unix", "@ttrpc-example")
	if err != nil {
		log.Fatal(err)
	}
	client := ttrpc.NewClient(conn, ttrpc.WithClientHandshaker(ttrpc.RequireSameUser())) // as is the server
	defer client.Close()
	uid := new(wrapperspb.UInt32Value)
	err = client.Call(context.Background(), "example.Who", "AmI", wrapperspb.String(""), uid)
	fmt.Println(int(uid.Value) == os.Geteuid(), err)
	// Output: true <nil>
}

// All that the kernel tells of the other end, here this process.
func ExamplePeerCredentialsOf() {
	l, err := net.Listen("unix", "@ttrpc-example-of")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("unix", "@ttrpc-example-of")
	if err != nil {
		log.Fatal(err)
	}
	defer near.Close()
	conn, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	peer, err := ttrpc.PeerCredentialsOf(conn)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(int(peer.UID) == os.Geteuid(), int(peer.GID) == os.Getegid(), peer.PID == os.Getpid())
	own, _ := os.Getgroups()
	groups, err := peer.Groups()
	fmt.Println(len(groups) == len(own), err)
	label, err := peer.Label() // "unconfined", for example
	fmt.Println(label != "" || errors.Is(err, errors.ErrUnsupported))
	fmt.Println(ttrpc.RequireUser(peer.UID)(peer))
	fmt.Println(ttrpc.RequireUser(peer.UID+1)(peer) == nil)
	// Output:
	// true true true
	// true <nil>
	// true
	// <nil>
	// false
}

// A server in a virtual machine that only the host may call. Other connections are refused.
func ExampleRequireCID() {
	const host = 2
	server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(ttrpc.RequireCID(host)))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	near, far := net.Pipe()
	defer near.Close()
	fmt.Println(server.ServeConn(context.Background(), far))
	// Output: ttrpc: handshake: ttrpc: the peer's CID: a vsock connection is required, and this is a *net.pipe with a peer at pipe
}

// Which program is at the other end? It is for logs: a process may have become that program
// after it had connected.
func ExamplePeerCredentials_PIDFD() {
	l, err := net.Listen("unix", "@ttrpc-example-pidfd")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("unix", "@ttrpc-example-pidfd")
	if err != nil {
		log.Fatal(err)
	}
	defer near.Close()
	conn, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	peer, err := ttrpc.PeerCredentialsOf(conn) // in a handler: PeerFromContext's AuthInfo
	if err != nil {
		log.Fatal(err)
	}

	program, err := programOf(peer)
	if errors.Is(err, errors.ErrUnsupported) { // before Linux 6.5
		program, err = os.Executable()
	}
	own, _ := os.Executable()
	fmt.Println(program == own, err)
	// Output: true <nil>
}

// programOf returns the path of the program that the peer runs now.
func programOf(peer *ttrpc.PeerCredentials) (string, error) {
	pidfd, err := peer.PIDFD() // 1: pin the process
	if err != nil {
		return "", err
	}
	defer pidfd.Close()
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", peer.PID)) // 2: read
	if err != nil {
		return "", err
	}
	// 3: check that it is still there. If so, nobody else has had its number meanwhile.
	ended, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}, 0)
	if err != nil {
		return "", err
	}
	if ended != 0 {
		return "", os.ErrProcessDone
	}
	return program, nil
}
