// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import "slices"

// A message is one in its encoding, with the ends of channels that it carries.
type message struct {
	codec string // of body
	buf   []byte // body with room before it, or nil
	body  []byte
	refs  []ref
	ids   []uint64 // what refs were announced as, once they were
	raw   *Raw     // whose refs they are, or nil
}

// messageWeight is about what a message in a queue costs beside its body.
const messageWeight = 128

// size is what the message counts in a queue.
func (m *message) size() int { return len(m.body) + messageWeight + 256*len(m.refs) }

// drop lets go of what the message carries.
func (m *message) drop() {
	for _, r := range m.refs {
		r.c.abandon(r.side)
	}
	m.refs = nil
}

// payload returns the message as it stands on the wire of a session, see wireMessage. What
// it carries has been announced there.
func (m *message) payload(s *Session) []byte {
	beside := wireMessage{codec: m.codec}
	if m.codec == s.opts.codec.Name() {
		beside.codec = ""
	}
	for i, r := range m.refs {
		beside.refs = append(beside.refs, wireRef{m.ids[i], r.side == sending, uint64(r.c.capacity + 1)})
	}
	buf := m.buf
	if buf == nil {
		buf = make([]byte, headroom+len(m.body), headroom+len(m.body)+32)
		copy(buf[headroom:], m.body)
	}
	return beside.appendBeside(withBodyTag(buf[:headroom+len(m.body)]))
}

// encode makes a message of v. The ends that it carries are taken from their handles.
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
	refs := &sentRefs{carrier: carrier}
	buf, err := c.Marshal(make([]byte, headroom, 64), v, refs)
	m := &message{codec: c.Name(), refs: refs.list}
	if refs.err != nil {
		err = refs.err
	}
	if err != nil {
		m.keep()
		return nil, err
	}
	m.buf, m.body = buf, buf[headroom:]
	return m, nil
}

// keep gives the ends back to whoever had them: the message was not sent.
func (m *message) keep() {
	if m.raw != nil {
		if m.raw.carried != nil {
			m.raw.carried.refs = m.refs
		}
		return
	}
	for _, r := range m.refs {
		r.c.mu.Lock()
		if r.c.moveLocked(r.side, stepKeep) {
			r.c.sides[r.side].gen--
		}
		r.c.unlock()
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
	refs := &receivedRefs{list: slices.Clone(m.refs)}
	if err == nil {
		err = c.Unmarshal(m.body, v, refs)
	}
	for i, r := range m.refs {
		if err != nil || refs.list[i].c != nil {
			r.c.abandon(r.side)
		}
	}
	return err
}
