// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

func withoutVolumes(s StreamSnapshot) StreamSnapshot {
	s.Start, s.Deadline, s.Sent, s.Received = time.Time{}, time.Time{}, Volume{}, Volume{}
	return s
}

// TestSnapshotStreams holds what a snapshot tells of streams beyond their state (B55).
func TestSnapshotStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBubblePair(t, nil)
		defer p.client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		deadline, _ := ctx.Deadline()
		go p.client.Call(ctx, "test", "Block", wrapperspb.String(""), new(wrapperspb.StringValue))
		synctest.Wait()
		time.Sleep(time.Second)
		s, err := p.client.NewStream(t.Context(), bidi, "test", "Echoes", nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := s.SendMsg(wrapperspb.Bytes(make([]byte, 100))); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		size := proto.Size(wrapperspb.Bytes(make([]byte, 100)))
		made, served := p.client.Snapshot(), p.server.Snapshot()[0]
		for side, snap := range map[string]ConnSnapshot{"client": made, "server": served} {
			if len(snap.Streams) != 2 {
				t.Fatalf("B55: %s: %+v", side, snap)
			}
			call, stream := snap.Streams[0], snap.Streams[1]
			if d := stream.Start.Sub(call.Start); d != time.Second || !stream.Deadline.IsZero() || !call.Deadline.Equal(deadline) {
				t.Errorf("B55: %s: %v apart, deadlines %v and %v, want %v", side, d, call.Deadline, stream.Deadline, deadline)
			}
			out, in := stream.Sent, stream.Received
			if side == "server" {
				out, in = in, out
			}
			if request := 14; in != (Volume{3, 3 * size}) || out != (Volume{3, 3*size + request}) {
				t.Errorf("B55: %s: sent %+v, received %+v, of %d bytes each", side, out, in, size)
			}
		}
		if held := made.Streams[0].Bytes + made.Streams[1].Bytes; made.Received != held || held == 0 {
			t.Errorf("B55: %d bytes are held, and %d on streams", made.Received, held)
		}
	})
}

// TestSnapshotCounts holds that each call is counted once, at both ends (B55).
func TestSnapshotCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBubblePair(t, []ServerOpt{WithServerLimits(Limits{Handlers: 1})})
		defer p.client.Close()
		call := func(ctx context.Context, method string) {
			p.client.Call(ctx, "test", method, wrapperspb.String("x"), new(wrapperspb.StringValue))
		}
		stream := func(ctx context.Context) ClientStream {
			s, err := p.client.NewStream(ctx, bidi, "test", "Echoes", nil)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return s
		}
		want := func(when string, made, served CallCounts) {
			t.Helper()
			synctest.Wait()
			if got := p.client.Snapshot().Made; got != made {
				t.Errorf("B55: %s: the client made %+v, want %+v", when, got, made)
			}
			for _, snap := range p.server.Snapshot() {
				if got := snap.Served; got != served {
					t.Errorf("B55: %s: the server served %+v, want %+v", when, got, served)
				}
			}
		}
		ctx := t.Context()
		call(ctx, "Echo")
		call(ctx, "None")
		want("calls", CallCounts{OK: 1, Failed: 1}, CallCounts{OK: 1, Failed: 1})

		short, cancel := context.WithTimeout(ctx, time.Second)
		call(short, "Block")
		cancel()
		synctest.Wait() // for its handler, which is all that may run
		quits, cancel := context.WithCancel(ctx)
		go func() { synctest.Wait(); cancel() }()
		call(quits, "Block")
		want("calls given up", CallCounts{OK: 1, Failed: 1, Deadline: 1, Canceled: 1}, CallCounts{OK: 1, Failed: 1, Deadline: 1, Canceled: 1})

		s := stream(ctx)
		call(ctx, "Echo") // over the cap
		s.CloseSend()
		synctest.Wait()
		quits, cancel = context.WithCancel(ctx)
		stream(quits)
		cancel()
		made := CallCounts{OK: 2, Failed: 2, Deadline: 1, Canceled: 2}
		served := CallCounts{OK: 2, Failed: 1, Deadline: 1, Canceled: 2, Refused: 1}
		want("streams", made, served)

		stream(ctx)
		p.client.Close()
		call(ctx, "Echo")
		made.Failed++
		made.Refused++
		want("the end", made, served)
	})
}

// TestSnapshotOrder holds that connections are told of in the order in which they came.
func TestSnapshotOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBubblePair(t, nil)
		defer p.client.Close()
		const more = 20
		for n := range more {
			a, b := memconn.Pipe(0)
			defer a.Close()
			p.server.accept(t.Context(), b)
			peer := newRawPeer(t, a)
			for i := range uint32(n) {
				peer.request(2*i+1, 0, "Block", nil)
			}
		}
		synctest.Wait()
		all := p.server.Snapshot()
		if len(all) != more+1 {
			t.Fatalf("B55: %d connections", len(all))
		}
		for n, snap := range all[1:] {
			if len(snap.Streams) != n {
				t.Errorf("B55: connection %d has %d calls, want %d", n, len(snap.Streams), n)
			}
		}
	})
}

// TestSnapshotHeld holds what counts as held for a stream: what has arrived, but for what was
// taken, of which the peer is not told yet.
func TestSnapshotHeld(t *testing.T) {
	onExtendedServer(t, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		p.request(3, flagRemoteOpen|flagNoData, "Stall", nil)
		<-ts.contexts
		p.send(3, messageTypeData, 0, make([]byte, 100))
		synctest.Wait()
		before := ts.conn.snapshot().Streams[0].Held
		ts.conn.mu.Lock()
		m := flowOf(ts.conn.streams[3])
		m.owed.Add(40)
		ts.conn.mu.Unlock()
		if got := ts.conn.snapshot().Streams[0].Held; before < 100 || got != before-40 {
			t.Errorf("B55: %d bytes are held, and %d when 40 were taken", before, got)
		}
		m.owed.Add(-40)
		ts.answers <- nil
	})
}
