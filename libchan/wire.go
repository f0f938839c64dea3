// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"errors"
	"fmt"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// What stands on the wire. PROTOCOL.md has these messages as a .proto file. Fields that are
// zero are left out, and unknown ones are skipped.

const (
	serviceName = "libchan.v1.Session"
	wireVersion = 1

	// maxFirst is how large a first message may be that comes with the request which opens
	// a channel's stream.
	maxFirst = 4 << 10

	// maxRefs is how many references a message may have.
	maxRefs = 1000
)

// A wireHello is what either side says of itself when a session begins.
type wireHello struct {
	version uint64
	session uint64 // what the side calls the session
	answers uint64 // what the other side calls it, in the answer
	codec   string // of this side's messages that name none
}

// A wireOpen is the request that opens the stream of a channel.
type wireOpen struct {
	session  uint64 // what the callee calls it
	id       uint64 // of the channel
	attach   bool   // the callee has announced it; else it is a new one, on which the caller sends
	name     string // of a new one
	capacity uint64 // of a new one: 0 is asynchronous, else one more than its capacity
	first    []byte // the first message, if the caller sends
}

// A wireMessage is what travels on the stream of a channel.
type wireMessage struct {
	body  []byte
	codec string // empty: the side's
	refs  []wireRef
	last  bool        // the sender ends with it: nothing comes, and no error
	end   *spb.Status // instead of all else: the sender's error, after which nothing comes
}

// A wireReport is what the receiving side of a channel says of it.
type wireReport struct {
	id    uint64
	taken uint64 // how many messages it has taken
	final bool   // it takes no more
	cause *spb.Status
}

// A wireControl is a message on the control stream.
type wireControl struct {
	hello    *wireHello
	reports  []wireReport
	releases []uint64 // ids that the other side has announced, and that nobody will attach
	accepted uint64   // how many new channels of the other side's were accepted
	draining bool
	idle     *wireIdle // of a side that drains and has no channel
}

// A wireIdle says how many streams of channels a side has opened, and has taken of the
// other's: a side is idle only if nothing is under way to it. What was refused counts on
// neither side, once its opener knows: not all of it was seen by who counts.
type wireIdle struct{ opened, handled uint64 }

var errMalformed = errors.New("libchan: a malformed message of the peer's")

// fields calls f for each field of b.
func fields(b []byte, f func(num protowire.Number, value []byte, n uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		var value []byte
		var number uint64
		switch typ {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return errMalformed
		}
		if err := f(num, value, number); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func appendNumber(b []byte, num protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), n)
}

func appendFlag(b []byte, num protowire.Number, is bool) []byte {
	if !is {
		return b
	}
	return appendNumber(b, num, 1)
}

// appendField appends a field of bytes, even an empty one.
func appendField[B ~string | ~[]byte](b []byte, num protowire.Number, value B) []byte {
	b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(len(value)))
	return append(b, value...)
}

// appendText is appendField, but for an empty one.
func appendText(b []byte, num protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return appendField(b, num, text)
}

func appendStatus(b []byte, num protowire.Number, st *spb.Status) []byte {
	if st == nil {
		return b
	}
	encoded, err := proto.Marshal(st)
	if err != nil { // text that is not UTF-8, most likely
		encoded, _ = proto.Marshal(&spb.Status{Code: st.Code, Message: "libchan: the error cannot be encoded: " + err.Error()})
	}
	return appendField(b, num, encoded)
}

func parseStatus(b []byte) (*spb.Status, error) {
	st := new(spb.Status)
	if proto.Unmarshal(b, st) != nil {
		return nil, errMalformed
	}
	return st, nil
}

func (h *wireHello) append(b []byte) []byte {
	b = appendNumber(b, 1, h.version)
	b = appendNumber(b, 2, h.session)
	b = appendNumber(b, 3, h.answers)
	return appendText(b, 4, h.codec)
}

func parseHello(b []byte) (*wireHello, error) {
	h := new(wireHello)
	err := fields(b, func(num protowire.Number, value []byte, n uint64) error {
		switch num {
		case 1:
			h.version = n
		case 2:
			h.session = n
		case 3:
			h.answers = n
		case 4:
			h.codec = string(value)
		}
		return nil
	})
	if err == nil && (h.version == 0 || h.session == 0) {
		err = errMalformed
	}
	return h, err
}

func (o *wireOpen) append(b []byte) []byte {
	b = appendNumber(b, 1, o.session)
	b = appendNumber(b, 2, o.id)
	b = appendFlag(b, 3, o.attach)
	b = appendText(b, 4, o.name)
	b = appendNumber(b, 5, o.capacity)
	if o.first != nil {
		b = appendField(b, 6, o.first)
	}
	return b
}

func parseOpen(b []byte) (*wireOpen, error) {
	o := new(wireOpen)
	err := fields(b, func(num protowire.Number, value []byte, n uint64) error {
		switch num {
		case 1:
			o.session = n
		case 2:
			o.id = n
		case 3:
			o.attach = n != 0
		case 4:
			o.name = string(value)
		case 5:
			o.capacity = n
		case 6:
			o.first = append([]byte{}, value...)
		}
		return nil
	})
	if err == nil && len(o.first) > maxFirst {
		err = fmt.Errorf("%w: a first message of %d bytes, and %d are the most", errMalformed, len(o.first), maxFirst)
	}
	return o, err
}

// appendBeside appends what a message has beside its body.
func (m *wireMessage) appendBeside(b []byte) []byte {
	b = appendText(b, 2, m.codec)
	for i := range m.refs {
		b = appendField(b, 3, m.refs[i].append(make([]byte, 0, 24)))
	}
	return appendFlag(appendStatus(b, 4, m.end), 5, m.last)
}

// headroom is what is left free before a body, for the tag and the length of its field.
const headroom = 1 + 5

// withBodyTag returns the field of a body, which stands in b after the headroom.
func withBodyTag(b []byte) []byte {
	n := len(b) - headroom
	start := headroom - 1 - protowire.SizeVarint(uint64(n))
	front := protowire.AppendTag(b[start:start], 1, protowire.BytesType)
	protowire.AppendVarint(front, uint64(n))
	return b[start:]
}

// parseMessage does not copy the body.
func parseMessage(b []byte) (m wireMessage, err error) {
	err = fields(b, func(num protowire.Number, value []byte, n uint64) (err error) {
		switch num {
		case 1:
			m.body = value
		case 2:
			m.codec = string(value)
		case 3:
			if len(m.refs) == maxRefs {
				return fmt.Errorf("%w: more than %d references", errMalformed, maxRefs)
			}
			var r wireRef
			r, err = parseRef(value)
			m.refs = append(m.refs, r)
		case 4:
			m.end, err = parseStatus(value)
		case 5:
			m.last = n != 0
		}
		return err
	})
	return m, err
}

func (c *wireControl) append(b []byte) []byte {
	if c.hello != nil {
		b = appendField(b, 1, c.hello.append(nil))
	}
	for i := range c.reports {
		r := &c.reports[i]
		inner := appendNumber(nil, 1, r.id)
		inner = appendNumber(inner, 2, r.taken)
		inner = appendFlag(inner, 3, r.final)
		b = appendField(b, 2, appendStatus(inner, 4, r.cause))
	}
	for _, id := range c.releases {
		b = appendNumber(b, 3, id)
	}
	b = appendNumber(b, 4, c.accepted)
	b = appendFlag(b, 5, c.draining)
	if c.idle != nil {
		b = appendField(b, 6, appendNumber(appendNumber(nil, 1, c.idle.opened), 2, c.idle.handled))
	}
	return b
}

func parseControl(b []byte) (c wireControl, err error) {
	err = fields(b, func(num protowire.Number, value []byte, n uint64) (err error) {
		switch num {
		case 1:
			c.hello, err = parseHello(value)
		case 2:
			var r wireReport
			r, err = parseReport(value)
			c.reports = append(c.reports, r)
		case 3:
			c.releases = append(c.releases, n)
		case 4:
			c.accepted = n
		case 5:
			c.draining = n != 0
		case 6:
			c.idle = new(wireIdle)
			err = fields(value, func(num protowire.Number, _ []byte, n uint64) error {
				switch num {
				case 1:
					c.idle.opened = n
				case 2:
					c.idle.handled = n
				}
				return nil
			})
		}
		return err
	})
	return c, err
}

func parseReport(b []byte) (r wireReport, err error) {
	err = fields(b, func(num protowire.Number, value []byte, n uint64) (err error) {
		switch num {
		case 1:
			r.id = n
		case 2:
			r.taken = n
		case 3:
			r.final = n != 0
		case 4:
			r.cause, err = parseStatus(value)
		}
		return err
	})
	return r, err
}
