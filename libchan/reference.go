// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"reflect"
)

// A ref is a channel's side in a message.
type ref struct {
	c    *channel
	side side
}

// claim has the side, which came in a message, be here, and returns the generation of its
// handle.
func (r ref) claim() uint32 {
	r.c.mu.Lock()
	defer r.c.unlock()
	r.c.moveLocked(r.side, stepKeep)
	return r.c.sides[r.side].gen
}

// keep gives the side back to whoever had it: its message was not sent.
func (r ref) keep() {
	r.c.mu.Lock()
	defer r.c.unlock()
	if r.c.moveLocked(r.side, stepKeep) {
		r.c.sides[r.side].gen--
	}
}

// A refKind is what a reference is to.
type refKind uint8

const (
	refChannel        refKind = iota // the end of a channel
	refBytes                         // a byte stream: up to two channels of chunks
	refListener                      // a channel of conns
	refFile                          // what follows comes as a descriptor: a file
	refConn                          // a socket
	refSocketListener                // one that listens
)

// isDescriptor tells whether what there is comes as a descriptor.
func (k refKind) isDescriptor() bool { return k >= refFile && k <= refSocketListener }

// A reference is what stands in a message's table: ends of channels, or a thing that is none,
// which becomes some when the message leaves by a session.
type reference struct {
	kind   refKind
	ends   []ref // of a byte stream what reads, what writes, or both
	thing  *thing
	local  address // of a byte stream or listener
	remote address
}

// An address is that of a connection. It implements [net.Addr].
type address struct{ network, text string }

func (a address) Network() string { return a.network }
func (a address) String() string  { return a.text }

// weight is what the reference counts of what a channel carries unclaimed. Files count more:
// a connection holds fewer of them.
func (r *reference) weight() int {
	if r.kind.isDescriptor() {
		return maxUnclaimed / maxUnclaimedFiles
	}
	return len(r.ends)
}

// end returns the one of a byte stream's ends that is on that side, or nil.
func (r *reference) end(s side) *ref {
	for i := range r.ends {
		if r.ends[i].side == s {
			return &r.ends[i]
		}
	}
	return nil
}

// drop lets go of what is referred to.
func (r *reference) drop() {
	for _, end := range r.ends {
		end.c.abandon(end.side)
	}
	if r.thing != nil {
		r.thing.drop()
	}
}

// keep gives it back to whoever had it.
func (r *reference) keep() {
	for _, end := range r.ends {
		end.keep()
	}
}

// as returns what is referred to as a value of type t, which has it from now on.
func (r *reference) as(t reflect.Type) (reflect.Value, error) {
	switch {
	case r.thing != nil:
		return r.thingAs(t)
	case r.kind == refBytes:
		return r.bytesAs(t)
	case r.kind == refListener:
		return r.listenerAs(t)
	default:
		return r.channelAs(t)
	}
}

// channelAs is as of a channel's end.
func (r *reference) channelAs(t reflect.Type) (reflect.Value, error) {
	end := r.ends[0]
	if t.Kind() == reflect.Struct {
		typed := reflect.New(t)
		a, ok := typed.Interface().(adopter)
		if !ok {
			return reflect.Value{}, r.unfit(t)
		}
		return typed.Elem(), a.adopt(end)
	}
	var handle any
	if own := reflect.TypeFor[*sender](); end.side == sending && own.AssignableTo(t) {
		handle = newSender(end.c, end.claim())
	} else if own := reflect.TypeFor[*receiver](); end.side == receiving && own.AssignableTo(t) {
		handle = newReceiver(end.c, end.claim())
	} else {
		return reflect.Value{}, r.unfit(t)
	}
	return reflect.ValueOf(handle), nil
}

// unfit is the error of what is received into a variable of type t that cannot be such.
func (r *reference) unfit(t reflect.Type) error {
	return fmt.Errorf("%s does not fit into %v", r, t)
}

func (r ref) unfit(t reflect.Type) error { return (&reference{ends: []ref{r}}).unfit(t) }

// String says what is referred to.
func (r *reference) String() string {
	switch r.kind {
	case refChannel:
		if r.side() == sending {
			return "a sending end"
		}
		return "a receiving end"
	case refBytes:
		return "a byte stream " + r.does()
	case refListener, refSocketListener:
		return "a listener"
	case refFile:
		return "a file"
	default:
		return "a connection"
	}
}

// side returns which end of a channel there is, or will be.
func (r *reference) side() side {
	if r.thing != nil {
		return r.thing.side
	}
	return r.ends[0].side
}

// does tells what can be done with a byte stream.
func (r *reference) does() string {
	reads, writes := r.end(receiving) != nil, r.end(sending) != nil
	if r.thing != nil {
		reads, writes = r.thing.reads, r.thing.writes
	}
	switch {
	case reads && writes:
		return "to read and write"
	case reads:
		return "to read"
	default:
		return "to write"
	}
}
