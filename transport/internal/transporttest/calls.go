// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package transporttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
	"github.com/containerd/ttrpc/internal/testkit"
)

// Calls makes calls and streams over a transport, in both modes and on many conns.
func Calls(t *testing.T, tr Transport) {
	t.Run("classic", func(t *testing.T) {
		l, dial := tr.Listen(t)
		limits := ttrpc.Limits{MessageSize: 2 << 20}
		Serve(t, l, ttrpc.WithServerLimits(limits))
		conn, err := dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		exercise(t, Connect(t, conn, ttrpc.WithClientLimits(limits)))
	})
	t.Run("extended", func(t *testing.T) {
		l, dial := tr.Listen(t)
		limits := ttrpc.Limits{MessageSize: 2 << 20}
		Serve(t, l, ttrpc.WithServerLimits(limits), ttrpc.WithServerExtensions(), ttrpc.WithExtensionsRequired())
		conn, err := dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		exercise(t, Connect(t, conn, ttrpc.WithClientLimits(limits), ttrpc.WithExtensions()))
	})
	t.Run("many", func(t *testing.T) {
		l, dial := tr.Listen(t)
		Serve(t, l)
		var all sync.WaitGroup
		for i := range 20 {
			conn, err := dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			client := Connect(t, conn)
			all.Go(func() {
				for range 5 {
					Echo(t, client, fmt.Sprint("hello ", i))
				}
			})
		}
		all.Wait()
	})
}

func exercise(t *testing.T, client streaming.StreamingClient) {
	Echo(t, client, "hello")
	Echo(t, client, strings.Repeat("x", 1<<20))
	if err := echoStream(client, 50, strings.Repeat("y", 20_000)); err != nil {
		t.Error(err)
	}
	Echo(t, client, "still there")
}

// echoStream sends without waiting for the answers.
func echoStream(client streaming.StreamingClient, messages uint32, msg string) error {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Hang)
	defer cancel()
	stream, err := client.EchoStream(ctx)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		for i := range messages {
			if err := stream.Send(&streaming.EchoPayload{Seq: i, Msg: msg}); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	for i := range messages {
		if got, err := stream.Recv(); err != nil || got.Seq != i+1 || got.Msg != msg {
			return fmt.Errorf("B96: message %d: seq %d, %d bytes, %v", i, got.GetSeq(), len(got.GetMsg()), errors.Join(err, ctx.Err()))
		}
	}
	if _, err := stream.Recv(); err != io.EOF {
		return fmt.Errorf("B96: after the last message: %v, want EOF", err)
	}
	return <-sent
}
