// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package pcapng

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strings"
	"time"
)

// maxBlock is how long a block or packet of a file may be.
const maxBlock = 16 << 20

// A packet is what a file has of one.
type packet struct {
	link    uint16
	at      time.Time
	data    []byte
	cut     int // how many bytes at its end were not recorded
	comment string
}

// A file reads packets. Where it is serves its errors.
type file struct {
	r      *bufio.Reader
	at     int64
	order  binary.ByteOrder
	next   func() (packet, error)
	clocks []clock // of the section's interfaces

	// Of classic pcap, which has one interface, and less of each packet:
	link  uint16
	nanos bool
}

// A clock is how an interface tells time.
type clock struct {
	link    uint16
	snap    uint32
	perTick func(ticks uint64) time.Duration // since offset
	offset  int64                            // seconds
}

// openFile finds out what r is.
func openFile(r io.Reader) (*file, error) {
	f := &file{r: bufio.NewReaderSize(r, 64<<10)}
	magic, err := f.r.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("pcapng: this is no capture: it has %d bytes: %w", len(magic), cutOff(err))
	}
	f.order = binary.LittleEndian
	if magic[0] == 0xa1 {
		f.order = binary.BigEndian
	}
	switch f.order.Uint32(magic) {
	case blockSection:
		f.next = f.nextBlock
		return f, nil
	case 0xa1b2c3d4:
	case 0xa1b23c4d:
		f.nanos = true
	default:
		return nil, fmt.Errorf("pcapng: this is no capture: it begins with %x, which neither pcapng nor pcap does", magic)
	}
	head, err := f.read(24)
	if err != nil {
		return nil, err
	}
	f.link = uint16(f.order.Uint32(head[20:]))
	f.next = f.nextRecord
	return f, nil
}

// cutOff makes of the end of a file one that comes too early.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// errorf tells where in the file something is wrong.
func (f *file) errorf(format string, args ...any) error {
	return fmt.Errorf("pcapng: at byte %d of the capture: %w", f.at, fmt.Errorf(format, args...))
}

// read reads n bytes, and holds no more memory than has arrived. The end of the file is
// io.EOF if it comes before the first of them.
func (f *file) read(n int) ([]byte, error) {
	var b bytes.Buffer
	m, err := io.CopyN(&b, f.r, int64(n))
	if err != nil && (m > 0 || err != io.EOF) {
		return nil, f.errorf("the file ends within %d bytes: %w", n, cutOff(err))
	}
	f.at += m
	return b.Bytes(), err
}

// nextRecord reads a packet of classic pcap.
func (f *file) nextRecord() (packet, error) {
	head, err := f.read(16)
	if err != nil {
		return packet{}, err
	}
	seconds, fraction := f.order.Uint32(head), time.Duration(f.order.Uint32(head[4:]))
	n, whole := f.order.Uint32(head[8:]), f.order.Uint32(head[12:])
	if n > maxBlock {
		return packet{}, f.errorf("a packet of %d bytes", n)
	}
	if !f.nanos {
		fraction *= time.Microsecond
	}
	data, err := f.read(int(n))
	if err != nil {
		return packet{}, cutOff(err)
	}
	at := time.Unix(int64(seconds), 0).Add(fraction)
	return packet{link: f.link, at: at, data: data, cut: missing(n, whole)}, nil
}

// missing is how much of a packet was not recorded.
func missing(n, whole uint32) int {
	if whole <= n {
		return 0
	}
	return int(min(whole-n, 1<<30))
}

// nextBlock reads blocks of pcapng up to the next packet.
func (f *file) nextBlock() (packet, error) {
	for {
		kind, body, err := f.block()
		if err != nil {
			return packet{}, err
		}
		switch kind {
		case blockSection:
			f.clocks = nil
		case blockInterface:
			err = f.addInterface(body)
		case blockPacket:
			return f.packet(body)
		case blockSimple:
			return f.simplePacket(body)
		}
		if err != nil {
			return packet{}, err
		}
	}
}

// block reads one block. Of one that begins a section it learns the order of bytes.
func (f *file) block() (kind uint32, body []byte, err error) {
	head, err := f.read(8)
	if err != nil {
		return 0, nil, err
	}
	section := f.order.Uint32(head) == blockSection // which is the same in both orders
	if section {
		magic, err := f.r.Peek(4)
		if err != nil {
			return 0, nil, f.errorf("the file ends within the head of a section: %w", cutOff(err))
		}
		f.order = binary.LittleEndian
		if binary.BigEndian.Uint32(magic) == orderMagic {
			f.order = binary.BigEndian
		}
		if f.order.Uint32(magic) != orderMagic {
			return 0, nil, f.errorf("a section with the order of bytes %x", magic)
		}
	}
	n := f.order.Uint32(head[4:])
	if n < 12 || n%4 != 0 || n > maxBlock {
		return 0, nil, f.errorf("a block of %d bytes", n)
	}
	b, err := f.read(int(n) - 8)
	if err != nil {
		return 0, nil, cutOff(err)
	}
	body, tail := b[:len(b)-4], f.order.Uint32(b[len(b)-4:])
	if tail != n {
		return 0, nil, f.errorf("a block of %d bytes ends as one of %d", n, tail)
	}
	return f.order.Uint32(head), body, nil
}

// addInterface reads an interface, to which packets refer by its number.
func (f *file) addInterface(b []byte) error {
	if len(b) < 8 {
		return f.errorf("an interface of %d bytes", len(b))
	}
	c := clock{link: f.order.Uint16(b), snap: f.order.Uint32(b[4:]), perTick: decimal(6)}
	f.options(b[8:], func(option uint16, value []byte) {
		switch {
		case option == optionResolution && len(value) == 1 && value[0]&0x80 == 0:
			c.perTick = decimal(value[0])
		case option == optionResolution && len(value) == 1:
			c.perTick = binaryTicks(value[0] & 0x7f)
		case option == optionOffset && len(value) == 8:
			c.offset = int64(f.order.Uint64(value))
		}
	})
	f.clocks = append(f.clocks, c)
	return nil
}

// decimal is for ticks of which 10^digits are a second. What has more digits than fit
// has no time.
func decimal(digits uint8) func(uint64) time.Duration {
	second := uint64(1)
	for range digits {
		if second > 1e18 {
			return func(uint64) time.Duration { return 0 }
		}
		second *= 10
	}
	return fraction(second)
}

// binaryTicks is for ticks of which 2^digits are a second.
func binaryTicks(digits uint8) func(uint64) time.Duration {
	if digits > 63 {
		return func(uint64) time.Duration { return 0 }
	}
	return fraction(1 << digits)
}

// fraction is for ticks of which so many are a second.
func fraction(second uint64) func(uint64) time.Duration {
	return func(ticks uint64) time.Duration {
		hi, lo := bits.Mul64(ticks%second, uint64(time.Second))
		nanos, _ := bits.Div64(hi, lo, second)
		const longest = 1<<33 - 1 // about 270 years, which are still a Duration
		return time.Duration(min(ticks/second, longest))*time.Second + time.Duration(nanos)
	}
}

// options calls f for each option of a block.
func (f *file) options(b []byte, each func(option uint16, value []byte)) {
	for len(b) >= 4 {
		option, n := f.order.Uint16(b), int(f.order.Uint16(b[2:]))
		b = b[4:]
		if option == optionEnd || n > len(b) {
			return
		}
		each(option, b[:n])
		b = b[min(len(b), (n+3)&^3):]
	}
}

// packet reads a packet with its time and options.
func (f *file) packet(b []byte) (packet, error) {
	if len(b) < 20 {
		return packet{}, f.errorf("a packet's block of %d bytes", len(b))
	}
	c, err := f.clock(f.order.Uint32(b))
	if err != nil {
		return packet{}, err
	}
	ticks := uint64(f.order.Uint32(b[4:]))<<32 | uint64(f.order.Uint32(b[8:]))
	n, whole := f.order.Uint32(b[12:]), f.order.Uint32(b[16:])
	b = b[20:]
	if uint64(n) > uint64(len(b)) {
		return packet{}, f.errorf("a packet of %d bytes in a block with room for %d", n, len(b))
	}
	p := packet{link: c.link, at: time.Unix(c.offset, 0).Add(c.perTick(ticks)), data: b[:n:n], cut: missing(n, whole)}
	var comments []string
	f.options(b[min(len(b), (int(n)+3)&^3):], func(option uint16, value []byte) {
		if option == optionComment {
			comments = append(comments, strings.ToValidUTF8(string(value), "\ufffd"))
		}
	})
	p.comment = strings.Join(comments, "\n")
	return p, nil
}

// simplePacket reads a packet that has nothing but data.
func (f *file) simplePacket(b []byte) (packet, error) {
	c, err := f.clock(0)
	if err != nil {
		return packet{}, err
	}
	if len(b) < 4 {
		return packet{}, f.errorf("a packet's block of %d bytes", len(b))
	}
	whole, n := f.order.Uint32(b), uint32(len(b)-4)
	n = min(n, whole)
	if c.snap > 0 {
		n = min(n, c.snap)
	}
	return packet{link: c.link, at: time.Unix(0, 0), data: b[4 : 4+n : 4+n], cut: missing(n, whole)}, nil
}

// clock returns what is known of an interface.
func (f *file) clock(n uint32) (clock, error) {
	if uint64(n) >= uint64(len(f.clocks)) {
		return clock{}, f.errorf("a packet of interface %d, and there are %d", n, len(f.clocks))
	}
	return f.clocks[n], nil
}
