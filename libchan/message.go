// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"errors"
	"os"
	"slices"
)

// A message is one in its encoding, with what it carries beside that.
type message struct {
	codec    string // of body
	buf      []byte // body with room before it, or nil
	body     []byte
	closes   bool // the sender ends with it
	chunk    bool // of a byte stream: it is the body and nothing else
	borrowed bool // body is the sender's, who goes on when the message is queued or has left
	refs     []reference
	raw      *Raw // whose refs they are, or nil

	// While it is encoded or decoded, see sentRefs and receivedRefs.
	carrier *channel
	failed  error  // why something could not be put into refs
	taken   []bool // which of refs a field has taken

	// While the message leaves by a session.
	ids   []uint64 // what the ends of refs were announced as
	files []*os.File
}

// messageWeight is about what a message in a queue costs beside its body.
const messageWeight = 128

// size is what the message counts in a queue.
func (m *message) size() int { return len(m.body) + messageWeight + 256*len(m.refs) }

// weight is what the message counts of what a channel carries unclaimed.
func (m *message) weight() (n int) {
	for i := range m.refs {
		n += m.refs[i].weight()
	}
	return n
}

// ends ranges over the ends of channels that the message carries.
func (m *message) ends(yield func(ref) bool) {
	for i := range m.refs {
		for _, end := range m.refs[i].ends {
			if !yield(end) {
				return
			}
		}
	}
}

// drop lets go of what the message carries.
func (m *message) drop() {
	for i := range m.refs {
		m.refs[i].drop()
	}
	m.refs = nil
}

// payload returns the message as it stands on the wire of a session, see wireMessage. What
// it carries has been announced there.
func (m *message) payload(s *Session) []byte {
	if m.chunk {
		return m.body
	}
	beside := wireMessage{codec: m.codec, last: m.closes}
	if m.codec == s.opts.codec.Name() {
		beside.codec = ""
	}
	ids := m.ids
	for i := range m.refs {
		w := m.refs[i].wire(ids)
		ids = ids[len(m.refs[i].ends):]
		beside.refs = append(beside.refs, w)
	}
	buf := m.buf
	if buf == nil {
		buf = make([]byte, headroom+len(m.body), headroom+len(m.body)+32)
		copy(buf[headroom:], m.body)
	}
	return beside.appendBeside(withBodyTag(buf[:headroom+len(m.body)]))
}

// prepare has things in the message go as descriptors, or lends them, for a session by which it
// is about to leave.
func (m *message) prepare(s *Session) error {
	for i := range m.refs {
		if err := m.refs[i].prepare(m, !s.noFiles.Load()); err != nil {
			return err
		}
	}
	return nil
}

// takeBack undoes prepare: the message was not sent.
func (m *message) takeBack() {
	for i := range m.refs {
		m.refs[i].takeBack()
	}
	m.files = nil
}

// left has what was lent be copied: the message was sent.
func (m *message) left() {
	for i := range m.refs {
		m.refs[i].left()
	}
	m.files = nil
}

// encode makes a message of v. What it carries is taken from who had it.
func encode(c Codec, carrier *channel, v any) (*message, error) {
	switch raw := v.(type) {
	case *Raw:
		if raw != nil {
			return raw.message(carrier)
		}
	case Raw:
		return raw.message(carrier)
	}
	if _, ok := v.(*Attached); ok {
		c = Protobuf
	}
	m := &message{codec: c.Name(), carrier: carrier}
	buf, err := c.Marshal(make([]byte, headroom, carrier.likelySize()), v, (*sentRefs)(m))
	if m.failed != nil && !errors.Is(err, m.failed) {
		err = m.failed
	}
	if err != nil {
		m.keep()
		return nil, err
	}
	m.buf, m.body = buf, buf[headroom:]
	carrier.learnSize(len(buf))
	return m, nil
}

// keep gives what it carries back to whoever had it: the message was not sent.
func (m *message) keep() {
	if m.raw != nil {
		if m.raw.carried != nil {
			m.raw.carried.refs = m.refs
		}
		return
	}
	for i := range m.refs {
		m.refs[i].keep()
	}
	m.refs = nil
}

// decode decodes the message into v. What it carries and no field has taken is let go of,
// and so is all of it if there is an error.
func (m *message) decode(codecs func(name string) (Codec, error), v any) error {
	if raw, ok := v.(*Raw); ok && raw != nil {
		raw.set(m)
		return nil
	}
	c, err := codecs(m.codec)
	if err == nil && v == nil {
		err = errNilMessage
	}
	if len(m.refs) > 0 {
		m.taken = make([]bool, len(m.refs))
	}
	if err == nil {
		err = c.Unmarshal(m.body, v, (*receivedRefs)(m))
	}
	for i := range m.refs {
		if err != nil || !m.taken[i] {
			m.refs[i].drop()
		}
	}
	return err
}

// likelySize is how large the buffer of the next message may have to be.
func (c *channel) likelySize() int {
	if c == nil {
		return 64
	}
	return int(c.size.Load()) + 64
}

// learnSize is told how large a message was.
func (c *channel) learnSize(n int) {
	if c != nil {
		c.size.Store(int32(min(n, maxFirst)))
	}
}

// own has the message's body be no other's.
func (m *message) own() *message {
	if m.borrowed {
		m.body, m.borrowed = slices.Clone(m.body), false
	}
	return m
}
