// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestClosedSaysWhy holds what calls and streams return after their client was closed, or
// shut down, by its user.
func TestClosedSaysWhy(t *testing.T) {
	end := map[string]func(c *Client){
		"Close":    func(c *Client) { c.Close() },
		"Shutdown": func(c *Client) { c.Shutdown(context.Background()) },
		"Shutdown that waits": func(c *Client) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			c.Shutdown(ctx)
		},
	}
	check := func(t *testing.T, c *Client, why string) {
		t.Helper()
		synctest.Wait()
		want := "ttrpc: closed: " + why
		_, err := c.NewStream(t.Context(), bidi, "test", "Echoes", nil)
		wantTold(t, "B85: NewStream", err, codes.Canceled, want, ErrClosed)
		err = c.Call(t.Context(), "test", "Echo", wrapperspb.String(""), new(wrapperspb.StringValue))
		wantTold(t, "B85: Call", err, codes.Canceled, want, ErrClosed)
	}
	const closed = "this end has closed the connection"
	for how, f := range end {
		why := closed
		if how == "Shutdown that waits" {
			why = "this end is shutting down"
		}
		on := func(t *testing.T, c *Client, p *rawPeer, id uint32) {
			if how == "Shutdown" { // waits for nothing
				f(c)
				check(t, c, why)
				return
			}
			done := goCall(t.Context(), c, new(wrapperspb.StringValue))
			p.wantRequest("B85", id, 0)
			f(c)
			check(t, c, why)
			c.Close()
			wantTold(t, "B85: the call under way", endOf(t, "B85", done), codes.Canceled, "ttrpc: closed: "+closed, ErrClosed)
			check(t, c, closed)
			p.conn.Close()
			synctest.Wait()
			p.mu.Lock()
			p.frames = nil // a goodbye
			p.mu.Unlock()
		}
		t.Run("classic, "+how, func(t *testing.T) {
			onClient(t, func(t *testing.T, c *Client, p *rawPeer) { on(t, c, p, 1) }, WithStatusErrors())
		})
		t.Run("extended, "+how, func(t *testing.T) {
			onExtendedClient(t, peerHello(), func(t *testing.T, c *Client, p *rawPeer) { on(t, c, p, 3) })
		})
		t.Run("Dial, "+how, func(t *testing.T) {
			onDial(t, func(t *testing.T, d *dialTest) {
				d.accept("B54")
				f(d.Client)
				check(t, d.Client, closed)
			})
		})
	}
}

// TestDialEndedContext holds that a call and a stream whose context had ended before say the
// same: why there is no connection, if there is none.
func TestDialEndedContext(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	why := errors.New("nobody listens")
	for _, failFast := range []bool{false, true} {
		for name, fails := range map[string]error{"connected": nil, "not connected": why} {
			t.Run(name, func(t *testing.T) {
				onDialOver(t, 0, fails, func(t *testing.T, d *dialTest) {
					want := "context canceled"
					if fails != nil {
						want += ": no connection: nobody listens"
					}
					check := func() {
						t.Helper()
						synctest.Wait()
						_, err := d.NewStream(ended, bidi, "test", "Bidi", nil)
						wantTold(t, "B85: a stream", err, codes.Canceled, want, context.Canceled)
						err = d.Call(ended, "test", "Method", wrapperspb.String(""), new(wrapperspb.StringValue))
						wantTold(t, "B85: a call", err, codes.Canceled, want, context.Canceled)
					}
					check()
					d.Close()
					want = "context canceled"
					check()
				}, WithDialer(Dialer{FailFast: failFast}))
			})
		}
	}
}
