// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package pcapng

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

const (
	// What is held of one direction while something before it has not come. With more,
	// that counts as lost.
	maxHeld       = 4 << 20
	maxHeldPieces = 1024
)

// A Segment is a piece of a connection.
type Segment struct {
	Conn       int  // which one of the capture, from 0
	FromServer bool // who sent it
	At         time.Time
	Data       []byte // the caller's, and empty if there is only a comment or an end
	Missing    int64  // how many bytes before Data the capture has lost
	Comment    string // of the packet
	End        bool   // after Data the side sends no more
}

// A Reader reads the connections of a capture: a file of [Writer], tcpdump, Wireshark or
// sockdump, in pcapng or pcap, in either order of bytes. It puts the segments of TCP in
// their order, and leaves out what was sent again. It is not safe for concurrent use.
//
// The client is who sends the SYN. Where the capture has none it is who has the higher
// port, and with sockdump who sends first. Sockdump tells connections apart by their
// processes only.
type Reader struct {
	file  *file
	flows map[[2]endpoint]*flow // the newest of each pair, clients first
	all   []*flow
	asked map[endpoint]*flow // of sockdump: clients whose server has not answered yet
	ready []Segment
	other []uint16 // types of links that are not known
	used  bool     // some packet was understood
	err   error
}

// A flow is one connection.
type flow struct {
	n              int
	client, server endpoint
	dirs           [2]direction // of the client, of the server
}

// A direction is what one side sends.
type direction struct {
	begun, ended bool
	first, next  uint32 // the numbers of the first and of the next byte
	missing      int64
	held         []piece // what came too early, in order
	bytes        int     // of held
}

// A piece is data with a number.
type piece struct {
	seq   uint32
	cut   int
	s     Segment
	reset bool // an end that does not wait
}

// NewReader begins to read a capture. It fails if r is none.
func NewReader(r io.Reader) (*Reader, error) {
	f, err := openFile(r)
	if err != nil {
		return nil, err
	}
	return &Reader{file: f, flows: make(map[[2]endpoint]*flow), asked: make(map[endpoint]*flow)}, nil
}

// Next returns what comes next, in the order of the capture. At its end it is io.EOF. A
// capture that ends within a packet, or is damaged, has an error that says where; all that
// stands before that is returned first. So is an error for a capture of which no packet
// is understood.
func (r *Reader) Next() (Segment, error) {
	for len(r.ready) == 0 {
		if r.err != nil {
			return Segment{}, r.err
		}
		p, err := r.file.next()
		if err != nil {
			r.finish(err)
			continue
		}
		r.add(p)
	}
	s := r.ready[0]
	r.ready = r.ready[1:]
	return s, nil
}

// Name returns who the sides of a connection are: addresses, or processes. It panics if
// Next has returned no segment of it.
func (r *Reader) Name(conn int) string {
	f := r.all[conn]
	return fmt.Sprintf("%v -> %v", f.client, f.server)
}

// finish gives out what waits for something that will not come.
func (r *Reader) finish(err error) {
	for _, f := range r.all {
		for i := range f.dirs {
			r.release(f, i, true)
		}
	}
	if errors.Is(err, io.EOF) && !r.used && len(r.other) > 0 {
		err = unknownLinks(r.other)
	}
	r.err = err
}

// add takes in a packet.
func (r *Reader) add(p packet) {
	if !known(p.link) {
		if !slices.Contains(r.other, p.link) && len(r.other) < 16 {
			r.other = append(r.other, p.link)
		}
		return
	}
	seg, ok := p.parse()
	if !ok {
		return
	}
	r.used = true
	if seg.tcp {
		r.addTCP(p, seg)
	} else {
		r.addUnix(p, seg)
	}
}

// addUnix takes in a packet of sockdump.
func (r *Reader) addUnix(p packet, seg segment) {
	f, side := r.find(seg)
	// A client sees who called listen, which need not be who serves.
	if f == nil {
		if f = r.asked[seg.to]; f != nil {
			side = 1
			f.server = seg.from
			r.flows[[2]endpoint{f.client, f.server}] = f // and stays where it was
		}
	}
	if f == nil {
		f = r.begin(seg.from, seg.to)
		r.asked[seg.from] = f
	}
	if side == 1 && r.asked[f.client] == f {
		delete(r.asked, f.client)
	}
	d := &f.dirs[side]
	if len(seg.data) > 0 || p.comment != "" {
		r.deliver(f, side, Segment{At: p.at, Data: seg.data, Comment: p.comment})
	}
	d.missing += int64(seg.cut)
}

// find returns the connection of a segment, and which side has sent it.
func (r *Reader) find(seg segment) (f *flow, side int) {
	if f = r.flows[[2]endpoint{seg.from, seg.to}]; f != nil {
		return f, 0
	}
	if f = r.flows[[2]endpoint{seg.to, seg.from}]; f != nil {
		return f, 1
	}
	return nil, 0
}

// begin makes a connection.
func (r *Reader) begin(client, server endpoint) *flow {
	f := &flow{n: len(r.all), client: client, server: server}
	r.all = append(r.all, f)
	r.flows[[2]endpoint{client, server}] = f
	return f
}

// addTCP takes in a segment of TCP.
func (r *Reader) addTCP(p packet, seg segment) {
	f, side := r.find(seg)
	syn := seg.flags&tcpSyn != 0
	if f != nil && syn && seg.flags&tcpAck == 0 {
		if d := &f.dirs[side]; side == 1 || d.begun && d.first != seg.seq+1 {
			delete(r.flows, [2]endpoint{f.client, f.server})
			f = nil // the ports are used again
		}
	}
	if f == nil {
		fromServer := seg.from.addr.Port() < seg.to.addr.Port()
		if syn {
			fromServer = seg.flags&tcpAck != 0
		}
		if fromServer {
			f, side = r.begin(seg.to, seg.from), 1
		} else {
			f, side = r.begin(seg.from, seg.to), 0
		}
	}
	if syn {
		seg.seq++
	}
	d := &f.dirs[side]
	if !d.begun {
		d.begun, d.first, d.next = true, seg.seq, seg.seq
	}
	r.place(f, side, piece{
		seq:   seg.seq,
		cut:   seg.cut,
		reset: seg.flags&tcpRst != 0,
		s:     Segment{At: p.at, Data: seg.data, Comment: p.comment, End: seg.flags&tcpFin != 0},
	})
}

// place gives out a piece, or keeps it until its turn comes.
func (r *Reader) place(f *flow, side int, p piece) {
	d := &f.dirs[side]
	if p.reset {
		for i := range f.dirs {
			r.release(f, i, true)
		}
		r.deliver(f, side, Segment{At: p.s.At, Comment: p.s.Comment, End: true})
		r.deliver(f, 1-side, Segment{At: p.s.At, End: true})
		return
	}
	if len(p.s.Data) == 0 && p.cut == 0 && !p.s.End {
		if p.s.Comment != "" {
			r.deliver(f, side, p.s)
		}
		return
	}
	at, _ := slices.BinarySearchFunc(d.held, p, func(a, b piece) int {
		return cmp.Compare(int32(a.seq-d.next), int32(b.seq-d.next))
	})
	d.held = slices.Insert(d.held, at, p)
	d.bytes += len(p.s.Data)
	r.release(f, side, d.bytes > maxHeld || len(d.held) > maxHeldPieces)
}

// release gives out what is in its turn, or all of it.
func (r *Reader) release(f *flow, side int, all bool) {
	d := &f.dirs[side]
	for len(d.held) > 0 {
		p := d.held[0]
		early := int64(int32(p.seq - d.next))
		if early > 0 && !all {
			return
		}
		d.held = d.held[1:]
		d.bytes -= len(p.s.Data)
		if early > 0 {
			d.missing += early
			d.next = p.seq
		}
		r.fresh(f, side, p, max(0, -early))
	}
}

// fresh gives out a piece without what was there already, at its beginning.
func (r *Reader) fresh(f *flow, side int, p piece, known int64) {
	d := &f.dirs[side]
	n := min(known, int64(len(p.s.Data)))
	p.s.Data = p.s.Data[n:]
	cut := max(0, int64(p.cut)-(known-n))
	end := p.s.End
	p.s.End = end && cut == 0
	if len(p.s.Data) > 0 || p.s.Comment != "" || p.s.End {
		r.deliver(f, side, p.s)
	}
	d.missing += cut
	d.next += uint32(len(p.s.Data)) + uint32(cut)
	if end && cut > 0 {
		r.deliver(f, side, Segment{At: p.s.At, End: true})
	}
}

// deliver gives out a segment. After the end there is none but for comments.
func (r *Reader) deliver(f *flow, side int, s Segment) {
	d := &f.dirs[side]
	if d.ended {
		if s.Comment == "" {
			return
		}
		s.Data, s.End = nil, false
	}
	s.Conn, s.FromServer = f.n, side == 1
	if len(s.Data) > 0 || s.End {
		s.Missing, d.missing = d.missing, 0
	}
	d.ended = d.ended || s.End
	r.ready = append(r.ready, s)
}
