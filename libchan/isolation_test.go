// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/memconn"
)

// An isolated is a connection with a session, calls, and channels that nobody reads.
type isolated struct {
	client *ttrpc.Client
	server *ttrpc.Server
	near   *Session
	far    *Session
	out    ContextSender // the channel that is read
	in     ContextReceiver
	unread []ContextSender
	kept   []any // what would be garbage, and so be released
}

// roomFor returns limits of a connection that may hold so many bytes.
func roomFor(n int) ttrpc.Limits { return ttrpc.Limits{Queue: ttrpc.StreamQueue{ConnectionBytes: n}} }

func newIsolated(t testing.TB, a, b net.Conn, limits ttrpc.Limits) *isolated {
	t.Helper()
	fatal := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions(), ttrpc.WithServerLimits(limits))
	fatal(err)
	server.Register("libchan.Doubler", map[string]ttrpc.Method{"Double": func(_ context.Context, unmarshal func(any) error) (any, error) {
		var n wrapperspb.Int64Value
		err := unmarshal(&n)
		return wrapperspb.Int64(2 * n.Value), err
	}})
	begun := make(chan *Session, 1)
	fatal(Register(server, WithHandler(func(s *Session) { begun <- s })))
	go server.ServeConn(ctx, b)
	iso := &isolated{server: server, client: ttrpc.NewClient(a, WithSessions(), ttrpc.WithClientLimits(limits))}
	t.Cleanup(func() {
		iso.client.Close()
		server.Close()
	})
	iso.near, err = Over(iso.client)
	fatal(err)
	iso.far = <-begun
	iso.out, err = iso.near.OpenChannel(ctx, "")
	fatal(err)
	_, iso.in, err = iso.far.Accept(ctx)
	fatal(err)
	return iso
}

// leaveUnread opens n channels, of which each carries a message and then is full. It returns
// once they all are, with a goroutine that waits in each one's Send.
func (iso *isolated) leaveUnread(t testing.TB, n int) {
	t.Helper()
	text := strings.Repeat("x", 1000)
	for range n {
		r, s := pipe(-1)
		var got withEnd
		var first string
		if err := errors.Join(iso.out.Send(withEnd{R: r}), iso.in.Receive(&got), s.Send(text), got.R.Receive(&first)); err != nil {
			t.Fatal(err)
		}
		iso.unread, iso.kept = append(iso.unread, s), append(iso.kept, got.R)
		for s.SendContext(tried, text) == nil {
		}
		go func() {
			for s.Send(text) == nil {
			}
		}()
	}
}

// messages passes n messages of 64 bytes by the channel that is read.
func (iso *isolated) messages(n int) error {
	text := strings.Repeat("y", 64)
	sent := make(chan error, 1)
	go func() {
		for range n {
			if err := iso.out.Send(text); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for range n {
		var got string
		if err := iso.in.Receive(&got); err != nil || got != text {
			return fmt.Errorf("received %q, %w", got, err)
		}
	}
	return <-sent
}

// calls makes n calls one after the other.
func (iso *isolated) calls(n int) error {
	for i := range n {
		var got wrapperspb.Int64Value
		if err := iso.client.Call(ctx, "libchan.Doubler", "Double", wrapperspb.Int64(int64(i)), &got); err != nil || got.Value != 2*int64(i) {
			return fmt.Errorf("2 times %d is %d, %w", i, got.Value, err)
		}
	}
	return nil
}

// share is how many messages of 1,000 bytes a stream begins with room for: 8 KiB.
const share = 8 << 10 / (1000 + 256)

// L7, review "isolation": 10,000 channels that nobody reads, each full, take nothing from
// another one, nor from calls. These get through while the senders of all of those wait, and a
// new one has its share, as it has beside 100. What that costs in time BenchmarkIsolation tells.
func TestIsolation(t *testing.T) {
	within(t, func(t *testing.T) {
		a, b := memconn.Pipe(0)
		iso := newIsolated(t, a, b, roomFor(256<<20)) // a share for each, and hardly more
		for _, n := range []int{100, manyChannels - 100} {
			iso.leaveUnread(t, n)
			synctest.Wait()
			var before []uint64
			for _, s := range iso.unread {
				before = append(before, s.Sent())
			}
			must(t, iso.messages(1000))
			must(t, iso.calls(300))
			for _, s := range [][2]*Session{{iso.near, iso.far}, {iso.far, iso.near}} {
				if n := ahead(t, s[0], s[1]); n < share {
					t.Errorf("beside %d channels that nobody reads a new one takes %d messages, want %d", len(iso.unread), n, share)
				}
			}
			for i, s := range iso.unread {
				if s.Sent() != before[i] || s.Sent() < 2 {
					t.Fatalf("channel %d, which nobody reads, has sent %d messages, and %d before", i, s.Sent(), before[i])
				}
			}
		}
		runtime.KeepAlive(iso.kept)
	})
}

// ahead returns how many messages a new channel takes that nobody reads.
func ahead(t *testing.T, from, to *Session) (n int) {
	t.Helper()
	s, r := top(t, from, to)
	text := strings.Repeat("z", 1000)
	for s.SendContext(tried, text) == nil {
		n++
	}
	r.Cancel(nil)
	synctest.Wait()
	return n
}
