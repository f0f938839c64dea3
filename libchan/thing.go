// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
)

// A thing is what a message carries that is not of this package: a Sender or Receiver, an
// io.Reader or Writer, a file, a connection, a listener. In memory it arrives as it is. If its
// message leaves by a session it goes as a descriptor, where it is one and that is possible;
// else it is lent, see loan.
type thing struct {
	value  any
	side   side // of a channel that it is an end of
	reads  bool // what may be done with it, where it is a byte stream
	writes bool
	whole  bool // and all else: it may go as a descriptor
	owned  bool // it is ours to close: it came as a descriptor, or nobody else has it

	dup     *os.File // what leaves as a descriptor, while that is under way
	dupKind refKind
	loans   []func() // what copies, once the message has left
}

var (
	readerType   = reflect.TypeFor[io.Reader]()
	writerType   = reflect.TypeFor[io.Writer]()
	listenerType = reflect.TypeFor[net.Listener]()
	packetType   = reflect.TypeFor[net.PacketConn]()
	connType     = reflect.TypeFor[net.Conn]()
)

// carriesThing tells whether a value of type t may be a thing.
func carriesThing(t reflect.Type) bool {
	for _, iface := range []reflect.Type{senderType, receiverType, readerType, writerType, listenerType, packetType} {
		if t.Implements(iface) {
			return true
		}
	}
	return false
}

// thingReference returns a reference to what v holds, if that is a thing. The type of v tells
// what it is sent as.
func thingReference(v reflect.Value) (r reference, ok bool) {
	t := v.Type()
	if t.Kind() == reflect.Interface && !carriesThing(t) {
		t = v.Elem().Type()
	}
	x := v.Interface()
	own := false
	if g, isGiven := x.(*given); isGiven {
		x, own = g.Conn, true
	}
	of := &thing{value: x, owned: own}
	r.thing = of
	switch {
	case t.Implements(senderType):
		return r, true
	case t.Implements(receiverType):
		of.side = receiving
		return r, true
	case t.Implements(listenerType):
		r.kind, of.whole = refListener, true
		r.local = addressOf(x.(net.Listener).Addr())
		return r, true
	case t.Implements(readerType), t.Implements(writerType):
		r.kind, of.reads, of.writes = refBytes, t.Implements(readerType), t.Implements(writerType)
		of.whole = t.Kind() != reflect.Interface || t.Implements(connType)
	case t.Implements(packetType):
		r.kind, of.whole = refBytes, true
	default:
		return reference{}, false
	}
	if conn, isConn := x.(net.Conn); isConn {
		r.local, r.remote = addressOf(conn.LocalAddr()), addressOf(conn.RemoteAddr())
	}
	return r, true
}

// addressOf returns what is known of an address.
func addressOf(a net.Addr) address {
	if a == nil || reflect.ValueOf(a).Kind() == reflect.Pointer && reflect.ValueOf(a).IsNil() {
		return address{}
	}
	return address{a.Network(), a.String()}
}

// drop closes the thing if it is ours. Nobody waits for that.
func (of *thing) drop() {
	if c, ok := of.value.(io.Closer); ok && of.owned {
		go c.Close()
	}
}

// thingAs is as of a thing: itself if that fits, else what a session would make of it.
func (r *reference) thingAs(t reflect.Type) (reflect.Value, error) {
	if r.kind.isDescriptor() {
		if err := r.unpack(t); err != nil {
			return reflect.Value{}, err
		}
	}
	of := r.thing
	fits := reflect.TypeOf(of.value).AssignableTo(t)
	if r.kind == refBytes && t.Kind() == reflect.Interface {
		fits = fits && (of.reads || !t.Implements(readerType)) && (of.writes || !t.Implements(writerType))
	}
	if fits {
		return reflect.ValueOf(of.value), nil
	}
	if t.Kind() == reflect.Struct && r.kind == refChannel {
		return r.lentAs(t)
	}
	if r.kind == refBytes && (streamType.AssignableTo(t) || t == fileType) {
		return r.lentAs(t)
	}
	return reflect.Value{}, r.unfit(t)
}

// lentAs is thingAs by way of a loan.
func (r *reference) lentAs(t reflect.Type) (reflect.Value, error) {
	lent := *r
	of := *r.thing
	lent.thing = &of
	if err := lent.lend(); err != nil {
		return reflect.Value{}, fmt.Errorf("%s does not fit into %v: %w", r, t, err)
	}
	lent.thing = nil
	v, err := lent.as(t)
	if err != nil {
		lent.drop()
		return v, err
	}
	of.start()
	return v, nil
}

// A given is a connection that the receiver gets alone: it is closed once it has left as a
// descriptor, or its loan is over.
type given struct{ net.Conn }
