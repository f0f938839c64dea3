// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package pcapng

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/ttrpc/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

var start = time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)

// readAll reads a capture.
func readAll(b []byte) (segments []Segment, err error) {
	r, err := NewReader(bytes.NewReader(b))
	for err == nil {
		var s Segment
		if s, err = r.Next(); err == nil {
			segments = append(segments, s)
		}
	}
	if errors.Is(err, io.EOF) && err != io.EOF {
		return segments, fmt.Errorf("an EOF within the file looks like its end: %w", err)
	}
	return segments, err
}

// want requires a capture to have these segments, each as fmt prints it.
func want(t *testing.T, rule string, capture []byte, want ...string) {
	t.Helper()
	segments, err := readAll(capture)
	if err != io.EOF {
		t.Errorf("%s: %v", rule, err)
	}
	var got []string
	for _, s := range segments {
		got = append(got, show(s))
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("%s: the capture has\n%s\nand not\n%s", rule, g, w)
	}
}

// show tells of a segment in one line: who sent it in which connection, what, and what
// else there is.
func show(s Segment) string {
	b := fmt.Sprintf("%d%c %q", s.Conn, "CS"[btoi(s.FromServer)], s.Data)
	if s.Missing > 0 {
		b += fmt.Sprintf(" after %d lost", s.Missing)
	}
	if s.Comment != "" {
		b += fmt.Sprintf(" # %s", s.Comment)
	}
	if s.End {
		b += " end"
	}
	return b
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestRoundTrip reads what was written, by connections at once, also more than one
// address has ports for.
func TestRoundTrip(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file)
	if err != nil {
		t.Fatal(err)
	}
	const conns = 200
	type sent [2][]byte
	written := make(map[string]*sent)
	var wg sync.WaitGroup
	for n := range conns {
		name, mine := fmt.Sprintf("conn %d", n), new(sent)
		written[name] = mine
		if n == conns/2 {
			w.conns = ports // the others have the ports of those that there are
		}
		s := w.Conn(Conn{Comment: name, Start: start})
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(n)))
			length := 20
			if n%50 == 0 {
				length = 3 * maxSegment
			}
			for i := range 3 {
				b := bytes.Repeat([]byte{byte(n), byte(i)}, rng.IntN(length))
				side := rng.IntN(2)
				mine[side] = append(mine[side], b...)
				if err := s.Write(side == 1, start.Add(time.Duration(i)), b, ""); err != nil {
					t.Error(err)
				}
			}
			if err := errors.Join(s.Close(start), s.Close(start)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()

	segments, err := readAll(file.Bytes())
	if err != io.EOF {
		t.Fatal(err)
	}
	names, read, ends := make(map[int]string), make(map[int]*sent), 0
	for _, s := range segments {
		if s.Comment != "" {
			names[s.Conn], read[s.Conn] = s.Comment, new(sent)
			if s.FromServer || !s.At.Equal(start) || len(s.Data) > 0 {
				t.Errorf("B183: a connection begins with %+v", s)
			}
		}
		got := &read[s.Conn][btoi(s.FromServer)]
		*got = append(*got, s.Data...)
		ends += btoi(s.End)
		if d := s.At.Sub(start); d < 0 || d > 2 {
			t.Errorf("B183: the time is %v", s.At)
		}
	}
	for n, name := range names {
		for side := range 2 {
			if !bytes.Equal(read[n][side], written[name][side]) {
				t.Errorf("B183: %s, side %d: %d bytes became %d", name, side, len(written[name][side]), len(read[n][side]))
			}
		}
	}
	if len(names) != conns || ends != 2*conns {
		t.Errorf("B183: %d connections and %d ends", len(names), ends)
	}
}

// TestComments writes comments of all sorts.
func TestComments(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file)
	if err != nil {
		t.Fatal(err)
	}
	s := w.Conn(Conn{Comment: "/run/ä.sock", Start: start, ServerPort: 1234})
	s.Write(false, start, []byte("a"), "2 descriptors")
	s.Write(true, start, nil, "a note")
	s.Write(true, start, nil, "")
	s.Write(true, start, []byte("b"), "bad \xff text")
	s.Write(true, start, nil, strings.Repeat("é", maxComment))
	s.Close(start)
	if err := s.Write(true, start, []byte("late"), ""); !errors.Is(err, errClosed) {
		t.Errorf("B183: Write after Close: %v", err)
	}
	want(t, "B183", file.Bytes(), `0C "" # /run/ä.sock`, `0C "a" # 2 descriptors`, `0S "" # a note`, `0S "b" # bad `+"\ufffd"+` text`,
		`0S "" # `+strings.Repeat("é", maxComment/2), `0C "" end`, `0S "" end`)
	r, err := NewReader(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	r.Next()
	if got := r.Name(0); got != "127.0.0.2:49152 -> 127.0.0.1:1234" {
		t.Errorf("B183: the connection is %s", got)
	}
}

// failing fails one write.
type failing struct{ left int }

var errFull = errors.New("the disk is full")

func (f *failing) Write(b []byte) (int, error) {
	if f.left--; f.left == -1 {
		return 0, errFull
	}
	return len(b), nil
}

// TestWriteFails fails each write in turn: whoever writes next hears of it.
func TestWriteFails(t *testing.T) {
	for n := range 10 {
		w, err := NewWriter(&failing{n})
		if (n < 2) != errors.Is(err, errFull) {
			t.Errorf("B183: NewWriter, write %d failing: %v", n, err)
		}
		s := w.Conn(Conn{Start: start})
		if err := s.Write(false, start, []byte("a"), ""); (n < 6) != errors.Is(err, errFull) {
			t.Errorf("B183: Write, write %d failing: %v", n, err)
		}
		if err := s.Close(start); (n < 9) != errors.Is(err, errFull) {
			t.Errorf("B183: Close, write %d failing: %v", n, err)
		}
	}
}

// A capture is a file of somebody else.
type capture struct {
	order   binary.AppendByteOrder
	classic bool
	nanos   bool
	link    uint16
	b       []byte
	n       int
}

// add adds a packet, of which the last cut bytes are not recorded.
func (c *capture) add(data []byte, cut int) {
	u32 := func(v ...int64) {
		for _, v := range v {
			c.b = c.order.AppendUint32(c.b, uint32(v))
		}
	}
	block := func(kind int64, body func()) {
		at := len(c.b)
		u32(kind, 0)
		body()
		c.b = pad(c.b)
		u32(int64(len(c.b) + 4 - at))
		order := binary.ByteOrder(binary.LittleEndian)
		if c.order == binary.AppendByteOrder(binary.BigEndian) {
			order = binary.BigEndian
		}
		order.PutUint32(c.b[at+4:], uint32(len(c.b)-at))
	}
	if c.n++; c.n == 1 && c.classic {
		magic := int64(0xa1b2c3d4)
		if c.nanos {
			magic = 0xa1b23c4d
		}
		u32(magic)
		c.b = c.order.AppendUint16(c.order.AppendUint16(c.b, 2), 4)
		u32(0, 0, 1<<18, int64(c.link))
	} else if c.n == 1 {
		block(blockSection, func() { u32(orderMagic, 1, -1, -1) })
		block(0x0bad, func() { u32(1, 2, 3) }) // unknown
		block(blockInterface, func() {
			c.b = c.order.AppendUint16(c.order.AppendUint16(c.b, c.link), 0)
			u32(0)
		})
	}
	captured := data[:len(data)-cut]
	second, micro := start.Unix()+int64(c.n), int64(678901)
	n, whole := int64(len(captured)), int64(len(data))
	switch {
	case c.classic && c.nanos:
		u32(second, micro*1000, n, whole)
		c.b = append(c.b, captured...)
	case c.classic:
		u32(second, micro, n, whole)
		c.b = append(c.b, captured...)
	default:
		ticks := second*1e6 + micro
		block(blockPacket, func() {
			u32(0, ticks>>32, ticks, n, whole)
			c.b = append(c.b, captured...)
		})
	}
}

// forms calls f for each form of a capture of that link.
func forms(link uint16, f func(c *capture)) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		f(&capture{order: order, link: link})
		f(&capture{order: order, link: link, classic: true})
		f(&capture{order: order, link: link, classic: true, nanos: true})
	}
}

// TestSockdump reads what sockdump writes: in all forms, with what it has cut, and where
// another process serves than the one that called listen.
func TestSockdump(t *testing.T) {
	packet := func(from, to int, data string) []byte {
		return append(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(to)), uint64(from)), data...)
	}
	forms(linkUser0, func(c *capture) {
		c.add(packet(100, 1, "ask"), 0)
		c.add(packet(200, 1, "other client"), 0)
		c.add(packet(7, 100, "answer"), 0)
		c.add(packet(7, 200, "to the other"), 0)
		c.add(packet(100, 1, "again, and it is cut"), 8)
		c.add(packet(100, 1, "more"), 0)
		c.add(packet(7, 100, "answer"), 0)
		c.add([]byte("too short"), 0)
		want(t, "B184", c.b, `0C "ask"`, `1C "other client"`, `0S "answer"`, `1S "to the other"`,
			`0C "again, and i"`, `0C "more" after 8 lost`, `0S "answer"`)
		segments, _ := readAll(c.b)
		if at := start.Truncate(time.Microsecond).Add(time.Second); !segments[0].At.Equal(at) {
			t.Errorf("B184: the time is %v and not %v", segments[0].At, at)
		}
		r, _ := NewReader(bytes.NewReader(c.b))
		for range 3 {
			r.Next()
		}
		if name := r.Name(0); name != "pid 100 -> pid 7" {
			t.Errorf("B184: the connection is %s", name)
		}
	})
}

// A talk makes packets of one connection of TCP.
type talk struct {
	ports [2]uint16
	v6    bool
}

// packet returns one that begins with IP.
func (k talk) packet(side int, seq uint32, flags uint8, data string) []byte {
	from, to := &side4(k.ports[side]).side, &side4(k.ports[1-side]).side
	from.next = seq
	b := appendTCP(nil, from, to, flags, []byte(data))
	if k.v6 {
		tcp := b[ipLength:]
		b = append([]byte{0x60, 0, 0, 0, byte(len(tcp) >> 8), byte(len(tcp)), protocolTCP, 64}, make([]byte, 32)...)
		b = append(b, tcp...)
	}
	return b
}

type sidePort struct{ side }

func side4(port uint16) *sidePort { return &sidePort{side{addr: 10<<24 | 1, port: port}} }

// TestTCP puts together what the network has done to a connection.
func TestTCP(t *testing.T) {
	k := talk{ports: [2]uint16{50000, 80}}
	high := uint32(0xfffffffe) // numbers go round
	forms(linkRaw, func(c *capture) {
		c.add(k.packet(0, high-1, tcpSyn, ""), 0)
		c.add(k.packet(0, high-1, tcpSyn, ""), 0) // again
		c.add(k.packet(1, 999, tcpSyn|tcpAck, ""), 0)
		c.add(k.packet(0, high, tcpAck, "abcd"), 0)
		c.add(k.packet(0, high+8, tcpAck, "ijkl"), 0) // too early
		c.add(k.packet(0, high, tcpAck, "abcd"), 0)   // again
		c.add(k.packet(1, 1000, tcpAck, "A"), 0)
		c.add(k.packet(0, high+2, tcpAck, "cdefgh"), 0)       // again, and more
		c.add(k.packet(0, high+12, tcpAck|tcpFin, "mn"), 1)   // cut
		c.add(k.packet(1, 1005, tcpAck|tcpFin, "FG"), 0)      // BCDE is lost
		c.add(k.packet(1, 1007, tcpAck|tcpFin, ""), 0)        // again, and too late
		c.add(k.packet(0, high+12, tcpAck|tcpFin, "late"), 0) // after the end
		c.add(k.packet(0, 5, tcpSyn, ""), 0)                  // the ports are used again
		c.add(k.packet(0, 6, tcpAck, "new"), 0)
		c.add(k.packet(1, 70, tcpRst, ""), 0)
		c.add(k.packet(0, 9, tcpAck, "late"), 0)
		want(t, "B184", c.b, `0C "abcd"`, `0S "A"`, `0C "efgh"`, `0C "ijkl"`, `0C "m"`, `0C "" after 1 lost end`,
			`1C "new"`, `1S "" end`, `1C "" end`, `0S "FG" after 4 lost end`)
	})
}

// TestNoSyn begins in the middle: the server has the lower port.
func TestNoSyn(t *testing.T) {
	k := talk{ports: [2]uint16{50000, 80}}
	forms(linkRaw, func(c *capture) {
		c.add(k.packet(1, 77, tcpAck, "answer"), 0)
		c.add(k.packet(0, 5, tcpAck, "ask"), 0)
		want(t, "B184", c.b, `0S "answer"`, `0C "ask"`)
	})
}

// TestHeldBounds loses a byte, and sends more after it than is held.
func TestHeldBounds(t *testing.T) {
	k := talk{ports: [2]uint16{50000, 80}}
	c := &capture{order: binary.LittleEndian, link: linkRaw}
	c.add(k.packet(0, 0, tcpSyn, ""), 0)
	for n := range uint32(maxHeldPieces + 1) {
		c.add(k.packet(0, 2+n, tcpAck, "x"), 0)
	}
	c.add(k.packet(1, 0, tcpAck, "y"), 0)
	segments, err := readAll(c.b)
	if err != io.EOF || len(segments) != maxHeldPieces+2 || segments[0].Missing != 1 || !segments[maxHeldPieces+1].FromServer {
		t.Errorf("B184: %d segments and %v", len(segments), err)
	}
}

// TestLinks reads packets behind all headers that are known.
func TestLinks(t *testing.T) {
	for _, l := range []struct {
		link uint16
		head string
	}{
		{linkNull, "\x02\x00\x00\x00"},
		{linkLoop, "\x00\x00\x00\x02"},
		{linkEthernet, "112233445566\x08\x00"},
		{linkEthernet, "112233445566\x81\x00\x00\x07\x08\x00"},
		{linkCooked, "0123456789abcd\x08\x00"},
		{linkCooked2, "\x08\x00234567890123456789"},
		{linkRaw, ""}, {linkIPv4, ""}, {linkIPv6, ""},
	} {
		for _, v6 := range []bool{false, true} {
			k := talk{ports: [2]uint16{50000, 80}, v6: v6}
			forms(l.link, func(c *capture) {
				c.add(append([]byte(l.head), k.packet(0, 7, tcpAck, "hello")...), 0)
				c.add(append([]byte(l.head), append(k.packet(0, 12, tcpAck, "!"), "padding"...)...), 0)
				c.add([]byte(l.head), 0)
				want(t, fmt.Sprintf("B184: link %d, IPv6 %v", l.link, v6), c.b, `0C "hello"`, `0C "!"`)
			})
		}
	}
	other := &capture{order: binary.LittleEndian, link: 105}
	other.add([]byte("radio"), 0)
	if _, err := readAll(other.b); err == nil || !strings.Contains(err.Error(), "link type 105") {
		t.Errorf("B184: a capture of radio: %v", err)
	}
}

// TestDamaged cuts a capture at each byte, and changes each: what stands before is
// read, and the error says where.
func TestDamaged(t *testing.T) {
	var file bytes.Buffer
	w, _ := NewWriter(&file)
	s := w.Conn(Conn{Comment: "c", Start: start})
	s.Write(false, start, []byte("hello"), "")
	whole := file.Bytes()
	for n := range whole {
		segments, err := readAll(whole[:n])
		if err == nil || err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("B184: cut at %d: %v, %v", n, segments, err)
		}
		bad := bytes.Clone(whole)
		bad[n] ^= 0x80
		if _, err := readAll(bad); err == nil {
			t.Errorf("B184: changed at %d: no error and no end", n)
		}
	}
	segments, err := readAll(whole[:len(whole)-3])
	if err == nil || !strings.Contains(err.Error(), "at byte") || len(segments) != 1 {
		t.Errorf("B184: a cut capture: %v, %v", segments, err)
	}
}

// TestHostile opens what is no capture, or lies.
func TestHostile(t *testing.T) {
	le := func(v ...uint32) (b []byte) {
		for _, v := range v {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		return b
	}
	section := le(blockSection, 28, orderMagic, 1, 0, 0, 28)
	face := le(blockInterface, 20, linkRaw, 0, 20)
	for _, h := range []struct {
		about string
		b     []byte
		text  string
	}{
		{"nothing", nil, "it has 0 bytes"},
		{"text", []byte("GET / HTTP/1.1"), "this is no capture: it begins with 47455420"},
		{"no order", le(blockSection, 28, 7), "the order of bytes 07000000"},
		{"a short block", append(section, le(1, 8, 8)...), "a block of 8 bytes"},
		{"an odd block", append(section, le(1, 13, 8)...), "a block of 13 bytes"},
		{"a huge block", append(section, le(1, 1<<31, 8)...), "a block of 2147483648 bytes"},
		{"another end", append(section, le(9, 12, 16)...), "a block of 12 bytes ends as one of 16"},
		{"a short interface", append(section, le(blockInterface, 16, 0, 16)...), "an interface of 4 bytes"},
		{"no interface", append(section, le(blockPacket, 32, 3, 0, 0, 0, 0, 32)...), "interface 3, and there are 0"},
		{"no interface of a simple one", append(section, le(blockSimple, 16, 0, 16)...), "interface 0, and there are 0"},
		{"a longer packet", append(append(section, face...), le(blockPacket, 32, 0, 0, 0, 1, 1, 32)...), "a packet of 1 bytes in a block with room for 0"},
		{"a short packet", append(append(section, face...), le(blockPacket, 16, 0, 16)...), "a packet's block of 4 bytes"},
		{"a short head", le(0xa1b2c3d4, 0), "the file ends within 24 bytes"},
		{"a huge record", le(0xa1b2c3d4, 0, 0, 0, 0, linkRaw, 0, 0, 1<<30, 1<<30), "a packet of 1073741824 bytes"},
		{"a promised record", le(0xa1b2c3d4, 0, 0, 0, 0, linkRaw, 0, 0, 1<<20, 1<<20), "the file ends within|unexpected EOF"},
	} {
		_, err := readAll(h.b)
		ok := false
		for _, text := range strings.Split(h.text, "|") {
			ok = ok || err != nil && strings.Contains(err.Error(), text)
		}
		if !ok {
			t.Errorf("B184: %s: %v", h.about, err)
		}
	}
}

// TestClocks reads times of interfaces that tell them otherwise.
func TestClocks(t *testing.T) {
	for _, c := range []struct {
		resolution byte
		ticks      uint64
		want       time.Duration
	}{
		{0, 7, 7 * time.Second},
		{3, 7001, 7001 * time.Millisecond},
		{6, 1_500_000, 1500 * time.Millisecond},
		{9, 1_500_000_001, 1500*time.Millisecond + 1},
		{12, 1_500_000_001_999, 1500*time.Millisecond + 1},
		{19, 1e19, time.Second},
		{20, 5, 0},
		{0x80 | 1, 3, 1500 * time.Millisecond},
		{0x80 | 63, 1 << 62, 500 * time.Millisecond},
		{0x80 | 64, 5, 0},
		{0xff, 5, 0},
	} {
		per := decimal(c.resolution)
		if c.resolution&0x80 != 0 {
			per = binaryTicks(c.resolution & 0x7f)
		}
		if got := per(c.ticks); got != c.want {
			t.Errorf("B184: %d ticks of %#x are %v, want %v", c.ticks, c.resolution, got, c.want)
		}
		per(1<<64 - 1)
	}
}

// FuzzReader reads anything: it ends, and its segments make sense.
func FuzzReader(f *testing.F) {
	var file bytes.Buffer
	w, _ := NewWriter(&file)
	s := w.Conn(Conn{Comment: "c", Start: start})
	s.Write(false, start, []byte("hello"), "")
	s.Write(true, start, []byte("you"), "2 files")
	s.Close(start)
	f.Add(file.Bytes())
	k := talk{ports: [2]uint16{50000, 80}}
	for _, link := range []uint16{linkRaw, linkUser0, linkEthernet, linkNull} {
		forms(link, func(c *capture) {
			for n := range uint32(3) {
				c.add(k.packet(0, 7-2*n, tcpAck, "hello"), 1)
				c.add(k.packet(1, 7+2*n, tcpAck|tcpFin, "you"), 0)
			}
			f.Add(c.b)
		})
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		segments, err := readAll(b)
		if err == nil {
			t.Fatal("B184: no end")
		}
		total, ended := 0, make(map[[2]int]bool)
		for _, s := range segments {
			side := [2]int{s.Conn, btoi(s.FromServer)}
			if ended[side] && (len(s.Data) > 0 || s.End) {
				t.Fatalf("B184: %s after the end", show(s))
			}
			ended[side] = s.End
			if total += len(s.Data); total > len(b) || s.Missing < 0 {
				t.Fatalf("B184: %d bytes of a file of %d, %d missing", total, len(b), s.Missing)
			}
		}
	})
}

// TestSkip holds that what was not recorded is told as missing, in both directions.
func TestSkip(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file)
	if err != nil {
		t.Fatal(err)
	}
	s := w.Conn(Conn{})
	for _, fromServer := range []bool{false, true} {
		s.Write(fromServer, time.Now(), []byte("before"), "")
		s.Skip(fromServer, 1000)
		s.Write(fromServer, time.Now(), []byte("after"), "")
	}
	s.Close(time.Now())
	r, err := NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		s, err := r.Next()
		if err != nil {
			break
		}
		got = append(got, fmt.Sprintf("%s %d", s.Data, s.Missing))
	}
	if want := "before 0,before 0,after 1000, 0,after 1000, 0"; strings.Join(got, ",") != want {
		t.Errorf("B184: told is %q, not %q", got, want)
	}
}
