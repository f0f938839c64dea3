// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd/ttrpc/internal/testkit"
)

// TestGrowing has the kernel's ways to tell how many groups there are.
func TestGrowing(t *testing.T) {
	for name, c := range map[string]struct {
		sizes []int // what the kernel has, each time that it is asked
		fail  error
		err   error // nil if the last of sizes comes out
	}{
		"none":                  {sizes: []int{0}},
		"as many as are tried":  {sizes: []int{32}},
		"one more":              {sizes: []int{33, 33}},
		"as many as there are":  {sizes: []int{mostGroups, mostGroups}},
		"more than there are":   {sizes: []int{mostGroups + 1}, err: unix.ERANGE},
		"more the second time":  {sizes: []int{40, 41}, err: unix.ERANGE},
		"fewer the second time": {sizes: []int{40, 2}},
		"an old kernel":         {sizes: []int{0}, fail: unix.ENOPROTOOPT, err: unix.ENOPROTOOPT},
	} {
		asked := 0
		groups, err := growing(func(room []uint32) (int, error) {
			n := c.sizes[asked]
			asked++
			for i := range min(n, len(room)) {
				room[i] = uint32(i + 1)
			}
			if c.fail == nil && n > len(room) {
				return n, unix.ERANGE
			}
			return n, c.fail
		})
		if want := c.sizes[len(c.sizes)-1]; err != c.err || asked != len(c.sizes) ||
			err == nil && (len(groups) != want || want > 0 && groups[want-1] != uint32(want)) {
			t.Errorf("B156: %s: %d groups, asked %d times, %v, want %v", name, len(groups), asked, err, c.err)
		}
	}
	if groups, err := growing(func(room []uint32) (int, error) { return len(room) + 1, nil }); err == nil {
		t.Errorf("B156: a kernel that writes more than there is room for: %d groups", len(groups))
	}
}

// TestPeerOptionErrors has what kernels say that have no option, or whose peer has ended.
func TestPeerOptionErrors(t *testing.T) {
	near, _ := testkit.SocketPair(t)
	raw, err := near.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	source := credentialSource{raw}
	for errno, want := range map[unix.Errno]error{
		unix.ENOPROTOOPT: errors.ErrUnsupported,
		unix.ENODATA:     os.ErrProcessDone,
		unix.ESRCH:       os.ErrProcessDone,
		unix.EINVAL:      unix.EINVAL, // one kernel says so of one, another of the other
		unix.EMFILE:      unix.EMFILE,
	} {
		err := source.ask("SO_PEERPIDFD", func(int) error { return pidfdError(errno) })
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "SO_PEERPIDFD") {
			t.Errorf("B156: %v: %v, want %v", errno, err, want)
		}
		if errno == unix.EINVAL && (errors.Is(err, os.ErrProcessDone) || errors.Is(err, errors.ErrUnsupported)) {
			t.Errorf("B156: EINVAL may mean either, and is taken for one: %v", err)
		}
	}
}

// TestCredentialsOfOwnPair reads all that there is of a socket pair, whose ends are this process.
func TestCredentialsOfOwnPair(t *testing.T) {
	near, far := testkit.SocketPair(t)
	p, err := PeerCredentialsOf(near)
	if err != nil {
		t.Fatal(err)
	}
	if p.UID != uint32(os.Geteuid()) || p.GID != uint32(os.Getegid()) || p.PID != os.Getpid() {
		t.Errorf("B156: %v, want uid %d, gid %d, pid %d", p, os.Geteuid(), os.Getegid(), os.Getpid())
	}
	want, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	groups, err := p.Groups()
	if err != nil || len(groups) != len(want) {
		t.Errorf("B156: groups %v, %v, want %v", groups, err, want)
	}
	for _, gid := range groups {
		if !slices.Contains(want, int(gid)) {
			t.Errorf("B156: groups %v, want %v", groups, want)
		}
	}
	wantLabel, err := os.ReadFile("/proc/self/attr/current")
	label, labelErr := p.Label()
	switch want := strings.TrimRight(string(wantLabel), "\x00\n"); {
	case errors.Is(labelErr, errors.ErrUnsupported): // no security module, or one without labels
	case labelErr != nil || err == nil && label != want:
		t.Errorf("B156: the label is %q, %v, want %q", label, labelErr, want)
	}
	near.Close()
	far.Close()
	if _, err := p.Groups(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("B156: groups after the connection's end: %v", err)
	}
	if _, err := p.PIDFD(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("B156: a pidfd after the connection's end: %v", err)
	}
}

// TestCredentialsOfDatagrams: the kernel knows nobody behind a socket of datagrams, and says so
// by a user that root's tools would read as -1.
func TestCredentialsOfDatagrams(t *testing.T) {
	l, err := net.ListenPacket("unixgram", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("unixgram", l.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if p, err := PeerCredentialsOf(conn); err == nil || !strings.Contains(err.Error(), "does not know the peer") {
		t.Errorf("B156: %v, %v", p, err)
	}
	if _, _, err := RequireUser(unknownID).Handshake(t.Context(), conn); err == nil {
		t.Error("B157: nobody in particular may connect")
	}
}
