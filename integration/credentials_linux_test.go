// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

func init() { peers["client as somebody"] = clientAsSomebody }

// A somebody is whom a peer becomes before it connects.
type somebody struct {
	uid, gid int
	groups   []int
}

// connectAs starts a process that becomes that user, connects, and calls Echo. The test is
// skipped where it may not become another user.
func connectAs(t *testing.T, who somebody, address string) *process {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can start processes of other users")
	}
	words := []string{address, strconv.Itoa(who.uid), strconv.Itoa(who.gid)}
	for _, gid := range who.groups {
		words = append(words, strconv.Itoa(gid))
	}
	return startProcess(t, "client as somebody", strings.Join(words, " "))
}

// clientAsSomebody is that process. It says how the call has ended, and waits to be killed.
// It becomes the user itself: another one could not execute the tests' binary.
func clientAsSomebody(args string) {
	words := strings.Fields(args)
	var ids []int
	for _, word := range words[1:] {
		id, err := strconv.Atoi(word)
		if err != nil {
			panic(err)
		}
		ids = append(ids, id)
	}
	if err := errors.Join(syscall.Setgroups(ids[2:]), syscall.Setgid(ids[1]), syscall.Setuid(ids[0])); err != nil {
		panic(err)
	}
	conn, err := net.Dial("unix", words[0])
	if err != nil {
		panic(err)
	}
	client := ttrpc.NewClient(conn, ttrpc.WithExtensions())
	if _, err = streaming.NewStreamingClient(client).Echo(context.Background(), new(streaming.EchoPayload)); err == nil {
		fmt.Println("answered")
	} else {
		fmt.Println(client.Cause())
	}
	io.Copy(io.Discard, os.Stdin)
	select {}
}

// abstractAddress returns an address that every user may connect to.
func abstractAddress(t *testing.T) string {
	return fmt.Sprintf("@ttrpc-%d-%s", os.Getpid(), t.Name())
}

// accepted returns the connection of somebody, who waits for an answer.
func accepted(t *testing.T, who somebody) (net.Conn, *process) {
	t.Helper()
	l := listen(t, abstractAddress(t))
	defer l.Close()
	p := connectAs(t, who, l.Addr().String())
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, p
}

// TestRequire has users and groups knock at every door.
func TestRequire(t *testing.T) {
	many := make([]int, 100) // more than are asked for at first
	for i := range many {
		many[i] = 2000 + i
	}
	orGroup77 := func(p *ttrpc.PeerCredentials) error {
		if ttrpc.RequireRoot()(p) == nil {
			return nil
		}
		return ttrpc.RequireGroup(77)(p)
	}
	doors := map[string]ttrpc.PeerCredentialsFunc{
		"same user":          ttrpc.RequireSameUser(), // root, here
		"root":               ttrpc.RequireRoot(),
		"user 1234":          ttrpc.RequireUser(1234),
		"user 1234 or 1235":  ttrpc.RequireUser(1234, 1235),
		"group 77":           ttrpc.RequireGroup(77),
		"group 2099":         ttrpc.RequireGroup(2099),
		"group 5 or 9":       ttrpc.RequireGroup(5, 9),
		"root or group 77":   orGroup77,
		"group 4294967295":   ttrpc.RequireGroup(4294967295),
		"user 4294967295":    ttrpc.RequireUser(4294967295),
		"everybody with ids": func(*ttrpc.PeerCredentials) error { return nil },
	}
	for name, c := range map[string]struct {
		who  somebody
		open []string
	}{
		"root":                       {somebody{0, 0, nil}, []string{"same user", "root", "root or group 77"}},
		"a user":                     {somebody{1234, 5, nil}, []string{"user 1234", "user 1234 or 1235", "group 5 or 9"}},
		"another one in the group":   {somebody{1235, 77, nil}, []string{"user 1234 or 1235", "group 77", "root or group 77"}},
		"a user also in the group":   {somebody{1236, 6, []int{3, 77, 4}}, []string{"group 77", "root or group 77"}},
		"a user in many groups":      {somebody{1237, 7, many}, []string{"group 2099"}},
		"group root and another uid": {somebody{1238, 0, nil}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			conn, p := accepted(t, c.who)
			for door, check := range doors {
				nc, auth, err := check.Handshake(t.Context(), conn)
				if want := slices.Contains(c.open, door) || door == "everybody with ids"; want != (err == nil) {
					t.Errorf("B157: %s at %s: %v", name, door, err)
				}
				if err != nil {
					if nc != nil || auth != nil || !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), fmt.Sprintf("uid %d, gid %d, pid ", c.who.uid, c.who.gid)) {
						t.Errorf("B157: %s at %s: %v, %v, %v", name, door, nc, auth, err)
					}
					continue
				}
				got := auth.(*ttrpc.PeerCredentials)
				if nc != conn || int(got.UID) != c.who.uid || int(got.GID) != c.who.gid || got.PID != p.cmd.Process.Pid {
					t.Errorf("B156: %s is %v, want %v and pid %d", name, got, c.who, p.cmd.Process.Pid)
				}
				groups, err := got.Groups()
				if err != nil || len(groups) != len(c.who.groups) {
					t.Errorf("B156: %s has the groups %v, %v, want %v", name, groups, err, c.who.groups)
				}
				for _, gid := range groups {
					if !slices.Contains(c.who.groups, int(gid)) {
						t.Errorf("B156: %s has group %d, want %v", name, gid, c.who.groups)
					}
				}
			}
		})
	}
}

// TestRequireEndToEnd: who is let in is answered and known to handlers; who is not is told
// why. The client looks at the server in the same way.
func TestRequireEndToEnd(t *testing.T) {
	who := make(chan any, 1)
	svc := service{echo: func(ctx context.Context, req *streaming.EchoPayload) (*streaming.EchoPayload, error) {
		peer, _ := ttrpc.PeerFromContext(ctx)
		who <- peer.AuthInfo
		return req, nil
	}}
	s := newServer(t, svc, ttrpc.WithServerHandshaker(ttrpc.RequireUser(1234, uint32(os.Geteuid()))),
		ttrpc.WithServerExtensions(), ttrpc.WithServerLogger(newLog()))
	address := startOn(t, context.Background(), listen(t, abstractAddress(t)), s).address
	conn, err := net.Dial("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, conn, ttrpc.WithClientHandshaker(ttrpc.RequireSameUser()))
	if err := <-c.echoing(t.Context()); err != nil {
		t.Errorf("B157: a client of the same user: %v", err)
	}
	if got, ok := (<-who).(*ttrpc.PeerCredentials); !ok || got.PID != os.Getpid() {
		t.Errorf("B156: the handler knows %v", got)
	}
	if peer, err := c.raw.Peer(t.Context()); err != nil || peer.AuthInfo.(*ttrpc.PeerCredentials).PID != os.Getpid() {
		t.Errorf("B156: the client knows %v, %v", peer, err)
	}
	if conn, err = net.Dial("unix", address); err != nil {
		t.Fatal(err)
	}
	c = newClient(t, conn, ttrpc.WithClientHandshaker(ttrpc.RequireUser(uint32(os.Geteuid()+1))))
	if err := <-c.echoing(t.Context()); err != ttrpc.ErrClosed || !errors.Is(c.raw.Cause(), syscall.EPERM) {
		t.Errorf("B157: a server of another user than the client wants: %v, %v", err, c.raw.Cause())
	}

	p := connectAs(t, somebody{1234, 5, nil}, address)
	p.await(t, "answered")
	if got := (<-who).(*ttrpc.PeerCredentials); got.UID != 1234 || got.PID != p.cmd.Process.Pid {
		t.Errorf("B156: the handler knows %v", got)
	}
	p = connectAs(t, somebody{1235, 5, nil}, address)
	p.await(t, fmt.Sprintf("ttrpc: the peer refuses the connection: ttrpc: the peer (uid 1235, gid 5, pid %d) is refused: "+
		"uid 1235 is not one of the required [1234 %d]: operation not permitted", p.cmd.Process.Pid, os.Geteuid()))
}

// TestPIDFD: the descriptor is that of the process, does not leak into others, and tells when
// the process ends, also to who waits for that with the runtime's poller.
func TestPIDFD(t *testing.T) {
	l := listen(t, abstractAddress(t))
	defer l.Close()
	child := startProcess(t, "calling client", l.Addr().String())
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p, err := ttrpc.PeerCredentialsOf(conn)
	if err != nil {
		t.Fatal(err)
	}
	pidfd, err := p.PIDFD()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer pidfd.Close()
	raw, err := pidfd.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	ended := func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n != 0 || err != nil
	}
	if err := raw.Control(func(fd uintptr) {
		info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
		if want := fmt.Sprintf("\nPid:\t%d\n", child.cmd.Process.Pid); err != nil || !strings.Contains(string(info), want) {
			t.Errorf("B159: the descriptor is %q, %v, want %q", info, err, want)
		}
		if flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("B159: children inherit the descriptor: flags %#x, %v", flags, err)
		}
		if ended(fd) {
			t.Error("B159: the process lives, and the descriptor is readable")
		}
	}); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() { waited <- raw.Read(ended) }()
	child.kill()
	if err := <-waited; err != nil {
		t.Errorf("B159: waiting for the end of the process: %v", err)
	}
	// It was waited for, so its number is free. Kernels differ in what they say now; none
	// says that it lives.
	again, err := p.PIDFD()
	if err != nil {
		if !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, unix.EINVAL) {
			t.Errorf("B159: a pidfd after the end: %v", err)
		}
		return
	}
	defer again.Close()
	if raw, err = again.SyscallConn(); err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		if !ended(fd) {
			t.Error("B159: the process has ended, and its new descriptor does not say so")
		}
	}); err != nil {
		t.Error(err)
	}
}
