// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// openSteppers opens n streams to handlers of their own, as a raw peer.
func (e *extendedEnd) openSteppers(n int) []stepper {
	steps := make([]stepper, n)
	for i := range steps {
		steps[i] = make(stepper)
		name := fmt.Sprint("steps", i)
		e.ts.RegisterService(name, steps[i].service())
		e.peer.send(e.theirs(i), messageTypeRequest, flagRemoteOpen|flagNoData, encode(e.peer.t, &Request{Service: name, Method: "Run"}))
		synctest.Wait()
	}
	return steps
}

// TestReceiveGivenUpOver holds that a receive which is given up after its stream was granted
// more than there is room for holds up no receiver of another stream that stays; that one at
// a time is granted so; and that the message is there later.
func TestReceiveGivenUpOver(t *testing.T) {
	onEitherEndWith(t, peerHello(), creditQueue, 0, func(t *testing.T, e *extendedEnd) {
		const size = 60_000
		steps := e.openSteppers(4)
		took := make([]error, 4)
		receive := func(i int, ctx context.Context) {
			took[i] = io.ErrNoProgress
			steps[i].do(func(_ context.Context, ss StreamServer) error {
				took[i] = ss.RecvMsg(Within(ctx, new(wrapperspb.BytesValue)))
				return nil
			})
		}
		send := func(i int) {
			e.peer.send(e.theirs(i), messageTypeData, 0, encode(t, bytesOfLength(t, size)))
			synctest.Wait()
		}
		for i := range 4 {
			e.peer.send(e.theirs(i), messageTypeWant, 0, number(size+messageCharge))
		}
		bounds, giveUp := context.WithCancel(t.Context())
		receive(0, bounds)
		e.peer.want("B48", e.theirs(0), messageTypeCredit, flagAsked, number(size+messageCharge-1024))
		giveUp()
		synctest.Wait()
		if !errors.Is(took[0], context.Canceled) {
			t.Errorf("B71: %v", took[0])
		}
		send(0) // and nobody takes it
		receive(1, ended())
		e.peer.wantNothing("B48: one at a time of those that may have gone")
		receive(2, context.Background())
		e.peer.want("B48: one that stays", e.theirs(2), messageTypeCredit, flagAsked, number(size+messageCharge-1024))
		receive(3, context.Background())
		e.peer.wantNothing("B48: one at a time of those that stay")
		receive(1, context.Background())
		e.peer.wantNothing("B48: it stays now, behind the one that did before")
		if snap := e.conn.snapshot(); snap.Waiting != 2 {
			t.Errorf("B48: %d streams wait, want 2", snap.Waiting)
		}
		heldAtMost(t, "B48", e.conn)
		for _, i := range []int{2, 3, 1} {
			if send(i); took[i] != nil {
				t.Errorf("B48: the message of stream %d: %v", i, took[i])
			}
			for j, gets := range map[int]bool{3: i == 2, 1: i == 3} {
				if is := extendedCredit(e, j) >= size; is != gets && took[j] == io.ErrNoProgress {
					t.Errorf("B48: after the turn of stream %d, is it that of %d: %v", i, j, is)
				}
			}
		}
		e.peer.takeCredit(0)
		if receive(0, ended()); took[0] != nil {
			t.Errorf("B71: the message that came after the receive was given up: %v", took[0])
		}
		e.conn.mu.Lock()
		if x := extOf(e.conn); x.loose.over != nil || x.wishes.over != nil || x.loose.line.Len()+x.wishes.line.Len() != 0 {
			t.Errorf("B48: all was taken, and %v and %v have a turn", x.loose.over, x.wishes.over)
		}
		e.conn.mu.Unlock()
		e.endSteppers(steps)
	})
}

// extendedCredit is how much the peer may send on a stream that it has opened.
func extendedCredit(e *extendedEnd, i int) int64 {
	e.conn.mu.Lock()
	defer e.conn.mu.Unlock()
	return flowOf(e.conn.streams[e.theirs(i)]).recv.room
}

// endSteppers gives up the streams of openSteppers.
func (e *extendedEnd) endSteppers(steps []stepper) {
	for i := range steps {
		e.peer.send(e.theirs(i), messageTypeCancel, 0, nil)
	}
	synctest.Wait()
	for i := range steps {
		steps[i].end()
	}
	e.peer.takeCredit(0)
}

// TestPolls holds that who only tries to receive gets each message, however long, after a
// few tries, at either end.
func TestPolls(t *testing.T) {
	for _, size := range []int{100, 2000, 3000, 10_000, 100_000, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			queue := StreamQueue{ConnectionBytes: 64 << 10}
			p := newBubblePair(t, []ServerOpt{WithServerLimits(Limits{Queue: queue})}, WithClientLimits(Limits{Queue: queue}))
			defer p.client.Close()
			poll := func(s interface{ RecvMsg(any) error }) error {
				m := new(wrapperspb.BytesValue)
				for range 4 {
					time.Sleep(time.Second) // until all that can has happened
					if err := s.RecvMsg(Within(ended(), m)); !errors.Is(err, context.Canceled) {
						return err
					}
				}
				return io.ErrNoProgress
			}
			m := wrapperspb.Bytes(make([]byte, size))
			handled := make(chan error, 1)
			p.server.RegisterService("polls", &ServiceDesc{Streams: map[string]Stream{"Poll": {StreamingClient: true, StreamingServer: true,
				Handler: func(ctx context.Context, ss StreamServer) (any, error) {
					for range 3 {
						if err := ss.SendMsg(m); err != nil {
							return nil, err
						}
					}
					for range 3 {
						if err := poll(ss); err != nil {
							handled <- err
							return nil, err
						}
					}
					handled <- nil
					return nil, nil
				}}}})
			s, err := p.client.NewStream(t.Context(), bidi, "polls", "Poll", nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				if err := poll(s); err != nil {
					t.Fatalf("B71: message %d of %d bytes: %v", i, size, err)
				}
			}
			go func() {
				for range 3 {
					if err := s.SendMsg(m); err != nil {
						t.Error(err)
					}
				}
			}()
			if err := <-handled; err != nil {
				t.Errorf("B71: a handler that polls for %d bytes: %v", size, err)
			}
		})
	}
}

// TestWantTakenBack holds that what follows on a stream after a message that has asked for
// credit, and was given up, leaves while it fits; that the peer takes it for a sign that
// nothing need be granted; and that what it has granted meanwhile goes back.
func TestWantTakenBack(t *testing.T) {
	h := peerHello()
	h.Window = 1000
	onEitherEndWith(t, h, StreamQueue{}, 0, func(t *testing.T, e *extendedEnd) {
		s := open(t, t.Context(), e.client, bidi, nil)
		id := e.ours(0)
		e.peer.next("B48")
		if err := s.SendMsg(Within(ended(), bytesOfLength(t, 50_000))); !errors.Is(err, context.Canceled) {
			t.Errorf("B71: %v", err)
		}
		e.peer.want("B48", id, messageTypeWant, 0, number(50_256))
		if err := s.SendMsg(Within(ended(), bytesOfLength(t, 600))); err != nil {
			t.Errorf("B71: a message that fits, after one that was given up: %v", err)
		}
		e.peer.wantFrames("B48", headerOf(600, id, messageTypeData, 0))
		e.peer.send(id, messageTypeCredit, flagAsked, number(49_256)) // before that has come
		e.peer.want("B48: what is of no use goes back", id, messageTypeReturn, 0, number(49_256-856))
		if err := s.SendMsg(Within(ended(), bytesOfLength(t, 50_000))); !errors.Is(err, context.Canceled) {
			t.Errorf("B71: %v", err)
		}
		e.peer.want("B48: it asks again", id, messageTypeWant, 0, number(50_256))
		e.peer.respond(id, nil, nil)
	})
	onEitherEndWith(t, peerHello(), creditQueue, 0, func(t *testing.T, e *extendedEnd) {
		steps := e.openSteppers(2)
		for i := range 2 {
			e.peer.send(e.theirs(i), messageTypeWant, 0, number(60_256))
		}
		took := make(chan error, 9)
		receive := func(i int) {
			steps[i].do(func(_ context.Context, ss StreamServer) error {
				took <- ss.RecvMsg(new(wrapperspb.BytesValue))
				return nil
			})
		}
		receive(0)
		e.peer.want("B48", e.theirs(0), messageTypeCredit, flagAsked, number(60_256-1024))
		receive(1)
		e.peer.send(e.theirs(1), messageTypePart, flagStream, make([]byte, 10)) // of one that fits
		synctest.Wait()
		if snap := e.conn.snapshot(); snap.Waiting != 0 {
			t.Error("B48: a stream of whose message a part has come waits for its turn")
		}
		e.peer.send(e.theirs(1), messageTypePart, flagReset, nil)
		e.peer.send(e.theirs(1), messageTypeWant, 0, number(60_256))
		e.peer.send(e.theirs(1), messageTypeData, 0, nil)
		if err := <-took; err != nil {
			t.Error(err)
		}
		e.peer.takeCredit(0)
		if snap := e.conn.snapshot(); snap.Waiting != 0 {
			t.Errorf("B48: a stream whose message has come waits for its turn")
		}
		receive(1)
		e.peer.send(e.theirs(0), messageTypeReturn, 0, number(60_256-1024))
		e.peer.wantNothing("B48: nothing is asked for any more")
		e.endSteppers(steps)
	})
}
