// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import "time"

// On a kernel socket, who reads a connection is not fixed. To wake another
// goroutine for each frame costs more than all the rest of a short call, so where
// calls follow one another closely, nobody is woken: a client's caller reads its
// answer itself (seat_client.go), and a server's reader runs the handler itself, if
// its method is known to be quick (seat_server.go). One goroutine at a time has the
// reader's seat. It may stay vacant, while a handler runs or a client's next call is
// awaited, but not for long: a timer, which runs only in such times, sees to that.

// A seat tells who reads a connection. ARCHITECTURE.md has it as a diagram.
type seat uint8

const (
	seatReader   seat = iota // a goroutine reads, in readLoop
	seatStirred              // the same, and a deadline will wake it: it was set for a waiter, or to begin on a small stack
	seatWaiter               // who waits reads: a client's only caller for its answer, or a stream's receiver
	seatRelieved             // the same, and a deadline wakes it, to leave the seat to a goroutine
	seatVacant               // nobody reads
)

// A seatEvent is what may change who reads.
type seatEvent uint8

const (
	seatWait     seatEvent = iota // who is about to wait may read: a client's unary call begins, or a receiver is back
	seatNeeded                    // a goroutine must read: others may have to wait, or nobody has for long
	seatGivenUp                   // who reads has no use any more for what it waits for
	seatLeave                     // who reads may leave: what it waits for has come, or a handler is to run
	seatReturned                  // that handler has returned, and nobody has had the seat since
	seatWoken                     // who reads was woken by the deadline
	seatHandOver                  // who waits no more goes
	seatQuiet                     // nothing has come for long, and the goroutine that reads has run deep
)

// A seatEffect is what a change of the seat asks for.
type seatEffect uint8

const (
	seatStays  seatEffect = iota // nothing has changed
	seatTaken                    // whose event it was reads from here on
	seatLeft                     // whose event it was reads no more, and the watch must run
	seatFilled                   // a goroutine must begin to read
	seatRoused                   // a deadline must be set, to wake who reads
	seatCalmed                   // that deadline must be taken off
)

type seatMove struct {
	to     seat
	effect seatEffect
}

// seatMoves are the rules of the seat: what is not here changes nothing.
var seatMoves = [seatVacant + 1][seatQuiet + 1]seatMove{
	seatReader: {
		seatLeave: {seatVacant, seatLeft},
		seatQuiet: {seatStirred, seatRoused},
	},
	seatStirred: { // is not left: who sits down next would be woken for nothing
		seatWoken: {seatReader, seatCalmed},
	},
	seatWaiter: {
		seatNeeded:   {seatRelieved, seatRoused},
		seatGivenUp:  {seatRelieved, seatRoused},
		seatLeave:    {seatVacant, seatLeft},
		seatHandOver: {seatReader, seatFilled},
	},
	seatRelieved: {
		seatWoken:    {seatWaiter, seatCalmed},
		seatHandOver: {seatStirred, seatFilled},
	},
	seatVacant: {
		seatWait:     {seatWaiter, seatTaken},
		seatNeeded:   {seatReader, seatFilled},
		seatReturned: {seatReader, seatTaken},
	},
}

// next tells what becomes of the seat, and what is to be done about it.
func (s seat) next(ev seatEvent) (seat, seatEffect) {
	if m := seatMoves[s][ev]; m.effect != seatStays {
		return m.to, m.effect
	}
	return s, seatStays
}

const (
	// busyGap is how far apart calls may be for the seat to be vacated.
	busyGap = time.Millisecond

	// seatPatience is how long the seat may stay vacant, give or take as much
	// again. The watch wakes goroutines whenever it looks, and to get back to
	// where none is woken takes a while, so it should not look often.
	seatPatience = 10 * time.Millisecond
)

// A seating is what a connection knows about who reads it.
type seating struct {
	// Guarded by mu.
	seat     seat          // changes in moveSeatLocked only
	turns    uint64        // counts how often the seat was vacated
	lastCall time.Duration // when a call was the only one, while the watch did not run
	watch    *time.Timer   // made when first needed
	watching bool          // it runs
	clock    time.Duration // while it runs: when it began to, or last looked
	seen     uint64        // turns, when it last looked
	strained bool          // the goroutine that reads has run deep since then

	callerSide
	receiverSide
	handlerSide
}

// moveSeatLocked is the one place where the seat changes. It does what that asks for;
// who reads from here on, or no more, is told.
func (c *conn) moveSeatLocked(ev seatEvent) seatEffect {
	var effect seatEffect
	c.seat, effect = c.seat.next(ev)
	if effect == seatTaken || effect == seatLeft || effect == seatFilled {
		c.receiver = nil
	}
	switch effect {
	case seatLeft:
		c.turns++
		c.startWatchLocked()
	case seatFilled:
		if c.running != nil && ev == seatNeeded { // lest the next call of it be run there, too
			c.running.learn(seatPatience)
		}
		go c.readLoop()
	case seatRoused:
		c.nc.SetReadDeadline(time.Unix(1, 0))
	case seatCalmed:
		c.nc.SetReadDeadline(time.Time{})
	}
	return effect
}

var epoch = time.Now()

// now returns the time on the monotonic clock.
func now() time.Duration { return time.Since(epoch) }

// isBusyLocked tells whether calls follow one another so closely that the seat
// may be vacated.
func (c *conn) isBusyLocked() bool {
	if c.ch.kind != socketConn || c.draining || c.cause != nil || c.lost != nil {
		return false
	}
	if c.watching {
		return true
	}
	last := c.lastCall
	c.lastCall = now()
	return c.lastCall-last < busyGap
}

func (c *conn) startWatchLocked() {
	switch {
	case c.watching:
		return
	case c.watch == nil:
		c.watch = time.AfterFunc(seatPatience, c.watchSeat)
	default:
		c.watch.Reset(seatPatience)
	}
	c.watching, c.clock = true, c.lastCall
}

// clockLocked is now, or up to two of the watch's looks ago: where calls follow one
// another closely even to read the clock would be noticed.
func (c *conn) clockLocked() time.Duration {
	if c.watching {
		return c.clock
	}
	return now()
}

// watchSeat has a goroutine read if the seat was not vacated again since the last
// time. That also relieves a caller who has been reading all the time: when it took
// the seat it did not try to read, so what had come before, such as the peer's end,
// it does not see. Once nothing has come for as long, a goroutine whose stack has grown
// gives the seat to a fresh one.
func (c *conn) watchSeat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	stays, strained := c.turns == c.seen, c.strained
	c.seen, c.strained = c.turns, false
	c.watching = !c.closed && (!stays || strained)
	if c.watching {
		c.clock = now()
		c.watch.Reset(seatPatience)
	}
	if c.closed || !stays {
		return
	}
	if c.seat == seatVacant && c.running != nil {
		c.running.neverHere()
	}
	if c.moveSeatLocked(seatNeeded) == seatStays && !strained {
		c.moveSeatLocked(seatQuiet)
	}
	c.shedLocked()
}

// shedLocked lets go of what comes again when it is needed.
func (c *conn) shedLocked() {
	if !c.watching {
		c.watch = nil
	}
	if len(c.streams) == 0 {
		c.streams = nil
	}
}

// endSeatLocked is called when the connection has ended.
func (c *conn) endSeatLocked() {
	if c.watching {
		c.watch.Stop()
	}
	if c.seat == seatVacant && (c.role == roleClient || c.receiver != nil) { // no reader will find out
		c.ch.ended()
	}
}

// takeWake tells whether it was our deadline that woke the reader, and takes it off.
func (c *conn) takeWake() (relieved, settles bool) {
	c.mu.Lock()
	relieved, settles = c.moveSeatLocked(seatWoken) == seatCalmed, c.settles
	c.settles = false
	if settles && c.ch.kind == socketConn {
		c.nc.SetReadDeadline(time.Time{})
	}
	if !c.woken {
		c.mu.Unlock()
		return relieved, settles
	}
	nc := c.nc
	c.mu.Unlock()
	// A deadline that was set meanwhile for another reason is taken off, too, so that
	// reason counts from now on; or it follows, and wakes the reader for nothing.
	nc.SetReadDeadline(time.Time{})
	c.mu.Lock()
	settles = settles || c.settles
	c.settles = false
	c.mu.Unlock()
	return true, settles
}
