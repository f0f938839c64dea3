// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"encoding/binary"
	"errors"

	wire "github.com/moby/spdystream/spdy"
)

// MessagePack, as far as it has to be known to find the end of a message and the extensions
// in it. All else is package libchan's.

// A head is what stands before the content of a value.
type head struct {
	size     int    // of the head, the type of an extension included
	content  uint64 // bytes that follow it
	children uint64 // values that follow it
	isExt    bool
	ext      byte
}

// parseHead reads the head that b begins with. ok is false if that is cut off.
func parseHead(b []byte) (h head, ok bool, err error) {
	if len(b) == 0 {
		return h, false, nil
	}
	c := b[0]
	h.size = 1
	switch {
	case c < 0x80, c >= 0xe0, c == 0xc0, c == 0xc2, c == 0xc3: // small numbers, nil and booleans
	case c < 0x90:
		h.children = 2 * uint64(c&0xf)
	case c < 0xa0:
		h.children = uint64(c & 0xf)
	case c < 0xc0:
		h.content = uint64(c & 0x1f)
	case c == 0xc1:
		return h, false, malformed("no value of a message begins with the byte c1")
	case c == 0xca || c == 0xcb: // floats
		h.content = 4 << (c - 0xca)
	case c >= 0xcc && c < 0xd4: // whole numbers
		h.content = 1 << (c & 3)
	case c >= 0xd4 && c < 0xd9:
		return extHead(b, 1, 1<<(c-0xd4))
	default:
		return sizedHead(b)
	}
	return h, true, nil
}

// sizedHead reads a head with a length of its own.
func sizedHead(b []byte) (h head, ok bool, err error) {
	c, width := b[0], 0
	switch {
	case c < 0xca: // bin and ext
		width = 1 << ((c - 0xc4) % 3)
	case c < 0xdc: // str
		width = 1 << (c - 0xd9)
	default: // list and map
		width = 2 << ((c - 0xdc) % 2)
	}
	h.size = 1 + width
	if len(b) < h.size {
		return h, false, nil
	}
	n := number(b[1:h.size])
	switch {
	case c >= 0xc7 && c < 0xca:
		return extHead(b, h.size, n)
	case c < 0xdc:
		h.content = n
	case c < 0xde:
		h.children = n
	default:
		h.children = 2 * n
	}
	return h, true, nil
}

// extHead reads the type of an extension.
func extHead(b []byte, at int, n uint64) (head, bool, error) {
	if len(b) <= at {
		return head{}, false, nil
	}
	return head{size: at + 1, content: n, isExt: true, ext: b[at]}, true, nil
}

// appendExt appends an extension.
func appendExt(b []byte, ext byte, payload []byte) []byte {
	switch n := len(payload); n {
	case 1:
		b = append(b, 0xd4, ext)
	case 2:
		b = append(b, 0xd5, ext)
	case 4:
		b = append(b, 0xd6, ext)
	case 8:
		b = append(b, 0xd7, ext)
	case 16:
		b = append(b, 0xd8, ext)
	default:
		b = append(b, 0xc7, byte(n), ext)
	}
	return append(b, payload...)
}

// A scanner finds the end of a message in bytes that arrive in pieces. It holds no stack: what
// counts is how many values are still to come.
type scanner struct {
	at   uint64 // what comes before has been seen
	more uint64 // values that follow what was seen; 0 before the first
}

// maxMessage is the longest message: what fits into a frame.
const maxMessage = wire.MaxDataLength

var errTooLong = errors.New("libchan/spdy: the message is longer than 16,777,215 bytes, which is what a frame holds")

// scan goes on in b, which begins with the message. It returns the message's length, or 0 if
// its end has not come yet.
func (s *scanner) scan(b []byte) (int, error) {
	if s.at == 0 {
		s.more = 1
	}
	for s.more > 0 && s.at < uint64(len(b)) {
		h, ok, err := parseHead(b[s.at:])
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		s.at += uint64(h.size) + h.content
		s.more += h.children - 1
		if s.at+s.more > maxMessage { // each value has a byte at least
			return 0, errTooLong
		}
	}
	if s.more > 0 || s.at > uint64(len(b)) {
		return 0, nil
	}
	return int(s.at), nil
}

// Extensions of package libchan.
const (
	extRef  = 76   // its index in 1, 2 or 4 bytes
	extTime = 0xff // MessagePack's own: 4, 8 or 12 bytes
)

// A swap says what stands in the place of an extension; ok is false if that stays.
type swap func(ext byte, payload []byte) (byte, []byte, bool, error)

// translate returns a whole message with other extensions.
func translate(b []byte, instead swap) ([]byte, error) {
	to := make([]byte, 0, len(b)+16)
	copied := 0
	for at := 0; at < len(b); {
		h, ok, err := parseHead(b[at:])
		if err != nil {
			return nil, err
		}
		end := uint64(at+h.size) + h.content
		if !ok || end > uint64(len(b)) {
			return nil, malformed("a message is cut off")
		}
		if h.isExt {
			ext, payload, ok, err := instead(h.ext, b[at+h.size:end])
			if err != nil {
				return nil, err
			}
			if ok {
				to = appendExt(append(to, b[copied:at]...), ext, payload)
				copied = int(end)
			}
		}
		at = int(end)
	}
	return append(to, b[copied:]...), nil
}

var errNoTime = errors.New("libchan/spdy: a message has a time, for which the dialect v0.1.0 has no form: send a number or a string")

// toPeer translates a message of package libchan, in which refs are to the streams names.
func (d Dialect) toPeer(b []byte, names []name) ([]byte, error) {
	return translate(b, func(ext byte, payload []byte) (byte, []byte, bool, error) {
		switch {
		case ext == extRef:
			index := number(payload)
			if index >= uint64(len(names)) {
				return 0, nil, false, malformed("a message refers to its end %d, and has %d", index, len(names))
			}
			ext, payload = d.extOf(names[index])
			return ext, payload, true, nil
		case ext == extTime && d == Main:
			sec, nsec := timeOf(payload)
			at := binary.BigEndian.AppendUint64(nil, sec)
			return mainTime, binary.BigEndian.AppendUint32(at, nsec), true, nil
		case ext == extTime:
			return 0, nil, false, errNoTime
		}
		return 0, nil, false, nil
	})
}

// fromPeer translates a message of the peer's, and returns the streams that it names.
func (d Dialect) fromPeer(b []byte) (body []byte, names []name, err error) {
	body, err = translate(b, func(ext byte, payload []byte) (byte, []byte, bool, error) {
		n, ok, err := d.nameOf(ext, payload)
		switch {
		case err != nil:
		case ok && len(names) == maxNames:
			err = malformed("a message names more than %d channels", maxNames)
		case ok:
			index := binary.BigEndian.AppendUint16(nil, uint16(len(names)))
			names = append(names, n)
			return extRef, index, true, nil
		case ext == mainTime && d == Main && len(payload) != 12:
			err = malformed("a time of %d bytes", len(payload))
		case ext == mainTime && d == Main:
			at := append([]byte(nil), payload[8:]...)
			return extTime, append(at, payload[:8]...), true, nil
		case ext == extRef:
			err = malformed("a message has an extension of type %d, which no dialect has", ext)
		}
		return 0, nil, false, err
	})
	return body, names, err
}

// maxNames is how many streams a message may name, which is package libchan's limit.
const maxNames = 1000

// timeOf reads a time in one of MessagePack's three forms.
func timeOf(b []byte) (sec uint64, nsec uint32) {
	switch n := number(b[:min(8, len(b))]); len(b) {
	case 4:
		return n, 0
	case 8:
		return n & (1<<34 - 1), uint32(n >> 34)
	default:
		return number(b[4:]), uint32(number(b[:4]))
	}
}

// number reads a big-endian number.
func number(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}
