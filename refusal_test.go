// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// refusing starts a server that refuses everybody, on a unix socket.
func refusing(t *testing.T, opts ...ServerOpt) (dial func() net.Conn) {
	t.Helper()
	refuse := UnixCredentialsFunc(func(*unix.Ucred) error { return errors.New("not you") })
	s, err := NewServer(append(opts, WithServerHandshaker(refuse), WithServerLogger(new(countingLogger)))...)
	if err != nil {
		t.Fatal(err)
	}
	path := shortDir(t) + "/s"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(context.Background(), l)
	t.Cleanup(func() { s.Close() })
	return func() net.Conn {
		nc, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		return nc
	}
}

// TestRefusalIsTold holds that a client whose handshake is refused has the reason as the cause,
// whatever it asks for and whether it has made a call or not.
func TestRefusalIsTold(t *testing.T) {
	dial := refusing(t, WithServerExtensions())
	for name, opts := range map[string][]ClientOpts{"classic": nil, "extended": {WithExtensions()}} {
		for _, calls := range []bool{false, true} {
			c := NewClient(dial(), opts...)
			if calls {
				if err := c.Call(t.Context(), "s", "m", wrapperspb.String(""), new(wrapperspb.StringValue)); err == nil {
					t.Errorf("B83: %s: a call succeeded", name)
				}
			}
			<-c.Done()
			if cause := c.Cause(); cause == nil || !strings.HasPrefix(cause.Error(), refusedPrefix) || !strings.HasSuffix(cause.Error(), "not you") {
				t.Errorf("B83: %s, calls %v: the cause is %v", name, calls, cause)
			}
			c.Close()
		}
	}
}

// TestClassicRefusalIsSilent holds that a server without the extended mode closes what it
// refuses and sends nothing, as the release.
func TestClassicRefusalIsSilent(t *testing.T) {
	nc := refusing(t)()
	defer nc.Close()
	if b, err := io.ReadAll(nc); err != nil || len(b) != 0 {
		t.Errorf("B42: %q, %v", b, err)
	}
}

// TestNoRefusal holds that a status of a handler's is no refusal.
func TestNoRefusal(t *testing.T) {
	for _, data := range [][]byte{nil, bytes.Repeat([]byte{0xff}, 10), {10, 2, 8, 7}, {10, 2, 8, 9}} {
		if err := refusalIn(data); err != nil {
			t.Errorf("B83: %x is a refusal: %v", data, err)
		}
	}
}
