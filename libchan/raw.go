// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import "context"

// A Raw is a message in its encoding, with what it carries: Receive of a *Raw decodes nothing,
// and Send of it encodes nothing. So messages can be passed on by who does not know them. It can
// be sent once if it carries anything.
type Raw struct {
	// Codec is the name of the codec that Body is encoded with.
	Codec string
	Body  []byte

	carried *carried
}

// A carried is what a Raw carries. If nobody holds that any more it is let go of.
type carried struct{ refs []reference }

// Len returns how many ends of channels, byte streams and files the message carries.
func (r *Raw) Len() int {
	if r.carried == nil {
		return 0
	}
	return len(r.carried.refs)
}

// Release lets go of what the message carries. Who does not send it on calls it; the garbage
// collector does, too.
func (r *Raw) Release() {
	if r.carried != nil {
		(&message{refs: r.carried.refs}).drop()
		r.carried.refs = nil
	}
}

// set has the Raw be a message that was received.
func (r *Raw) set(m *message) {
	r.Release()
	*r = Raw{Codec: m.codec, Body: m.body}
	r.carry(m.refs)
}

func (r *Raw) carry(refs []reference) {
	if len(refs) == 0 {
		return
	}
	r.carried = &carried{refs}
	var ends []ref
	for end := range (&message{refs: refs}).ends {
		ends = append(ends, end)
	}
	onGarbage(r.carried, func(ends []ref) {
		for _, end := range ends {
			end.c.lapse(end.side)
		}
	}, ends)
}

// lapse lets go of a side if it still moves.
func (c *channel) lapse(s side) {
	c.mu.Lock()
	moves := c.sides[s].place == placeMoving
	c.unlock()
	if moves {
		c.abandon(s)
	}
}

// message makes a message of it. What it carries is the message's.
func (r *Raw) message(carrier *channel) (*message, error) {
	m := &message{codec: r.Codec, body: r.Body, raw: r}
	if r.carried != nil {
		m.refs = r.carried.refs
		for end := range m.ends {
			if end.c == carrier {
				return nil, ErrOwnChannel
			}
		}
		r.carried.refs = nil
	}
	return m, nil
}

// sendTo sends the message to any Sender.
func (r *Raw) sendTo(w Sender) error {
	if _, own := w.(*sender); own {
		return w.Send(r)
	}
	m, err := r.message(nil)
	if err != nil {
		return err
	}
	var v any
	if err := m.decode(func(name string) (Codec, error) { return codecNamed(name, nil) }, &v); err != nil {
		return err
	}
	return w.Send(v)
}

// passOn is Copy between ends of this package. What is received counts as taken only once
// the other end's Send has returned.
func passOn(w *sender, r *receiver) error {
	ctx := context.Background()
	m, seq, err := r.c.peek(ctx, r.gen)
	if err != nil {
		return err
	}
	carries := m.weight()
	sent, err := w.c.put(ctx, w.gen, m)
	if !sent {
		m.drop()
	}
	r.c.took(seq, carries)
	return err
}
