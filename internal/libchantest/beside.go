// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchantest

import (
	"context"
	"net"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/libchan"
)

const doubler = "libchantest.Doubler"

// Beside makes calls on the connection of a session, while its channels are in use. The conns
// are those of Over.
func Beside(t *testing.T, conns func(t *testing.T) (client, server net.Conn)) {
	testkit.Within(t, "L10: calls beside a session", func() {
		conn, served := conns(t)
		begun := make(chan *libchan.Session, 1)
		server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
		if err != nil {
			t.Fatal(err)
		}
		if err := libchan.Register(server, libchan.WithHandler(func(s *libchan.Session) { begun <- s })); err != nil {
			t.Fatal(err)
		}
		server.Register(doubler, map[string]ttrpc.Method{"Double": double})
		serving := testkit.WaitFor(func() { _ = server.ServeConn(ctx, served) })
		client := ttrpc.NewClient(conn, libchan.WithSessions())
		defer func() {
			_ = client.Close()
			_ = server.Close()
			<-serving
		}()
		call(t, client, 1)
		s, err := libchan.Over(client)
		if err != nil {
			t.Fatal(err)
		}
		besideCalls(&kit{T: t, codec: libchan.Msgpack, a: s, b: <-begun}, client)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		call(t, client, 2)
	})
}

// besideCalls mixes messages and calls.
func besideCalls(k *kit, client *ttrpc.Client) {
	out, in := k.top()
	back, home := k.topOf(k.b, k.a)
	for i := range 50 {
		k.send(out, i)
		call(k.T, client, int64(i))
		k.expect(in, i, 0)
		k.send(back, i)
		k.expect(home, i, 0)
	}
}

func double(_ context.Context, unmarshal func(any) error) (any, error) {
	var n wrapperspb.Int64Value
	if err := unmarshal(&n); err != nil {
		return nil, err
	}
	return wrapperspb.Int64(2 * n.Value), nil
}

func call(t *testing.T, client *ttrpc.Client, n int64) {
	t.Helper()
	var got wrapperspb.Int64Value
	if err := client.Call(ctx, doubler, "Double", wrapperspb.Int64(n), &got); err != nil || got.Value != 2*n {
		t.Fatalf("a call beside a session: %d, %v; want %d", got.Value, err, 2*n)
	}
}
