// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

// A side is one of the two that a channel has.
type side uint8

const (
	sending side = iota
	receiving
)

// A place is where a side of a channel is.
type place uint8

const (
	placeHere      place = iota // with whoever has its handle
	placeMoving                 // in a message: one that is encoded, waits or is being received
	placeOffered                // beyond a session, whose peer has announced it; it has no stream yet
	placeAnnounced              // beyond a session, to which we have announced it; the peer has not attached
	placeAttached               // beyond a session, on a stream
	placeOver                   // nowhere: it has ended, and whoever was there has been told
)

// A step is what happens to a side.
type step uint8

const (
	stepGive     step = iota // it is put into a message
	stepKeep                 // the message was not sent, or a field has taken it from one
	stepAnnounce             // its message leaves by a session
	stepRecall               // and was not sent after all
	stepOpen                 // its stream is opened by us
	stepAttach               // and by the peer
	stepEnd
)

// steps is the table of where a side may go. What is not in it does not happen.
var steps = [...][placeOver + 1]place{
	stepGive:     {placeHere: placeMoving},
	stepKeep:     {placeMoving: placeHere},
	stepAnnounce: {placeMoving: placeAnnounced},
	stepRecall:   {placeAnnounced: placeMoving},
	stepOpen:     {placeOffered: placeAttached},
	stepAttach:   {placeAnnounced: placeAttached},
	stepEnd: {
		placeHere: placeOver, placeMoving: placeOver, placeOffered: placeOver,
		placeAnnounced: placeOver, placeAttached: placeOver, placeOver: placeOver,
	},
}

// take returns where a side goes from p, and false if the step is not possible there.
func (p place) take(s step) (place, bool) {
	to := steps[s][p]
	return to, to != placeHere || s == stepKeep && p == placeMoving
}
