// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestXucred has the answers of kernels that the tests do not run on.
func TestXucred(t *testing.T) {
	for name, c := range map[string]struct {
		in     xucred
		gid    uint32
		groups []uint32
		err    string
	}{
		"one group":      {in: xucred{uid: 501, count: 1, groups: [16]uint32{20}}, gid: 20, groups: []uint32{20}},
		"three":          {in: xucred{uid: 501, count: 3, groups: [16]uint32{20, 12, 80}}, gid: 20, groups: []uint32{20, 12, 80}},
		"root":           {in: xucred{count: 1}, gid: 0, groups: []uint32{0}},
		"no group":       {in: xucred{uid: 501}, err: "0 groups"},
		"too many":       {in: xucred{uid: 501, count: 17}, err: "17 groups"},
		"less than none": {in: xucred{uid: 501, count: -1}, err: "-1 groups"},
		"of the future":  {in: xucred{version: 1, uid: 501, count: 1}, err: "version 1"},
	} {
		p, groups, err := c.in.credentials()
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || p != nil || groups != nil {
				t.Errorf("B156: %s: %v, %v, %v, want an error with %q", name, p, groups, err, c.err)
			}
			continue
		}
		if err != nil || p.UID != c.in.uid || p.GID != c.gid || p.PID != 0 || !slices.Equal(groups, c.groups) {
			t.Errorf("B156: %s: %v, %v, %v", name, p, groups, err)
		}
	}
}

// TestCredentialsOfNoUnixSocket: what is no unix socket, or no credentials that were read, is an
// error and no panic. It holds on all systems.
func TestCredentialsOfNoUnixSocket(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	for name, conn := range map[string]net.Conn{"nil": nil, "a pipe": near, "TCP": new(net.TCPConn), "a conn never opened": new(net.UnixConn)} {
		if p, err := PeerCredentialsOf(conn); p != nil || err == nil || !strings.HasPrefix(err.Error(), "ttrpc: peer credentials: ") {
			t.Errorf("B156: %s: %v, %v", name, p, err)
		}
		if nc, auth, err := RequireRoot().Handshake(context.Background(), conn); nc != nil || auth != nil || err == nil {
			t.Errorf("B157: %s: %v, %v, %v", name, nc, auth, err)
		}
	}
	made := &PeerCredentials{UID: 5, GID: 6, PID: 7}
	if got, err := made.Groups(); got != nil || err == nil {
		t.Errorf("B156: groups of no socket: %v, %v", got, err)
	}
	if got, err := made.Label(); got != "" || err == nil {
		t.Errorf("B156: the label of no socket: %q, %v", got, err)
	}
	if got, err := made.PIDFD(); got != nil || err == nil {
		t.Errorf("B156: the pidfd of no socket: %v, %v", got, err)
	}
	if err := RequireGroup(8)(made); err == nil {
		t.Errorf("B157: groups that cannot be read are taken for those required")
	}
	if got, want := made.String(), "uid 5, gid 6, pid 7"; got != want {
		t.Errorf("String: %q, want %q", got, want)
	}
	made.PID = 0
	if got, want := made.String(), "uid 5, gid 6"; got != want {
		t.Errorf("String: %q, want %q", got, want)
	}
}

// TestRequireOfNone: an empty list is a closed door.
func TestRequireOfNone(t *testing.T) {
	root := new(PeerCredentials)
	for name, check := range map[string]PeerCredentialsFunc{"user": RequireUser(), "group": RequireGroup()} {
		if err := check(root); err == nil {
			t.Errorf("B157: no %s is required, and root may come", name)
		}
	}
	if err := RequireUser(7, 0)(root); err != nil {
		t.Errorf("B157: root is one of two users: %v", err)
	}
	if err := RequireUser(7)(root); !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "uid 0 is not one of the required [7]") {
		t.Errorf("B157: root is not user 7: %v", err)
	}
}

// A contextAddr is as other packages have them.
type contextAddr struct{ ContextID, Port uint32 }

func (*contextAddr) Network() string { return "vsock" }
func (*contextAddr) String() string  { return "other" }

// An oddAddr says that it is a vsock's, and has not what these have.
type oddAddr struct {
	CID  string
	Port uint32
}

func (oddAddr) Network() string { return "vsock" }
func (oddAddr) String() string  { return "odd" }

// An addrConn is a conn with a peer at an address.
type addrConn struct {
	net.Conn
	addr net.Addr
}

func (c addrConn) RemoteAddr() net.Addr { return c.addr }

func TestRequireCID(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		addr net.Addr
		err  string // empty if 2 and 7 may connect
	}{
		"the host":               {VsockAddr{2, 1023}, ""},
		"another machine":        {VsockAddr{7, 4711}, ""},
		"another package's":      {&contextAddr{7, 1}, ""},
		"not this one":           {VsockAddr{8, 4711}, "(8:4711) is refused: CID 8 is not one of the required [2 7]"},
		"another package's, no":  {&contextAddr{8, 1}, "CID 8 is not"},
		"unknown":                {VsockAddr{}, "a vsock connection is required"},
		"any":                    {VsockAddr{anyCID, 5}, "a vsock connection is required"},
		"no address":             {nil, "a vsock connection is required"},
		"a nil one":              {(*contextAddr)(nil), "a vsock connection is required"},
		"a CID that is none":     {oddAddr{"2", 2}, "a vsock connection is required"},
		"TCP":                    {&net.TCPAddr{Port: 2}, "with a peer at :2"},
		"the monitor's own, not": {&net.UnixAddr{Name: "/v", Net: "unix"}, "with a peer at /v"},
	} {
		conn := addrConn{addr: c.addr}
		nc, auth, err := RequireCID(2, 7).Handshake(ctx, conn)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || nc != nil || auth != nil {
				t.Errorf("B158: %s: %v, %v, want %q", name, auth, err, c.err)
			}
			continue
		}
		if got, ok := auth.(VsockAddr); err != nil || nc != conn || !ok || got.CID != 2 && got.CID != 7 || got.Port == 0 {
			t.Errorf("B158: %s: %v, %v, %v", name, nc, auth, err)
		}
	}
	if _, _, err := RequireCID().Handshake(ctx, addrConn{addr: VsockAddr{2, 5}}); err == nil {
		t.Error("B158: no machine is required, and the host may come")
	}
}
