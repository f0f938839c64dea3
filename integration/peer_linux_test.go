// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

func TestPeerCredentials(t *testing.T) {
	peers := make(chan *ttrpc.Peer, 1)
	svc := service{echo: func(ctx context.Context, req *streaming.EchoPayload) (*streaming.EchoPayload, error) {
		peer, _ := ttrpc.PeerFromContext(ctx)
		peers <- peer
		return &streaming.EchoPayload{Seq: req.Seq + 1, Msg: req.Msg}, nil
	}}
	uid, gid := os.Geteuid(), os.Getegid()
	for name, check := range map[string]ttrpc.UnixCredentialsFunc{
		"same user": ttrpc.UnixSocketRequireSameUser(),
		"ids":       ttrpc.UnixSocketRequireUidGid(uid, gid),
		"uid":       ttrpc.UnixSocketRequireUidGid(uid, -1),
		"gid":       ttrpc.UnixSocketRequireUidGid(-1, gid),
		"any":       ttrpc.UnixSocketRequireUidGid(-1, -1),
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, svc, ttrpc.WithServerHandshaker(check)).connect(t)
			c.mustEcho(t, "B33")
			want := unix.Ucred{Pid: int32(os.Getpid()), Uid: uint32(uid), Gid: uint32(gid)}
			if got, ok := (<-peers).AuthInfo.(*unix.Ucred); !ok || *got != want {
				t.Errorf("B30: the peer's credentials are %+v, want %+v", got, want)
			}
		})
	}
}

func TestPeerCredentialsOfOtherProcess(t *testing.T) {
	creds := make(chan *unix.Ucred, 1)
	s := start(t, service{echo: func(ctx context.Context, req *streaming.EchoPayload) (*streaming.EchoPayload, error) {
		peer, _ := ttrpc.PeerFromContext(ctx)
		creds <- peer.AuthInfo.(*unix.Ucred)
		return req, nil
	}}, ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser()))
	p := startProcess(t, "calling client", s.address)
	if got := <-creds; int(got.Pid) != p.cmd.Process.Pid {
		t.Errorf("B30: the peer's pid is %d, want %d", got.Pid, p.cmd.Process.Pid)
	}
}

func TestRefusedCredentials(t *testing.T) {
	uid, gid := os.Geteuid(), os.Getegid()
	for name, check := range map[string]ttrpc.UnixCredentialsFunc{
		"uid": ttrpc.UnixSocketRequireUidGid(uid+1, gid),
		"gid": ttrpc.UnixSocketRequireUidGid(uid, gid+1),
		"own": func(*unix.Ucred) error { return syscall.EPERM },
	} {
		t.Run(name, func(t *testing.T) {
			log := newLog()
			s := start(t, service{}, ttrpc.WithServerHandshaker(check), ttrpc.WithServerLogger(log))
			conn := s.dial(t)
			defer conn.Close()
			if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("B29: reading on a refused connection: %d, %v, want EOF", n, err)
			}
			log.await(t, "error")
			if err := <-s.connect(t).echoing(context.Background()); err != ttrpc.ErrClosed {
				t.Errorf("B29: Echo on a refused connection: %v, want %v", err, ttrpc.ErrClosed)
			}
		})
	}
}

func TestCredentialsOfOtherSockets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, service{}, ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireUidGid(-1, -1)), ttrpc.WithServerLogger(newLog()))
	startOn(t, context.Background(), l, s)
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("B33: reading on a connection that is no unix socket: %d, %v, want EOF", n, err)
	}
}
