// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/ttrpc/libchan"
)

// Ends of channels are package libchan's own: a goroutine for each passes on what is sent to
// them, without decoding it, or what arrives for them. So all that these ends can do works.

// sendFrom passes on what comes from in, as messages of the stream.
func (st *stream) sendFrom(in libchan.ContextReceiver) {
	st.whenFailed(in.Cancel)
	st.deafen()
	for {
		var raw libchan.Raw
		err := in.Receive(&raw)
		if err == io.EOF {
			st.finish()
			return
		}
		if err == nil {
			err = st.sendMessage(&raw)
		}
		if err != nil {
			in.Cancel(err)
			st.reset(err)
			return
		}
	}
}

// sendMessage sends a message.
func (st *stream) sendMessage(raw *libchan.Raw) error {
	raw, err := asMsgpack(raw)
	if err != nil {
		return err
	}
	t := st.t
	t.mu.Lock()
	_, err = st.roomLocked(nil, min(len(raw.Body), wholeMessage))
	t.mu.Unlock()
	if err != nil {
		raw.Release()
		return err
	}
	ends, err := raw.Ends()
	var streams []*stream
	var body []byte
	if err == nil {
		streams, body, err = st.open(raw.Body, ends)
	}
	if err == nil && len(body) > maxMessage {
		err = errTooLong
	}
	if err == nil {
		err = st.send(nil, body, wholeMessage)
	}
	for i, end := range ends {
		if i < len(streams) {
			if err != nil {
				streams[i].reset(err)
			}
			streams[i].give(end)
		} else {
			drop(end, err)
		}
	}
	return err
}

// open opens streams for the ends that a message carries, and puts their names into it.
func (st *stream) open(b []byte, ends []any) (streams []*stream, body []byte, err error) {
	var names []name
	st.t.mu.Lock()
	for _, end := range ends {
		role, err := roleOf(end)
		var other *stream
		if err == nil {
			other, err = st.t.openLocked(st, role)
		}
		if err != nil {
			st.t.mu.Unlock()
			return streams, nil, err
		}
		streams = append(streams, other)
		names = append(names, name{other.ref, role})
	}
	st.t.mu.Unlock()
	body, err = st.t.opts.dialect.toPeer(b, names)
	return streams, body, err
}

// roleOf returns what the peer does that is given an end.
func roleOf(end any) (role, error) {
	switch end.(type) {
	case libchan.ContextReceiver:
		return receives, nil
	case libchan.ContextSender:
		return sends, nil
	case libchan.ByteStream:
		return duplex, nil
	case libchan.EndReader:
		return reads, nil
	case libchan.EndWriter:
		return writes, nil
	}
	return 0, fmt.Errorf("libchan/spdy: a %T cannot be sent to an old peer", end)
}

// give passes on between a stream and an end that was given away for it.
func (st *stream) give(end any) {
	switch end := end.(type) {
	case libchan.ContextReceiver:
		go st.sendFrom(end)
	case libchan.ContextSender:
		st.grow()
		go st.receiveInto(end)
	default:
		st.giveBytes(end)
	}
}

// drop lets go of an end that could not be given away.
func drop(end any, err error) {
	switch end := end.(type) {
	case libchan.ContextReceiver:
		end.Cancel(err)
	case interface{ CloseWithError(error) error }:
		_ = end.CloseWithError(err)
	case io.Closer:
		_ = end.Close()
	}
}

// asMsgpack returns a message in the encoding of old peers.
func asMsgpack(raw *libchan.Raw) (*libchan.Raw, error) {
	if raw.Codec == libchan.Msgpack.Name() {
		return raw, nil
	}
	r, s := libchan.Pipe()
	if err := s.Send(raw); err != nil {
		return nil, err
	}
	var v any
	if err := r.Receive(&v); err != nil {
		return nil, err
	}
	if err := s.Send(v); err != nil {
		return nil, err
	}
	other := new(libchan.Raw)
	return other, r.Receive(other)
}

// receiveInto passes on messages of the stream to out.
func (st *stream) receiveInto(out libchan.ContextSender) {
	err := st.receive(out)
	if err == io.EOF {
		_ = out.Close()
		st.finish()
	} else {
		if out.Cause() != nil {
			err = errStopped
		}
		_ = out.CloseWithError(err)
		st.reset(err)
		st.deafen()
	}
	st.forgetNamed()
}

// receive passes on messages until it cannot, and returns why.
func (st *stream) receive(out libchan.ContextSender) error {
	var begun []byte // a message, or several
	var held int     // bytes of begun that count as not received
	var partial int  // and those of an unfinished message, which count elsewhere
	defer func() { st.consumed(held); st.t.hold(-partial) }()
	for s := (scanner{}); ; {
		n, err := s.scan(begun)
		if err != nil {
			return err
		}
		if n > 0 {
			if err := st.deliver(out, begun[:n]); err != nil {
				return err
			}
			begun, s = begun[n:], scanner{}
			st.t.hold(-partial)
			partial = 0
			continue
		}
		more := len(begun) - partial
		partial += more
		if err := st.t.hold(more); err != nil {
			return err
		}
		st.consumed(held)
		held = 0
		piece, err := st.next(out.Done())
		if err == io.EOF && len(begun) > 0 {
			return fmt.Errorf("libchan/spdy: the channel ends in the middle of a message: %w", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return err
		}
		if cap(begun)-len(begun) < len(piece) {
			begun = slices.Grow(begun, len(begun)+len(piece)) // twice as much: messages may be long
		}
		begun, held = append(begun, piece...), len(piece)
	}
}

// hold counts bytes of unfinished messages, of which there may not be more than the buffer may
// hold.
func (t *Transport) hold(n int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.partial += n; n > 0 && t.partial > t.opts.limits.Buffer {
		return errTooMuch
	}
	return nil
}

// deliver sends a message of the peer's to out.
func (st *stream) deliver(out libchan.ContextSender, b []byte) error {
	body, names, err := st.t.opts.dialect.fromPeer(b)
	if err != nil {
		return err
	}
	ends := st.t.claim(names)
	raw, err := libchan.NewRaw(libchan.Msgpack.Name(), body, ends...)
	if err != nil {
		for _, end := range ends {
			drop(end, err)
		}
		return err
	}
	defer raw.Release()
	if err := out.SendContext(st.t.closed, raw); err != nil && st.t.closed.Err() != nil {
		return ended(libchan.ErrClosed)
	} else if err != nil {
		return errors.Join(errStopped, err)
	}
	return nil
}
