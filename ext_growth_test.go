// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// These hold that nothing grows faster than its cause. What has to be left alone is made to
// look as if it were meant, at a place where only somebody would find it who looks at all.

// TestWithdrawnAlone holds that a call or stream that gives up looks at no other frames in
// the queue than its own, in either mode.
func TestWithdrawnAlone(t *testing.T) {
	for name, opens := range map[string]func(ctx context.Context, c *Client) <-chan error{
		"a call": func(ctx context.Context, c *Client) <-chan error {
			return goCall(ctx, c, new(wrapperspb.StringValue))
		},
		"a stream": func(ctx context.Context, c *Client) <-chan error {
			s, err := c.NewStream(ctx, bidi, "test", "Stream", wrapperspb.String("first"))
			if err == nil {
				err = s.SendMsg(wrapperspb.String("second"))
			}
			if err != nil {
				t.Error(err)
			}
			done := make(chan error, 1)
			go func() { done <- s.RecvMsg(new(wrapperspb.StringValue)) }()
			return done
		},
	} {
		test := func(t *testing.T, c *Client, next uint32) {
			ctx, cancel := context.WithCancel(t.Context())
			before := goCall(t.Context(), c, new(wrapperspb.StringValue)) // what is being written
			synctest.Wait()
			done := opens(ctx, c)
			synctest.Wait()
			after := goCall(t.Context(), c, new(wrapperspb.StringValue))
			synctest.Wait()

			cn := connOf(c)
			cn.mu.Lock()
			given, other := cn.streams[next+2], cn.streams[next+4]
			f := other.queued.first
			f.owner = given // who looks at all frames takes it for one of these
			frames := cn.out.count
			cn.mu.Unlock()
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("B47: %s that gives up: %v", name, err)
			}
			cn.mu.Lock()
			f.owner = other
			if other.queued.first != f || cn.out.tail != f || cn.out.count >= frames || given.queued != (siblings{}) {
				t.Errorf("B60: %s that gives up has looked at the frames of others, or has left some of its own: %d of %d are queued", name, cn.out.count, frames)
			}
			cn.mu.Unlock()
			c.Close()
			<-before
			<-after
		}
		t.Run(name, func(t *testing.T) {
			t.Run("extended", func(t *testing.T) {
				onStalledClient(t, 20, peerHello(), func(t *testing.T, c *Client, _ *rawPeer) { test(t, c, 3) })
			})
			t.Run("classic", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a, b := memconn.Pipe(20)
					defer b.Close()
					test(t, NewClient(a), 1)
				})
			})
		})
	}
}

// TestRepeatedGoodbye holds that a goodbye that says nothing new looks at no stream, and one
// that lowers the last id at no more than the ids in between.
func TestRepeatedGoodbye(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		var calls []<-chan error
		for n := range 5 {
			calls = append(calls, goCall(t.Context(), e.client, new(wrapperspb.StringValue)))
			e.peer.wantRequest("B53", e.ours(n), 0)
		}
		e.peer.send(0, messageTypeGoodbye, 0, number(e.ours(3)))
		wantNotExecuted(t, "B53: a call above the last", <-calls[4], "")

		c := connOf(e.client)
		c.mu.Lock()
		hidden := c.streams[e.ours(0)]
		hidden.id = e.ours(4) // who looks at all streams takes it for one that is not served
		c.mu.Unlock()
		e.peer.send(0, messageTypeGoodbye, 0, number(e.ours(3)))
		wantWaiting(t, "B60: a goodbye that says nothing new", calls[0])
		c.mu.Lock()
		hidden.id = e.ours(3)
		c.mu.Unlock()
		e.peer.send(0, messageTypeGoodbye, 0, number(e.ours(2)))
		wantNotExecuted(t, "B53: a call above the new last", <-calls[3], "")
		wantWaiting(t, "B60: a goodbye that lowers the last id by one call", calls[0])
		c.mu.Lock()
		hidden.id = e.ours(0)
		c.mu.Unlock()
		e.peer.send(0, messageTypeGoodbye, 0, number(0))
		for _, done := range calls[:3] {
			wantNotExecuted(t, "B53: a call above 0", <-done, "")
		}
	})
}
