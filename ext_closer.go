// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"sync"
	"sync/atomic"
	"time"
)

// To close a descriptor takes as long as whoever made it likes: a socket may linger, a
// file system may be the peer's own. So descriptors that peers have sent are closed by a
// few goroutines, and nobody waits for that. A connection has one of them at a time. One
// that it ties up costs the connection, and another takes its place.

const (
	// maxClosers is how many goroutines close descriptors, beside those that are tied up.
	maxClosers = 4

	// maxTied is how many may be tied up until no new connection takes files.
	maxTied = 16

	// closePatience is how long closing may take.
	closePatience = 5 * time.Second

	// closesInRow is how many descriptors of one connection are closed before those of
	// another.
	closesInRow = 16

	// maxUnclosed is how many descriptors may wait to be closed, beside what a connection
	// may hold: as many as a few messages bring, for a burst is no attack.
	maxUnclosed = 4 * maxFiles
)

// errTiesUp ends a connection whose peer has sent what cannot be closed.
var errTiesUp = &connError{"files that the peer sent take too long to close"}

// errTooManyUnclosed ends one that sends faster than can be closed.
var errTooManyUnclosed = &connError{"the peer sends files faster than they can be closed"}

// A fileAccount is what a connection has of descriptors that its peer has sent.
type fileAccount struct {
	most int         // how many it may have; immutable
	end  func(error) // ends the connection; immutable, nil of descriptors that are our own
	pool *closers    // immutable; nil of those, which the pool has itself

	held    atomic.Int64 // came with messages that nobody has taken
	waiting atomic.Int64 // are to be closed

	// Guarded by the pool's mu.
	dropped []int // of those that wait, but that which is being closed
	queued  bool  // stands in the pool's queue, or has a goroutine
	tied    bool  // has tied up a goroutine: the connection was ended
	ending  bool  // end was called
}

// closers are the goroutines that close descriptors. The zero value is ready to use.
type closers struct {
	patience time.Duration            // closePatience, but in tests
	close    func(fd int, final bool) // closeDescriptor, but in tests

	mu sync.Mutex

	// Guarded by mu.
	queue   []*fileAccount // take turns
	running int            // goroutines that are not tied up
	tied    int            // goroutines that are
	own     fileAccount
}

// closing are those of the process.
var closing closers

// isTiedUp tells whether so many goroutines are tied up that nobody is to send files.
func (p *closers) isTiedUp() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tied >= maxTied
}

// account returns a new account of a connection that may have so many.
func (p *closers) account(most int, end func(error)) *fileAccount {
	return &fileAccount{most: most, end: end, pool: p}
}

// size is how many descriptors the connection has.
func (a *fileAccount) size() int { return int(a.held.Load() + a.waiting.Load()) }

// hasRoom tells whether it may have n more.
func (a *fileAccount) hasRoom(n int) bool { return a.size()+n <= a.most }

// drop has descriptors closed that are in no sum yet. It does not wait, so locks may be held.
func (a *fileAccount) drop(fds []int) {
	if len(fds) > 0 {
		a.pool.drop(a, fds)
	}
}

// dropOwn has descriptors closed that this process has made.
func (p *closers) dropOwn(fds []int) {
	if len(fds) > 0 {
		p.drop(&p.own, fds)
	}
}

func (p *closers) drop(a *fileAccount, fds []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a.dropped = append(a.dropped, fds...)
	if int(a.waiting.Add(int64(len(fds)))) > a.most+maxUnclosed {
		a.endLocked(errTooManyUnclosed)
	}
	if !a.queued {
		p.enqueueLocked(a)
	}
}

// endLocked ends the connection.
func (a *fileAccount) endLocked(why error) {
	if a.end != nil && !a.ending {
		a.ending = true
		go a.end(why) // which takes the connection's lock
	}
}

func (p *closers) enqueueLocked(a *fileAccount) {
	a.queued = true
	p.queue = append(p.queue, a)
	p.startLocked()
}

// startLocked starts a goroutine if there is something to do for it.
func (p *closers) startLocked() {
	if len(p.queue) > 0 && p.running < maxClosers && p.running+p.tied < maxClosers+maxTied {
		p.running++
		go p.run()
	}
}

// run closes descriptors until none wait.
func (p *closers) run() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 {
		a := p.queue[0]
		p.queue = p.queue[1:]
		if late := p.closeSomeLocked(a); late {
			p.tied--
			p.startLocked()
			return
		}
	}
	p.queue = nil
	p.running--
}

// closeSomeLocked closes some of an account's descriptors, for which it lets go of the
// lock. It reports whether that has taken so long that the goroutine counts as tied up.
func (p *closers) closeSomeLocked(a *fileAccount) (late bool) {
	patience := p.patience
	if patience == 0 {
		patience = closePatience
	}
	over := false
	timer := time.AfterFunc(patience, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !over {
			late = true
			p.tiedUpLocked(a)
		}
	})
	again := a.tied // it was before, so it gets no third goroutine
	for n := 0; n < closesInRow && len(a.dropped) > 0 && !late; n++ {
		last := len(a.dropped) - 1
		fd, final := a.dropped[last], a.tied && a.end != nil
		a.dropped = a.dropped[:last]
		p.mu.Unlock()
		if p.close != nil {
			p.close(fd, final)
		} else {
			closeDescriptor(fd, final)
		}
		p.mu.Lock()
		a.waiting.Add(-1)
	}
	over = true
	timer.Stop()
	if late && !again {
		return true // another goroutine has the account
	}
	if a.queued = false; len(a.dropped) > 0 {
		p.enqueueLocked(a)
	} else {
		a.dropped = nil
	}
	return late
}

// tiedUpLocked has another goroutine take the place of one that does not come back, and
// ends the connection which that is for.
func (p *closers) tiedUpLocked(a *fileAccount) {
	p.running--
	p.tied++
	again := a.tied
	a.tied = true
	a.endLocked(errTiesUp)
	if again {
		p.startLocked()
		return
	}
	if a.queued = false; len(a.dropped) > 0 {
		p.enqueueLocked(a)
	}
	p.startLocked()
}
