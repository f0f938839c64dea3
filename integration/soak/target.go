// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// How a generation ends.
const (
	endNone int32 = iota
	endShutdown
	endClose
	endKill
)

// A generation is one server from its start to its end.
type generation struct {
	address  string
	ending   atomic.Int32 // set before the server is told to end
	answered counter      // calls that had to be answered, and were
}

// A link is one connection.
type link struct {
	target  *target
	lane    int
	mode    mode
	gen     *generation
	client  *ttrpc.Client
	closing atomic.Bool  // set before the client closes it
	closes  atomic.Int32 // calls of WithOnClose's function
	users   int          // guarded by target.mu
}

// agreed returns an error if the connection is not in the mode that its client asked for.
func (l *link) agreed() error {
	err := l.mode.agreed(l.client)
	if l.mode.is(err, ttrpc.ErrClosed) && l.mayClose() {
		return nil
	}
	return err
}

// mayClose tells whether the link's calls may end with ErrClosed.
func (l *link) mayClose() bool { return l.closing.Load() || l.gen.ending.Load() != endNone }

// A target is a server as its clients see it: it may be started again, and has
// several lanes, each with a connection that is made anew when it is needed.
type target struct {
	name    string
	modes   modes
	watched *watched

	// orphans says that calls may leave handlers at the server that end with the
	// connection only: classic ttrpc has no word for a caller that has given up.
	orphans bool

	mu      sync.Mutex
	changed sync.Cond
	gen     *generation // nil while there is none
	lanes   []*link     // nil where there is none
	dropped []*link     // have to be closed and looked at
}

func newTarget(name string, lanes int, o *options, orphans bool) *target {
	t := &target{name: name, modes: o.modes, watched: o.watched, orphans: orphans, lanes: make([]*link, lanes)}
	t.changed.L = &t.mu
	return t
}

// acquire returns the link of a lane, for one call. It waits for a server.
func (t *target) acquire(lane int) (*link, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		for t.gen == nil {
			t.changed.Wait()
		}
		if t.lanes[lane] == nil {
			g := t.gen
			if err := t.dialLocked(lane); err != nil {
				if g.ending.Load() == endNone {
					return nil, err
				}
				for t.gen == g {
					t.changed.Wait()
				}
				continue
			}
		}
		l := t.lanes[lane]
		l.users++
		return l, nil
	}
}

func (t *target) dialLocked(lane int) error {
	conn, err := net.Dial("unix", t.gen.address)
	if err != nil {
		return err
	}
	l := &link{target: t, lane: lane, mode: t.modes.of(lane), gen: t.gen}
	opts := append(l.mode.clientOptions(), t.watched.clientOptions()...)
	l.client = ttrpc.NewClient(conn, append(opts, ttrpc.WithOnClose(func() { l.closes.Add(1) }))...)
	t.lanes[lane] = l
	return nil
}

func (t *target) release(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.users--
	t.changed.Broadcast()
}

// drop takes a link out of its lane.
func (t *target) drop(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropLocked(l)
}

func (t *target) dropLocked(l *link) {
	if t.lanes[l.lane] == l {
		t.lanes[l.lane] = nil
		t.dropped = append(t.dropped, l)
	}
}

// closeLane closes a connection, whatever its calls do.
func (t *target) closeLane(lane int) error {
	t.mu.Lock()
	if l := t.lanes[lane]; l != nil {
		t.dropLocked(l)
	}
	t.mu.Unlock()
	return t.reap()
}

// closeAll closes all connections, whatever their calls do.
func (t *target) closeAll() error {
	t.mu.Lock()
	t.dropAllLocked()
	t.mu.Unlock()
	return t.reap()
}

func (t *target) dropAllLocked() {
	for _, l := range t.lanes {
		if l != nil {
			t.dropLocked(l)
		}
	}
}

// finish waits until all calls to a server that has ended have ended as well, by
// themselves, and closes what is left of the connections.
func (t *target) finish() error {
	t.mu.Lock()
	t.gen = nil
	t.dropAllLocked()
	for _, l := range t.dropped {
		t.awaitUsersLocked(l)
	}
	t.mu.Unlock()
	return t.reap()
}

func (t *target) awaitUsersLocked(l *link) {
	for l.users > 0 {
		t.changed.Wait()
	}
}

// reap closes the links that were dropped, and waits until nothing uses them.
func (t *target) reap() error {
	t.mu.Lock()
	dropped := t.dropped
	t.dropped = nil
	t.mu.Unlock()
	for _, l := range dropped {
		l.closing.Store(true)
		if err := l.client.Close(); err != nil {
			return fmt.Errorf("B12: Close: %v", err)
		}
		t.mu.Lock()
		t.awaitUsersLocked(l)
		t.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		err := l.client.UserOnCloseWait(ctx)
		cancel()
		if n := l.closes.Load(); err != nil || n != 1 {
			return fmt.Errorf("B12: %s: WithOnClose's function ran %d times, UserOnCloseWait: %v", t.name, n, err)
		}
	}
	return nil
}

// begin makes a server known.
func (t *target) begin(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gen = &generation{address: address}
	t.changed.Broadcast()
}

// current returns the server's generation.
func (t *target) current() *generation {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.gen
}

// fill makes the connections that are missing, and a call on each, so that the
// server knows them all.
func (t *target) fill() error {
	for lane := range t.lanes {
		l, err := t.acquire(lane)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		err = l.client.Call(context.Background(), serviceName, "Echo", wrapperspb.Bytes(nil), new(wrapperspb.BytesValue))
		t.release(l)
		if err != nil {
			return fmt.Errorf("%s: the first call: %w", t.name, err)
		}
	}
	return nil
}
