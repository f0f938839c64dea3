// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux && go1.25

package ttrpc

import (
	"context"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestGrantsRide holds that what a receiver grants while the seat is vacant for it waits for
// what it sends, and leaves with that in one write; or when it receives again, or its stream
// ends.
func TestGrantsRide(t *testing.T) {
	for name, end := range map[string]func(s *clientStream, cancel func()){
		"sends":    func(s *clientStream, _ func()) { s.SendMsg(wrapperspb.Int64(1)) },
		"receives": func(s *clientStream, _ func()) { goReceive(s.RecvMsg) },
		"ends":     func(_ *clientStream, cancel func()) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			srv, err := NewServer(WithServerExtensions())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { srv.Close() })
			srv.RegisterService("bench", benchStreams(wrapperspb.String("")))
			c := benchClient(t, srv, "unix", WithExtensions())
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			cs, err := c.NewStream(ctx, &StreamDesc{true, true}, "bench", "Both", nil)
			if err != nil {
				t.Fatal(err)
			}
			holdWatch(connOf(c))
			s, conn := cs.(*clientStream), connOf(c)
			done := goReceive(s.RecvMsg)
			awaitReceiver(t, "a receiver", &s.stream)
			if err := s.SendMsg(wrapperspb.Int64(1)); err != nil {
				t.Fatal(err)
			}
			wantNumber(t, "the first message", done, 1)
			x := extOf(conn)
			conn.mu.Lock()
			if !conn.awaitsReceiverLocked() {
				t.Error("the seat is not vacant for the receiver")
			}
			x.grantLocked(&s.stream, 1)
			held, waits := conn.held, x.grantsWaitLocked()
			conn.out.push(newOutFrame(0))
			_, batch, _ := x.nextLocked()
			conn.mu.Unlock()
			if held != 1 || !waits {
				t.Errorf("a grant is not held: %d", held)
			}
			if batch.count != 2 {
				t.Errorf("%d frames leave in a write, want the grant and what was queued", batch.count)
			}
			conn.mu.Lock()
			flowOf(&s.stream).granted++
			flowOf(&s.stream).telling = x.granting.PushBack(&s.stream)
			conn.mu.Unlock()
			end(s, cancel)
			await(t, name, func() bool {
				conn.mu.Lock()
				defer conn.mu.Unlock()
				return !x.grantsWaitLocked() && !conn.writing && conn.held == 0
			})
		})
	}
}
