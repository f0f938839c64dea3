// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"os"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// A wireRef is what a message carries in one place. Whoever receives the message gets what is
// said of ids here.
type wireRef struct {
	id       uint64 // of the channel, or of the one that a byte stream is read from
	sends    bool   // of a channel: it is the end that sends
	capacity uint64 // of a channel, see wireOpen
	untaken  uint64 // of one that is sent to and has a capacity: messages that fill that, as reports count
	kind     refKind
	writes   uint64 // the channel that a byte stream is written to
	local    address
	remote   address
}

// wire returns the reference as it stands on the wire. Its ends were announced as the first of
// ids. One that goes as a descriptor has the next of the message's files.
func (r *reference) wire(ids []uint64) wireRef {
	if of := r.thing; of != nil && of.dup != nil {
		return wireRef{kind: of.dupKind}
	}
	w := wireRef{kind: r.kind, local: r.local, remote: r.remote}
	for i, end := range r.ends {
		switch {
		case r.kind != refBytes:
			w.id, w.sends, w.capacity = ids[i], end.side == sending, uint64(end.c.capacity+1)
			w.untaken = end.untaken()
		case end.side == receiving:
			w.id = ids[i]
		default:
			w.writes = ids[i]
		}
	}
	return w
}

func (w *wireRef) append(b []byte) []byte {
	b = appendNumber(b, 1, w.id)
	b = appendFlag(b, 2, w.sends)
	b = appendNumber(b, 3, w.capacity)
	b = appendNumber(b, 4, uint64(w.kind))
	b = appendNumber(b, 5, w.writes)
	b = w.local.append(b, 6)
	b = w.remote.append(b, 7)
	return appendNumber(b, 8, w.untaken)
}

func (a address) append(b []byte, num protowire.Number) []byte {
	if a == (address{}) {
		return b
	}
	return appendField(b, num, appendText(appendText(nil, 1, a.network), 2, a.text))
}

func parseRef(b []byte) (w wireRef, err error) {
	err = fields(b, func(num protowire.Number, value []byte, n uint64) (err error) {
		switch num {
		case 1:
			w.id = n
		case 2:
			w.sends = n != 0
		case 3:
			w.capacity = n
		case 4:
			w.kind = refKind(min(n, 255))
		case 5:
			w.writes = n
		case 6:
			w.local, err = parseAddress(value)
		case 7:
			w.remote, err = parseAddress(value)
		case 8:
			w.untaken = n
		}
		return err
	})
	return w, err
}

func parseAddress(b []byte) (a address, err error) {
	err = fields(b, func(num protowire.Number, value []byte, _ uint64) error {
		switch num {
		case 1:
			a.network = string(value)
		case 2:
			a.text = string(value)
		}
		return nil
	})
	return a, err
}

// offered takes a reference from the wire, whose message has those before it. If it is to a
// descriptor, that is the first of files, which it takes.
func (s *Session) offered(before []wireRef, w *wireRef, files *[]*os.File) (reference, error) {
	r := reference{kind: w.kind, local: w.local, remote: w.remote}
	if err := s.mayOffer(before, w); err != nil {
		return r, status.Error(codes.InvalidArgument, err.Error())
	}
	switch {
	case w.kind.isDescriptor():
		if len(*files) == 0 {
			return r, status.Error(codes.InvalidArgument, "libchan: a message refers to a file that has not come with it")
		}
		r.thing = &thing{value: (*files)[0], reads: true, writes: true, whole: true, owned: true}
		*files = (*files)[1:]
	case w.kind == refBytes:
		if w.id != 0 {
			r.ends = append(r.ends, s.offeredEnd(w.id, receiving, -1, true))
		}
		if w.writes != 0 {
			r.ends = append(r.ends, s.offeredEnd(w.writes, sending, -1, true))
		}
	case w.sends:
		end := s.offeredEnd(w.id, sending, int(w.capacity)-1, false)
		end.c.sent, end.c.before = w.untaken, w.untaken
		r.ends = []ref{end}
	default:
		r.ends = []ref{s.offeredEnd(w.id, receiving, int(w.capacity)-1, false)}
	}
	return r, nil
}

// mayOffer says what is wrong with a reference of the peer's, whose message has those before it.
func (s *Session) mayOffer(before []wireRef, w *wireRef) error {
	ids, least, most := 0, 1, 1
	switch {
	case w.kind > refSocketListener:
		return fmt.Errorf("libchan: a message refers to something of the kind %d, which is not known here", w.kind)
	case w.kind.isDescriptor():
		least, most = 0, 0
	case w.kind == refBytes:
		most = 2
	case w.writes != 0, w.kind == refListener && w.sends:
		return fmt.Errorf("libchan: a message refers to a channel by the id %d, and to write by %d", w.id, w.writes)
	}
	for _, id := range []uint64{w.id, w.writes} {
		if id == 0 {
			continue
		}
		if ids++; s.isOwn(id) {
			return fmt.Errorf("libchan: a message announces a channel with the id %d, which is not the peer's to give", id)
		}
		for i := range before {
			if b := &before[i]; b.id == id || b.writes == id {
				return fmt.Errorf("libchan: a message announces the id %d twice", id)
			}
		}
	}
	switch {
	case ids < least, ids > most:
		return fmt.Errorf("libchan: a message refers to something of the kind %d by %d ids", w.kind, ids)
	case ids == 2 && w.id == w.writes:
		return fmt.Errorf("libchan: a message announces the id %d twice", w.id)
	case w.capacity > maxCapacity, w.kind == refBytes && w.capacity != 0:
		return fmt.Errorf("libchan: a message announces a channel with the id %d and the capacity %d", w.id, w.capacity)
	case w.untaken > 0 && (!w.sends || w.capacity == 0 || w.untaken > max(1, w.capacity-1)):
		return fmt.Errorf("libchan: a message announces a channel with the id %d, the capacity %d and %d messages in it", w.id, w.capacity, w.untaken)
	}
	return nil
}

// untaken returns how many messages count for the capacity of a channel whose sending side was
// announced.
func (r ref) untaken() uint64 {
	r.c.mu.Lock()
	defer r.c.unlockQuietly()
	if r.side == receiving || r.c.capacity < 0 {
		return 0
	}
	return r.c.sent - r.c.sides[sending].far.base
}

// offeredEnd returns the end of a channel that the peer has announced.
func (s *Session) offeredEnd(id uint64, here side, capacity int, chunks bool) ref {
	c := &channel{capacity: capacity, chunks: chunks}
	there := sending
	if here == sending {
		there = receiving
	}
	c.sides[here].place = placeMoving
	c.sides[there] = edge{place: placeOffered, far: &far{s: s, c: c, side: there, id: id}}
	return ref{c, here}
}
