// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"net"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A progRaw is a raw peer: it sends frames and what is none.
type progRaw struct {
	w      *progWorld
	conn   net.Conn
	writes chan []byte

	mu      sync.Mutex
	changed sync.Cond

	// Guarded by mu.
	stalled bool
	over    bool
	sent    []byte // all that was given to write
	got     []byte
	frames  map[uint32]int // what sent is, by stream; made when first asked for
}

func newProgRaw(w *progWorld, nc net.Conn) *progRaw {
	r := &progRaw{w: w, conn: nc, writes: make(chan []byte, 2*progMaxLength)}
	r.changed.L = &r.mu
	w.actors.Add(2)
	go r.runWrites()
	go r.runReads()
	return r
}

func (r *progRaw) runWrites() {
	defer r.w.actors.Done()
	for b := range r.writes {
		r.conn.Write(b) // fails once the other side has gone
	}
}

func (r *progRaw) runReads() {
	defer r.w.actors.Done()
	buf := make([]byte, 64<<10)
	for {
		n, err := r.conn.Read(buf)
		r.mu.Lock()
		r.got = append(r.got, buf[:n]...)
		for r.stalled && !r.over {
			r.changed.Wait()
		}
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (r *progRaw) stall(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stalled = on
	r.changed.Broadcast()
}

// end ends the peer.
func (r *progRaw) end() {
	r.mu.Lock()
	r.over = true
	r.changed.Broadcast()
	r.mu.Unlock()
	r.conn.Close()
	close(r.writes)
}

// write sends bytes after all those before them.
func (r *progRaw) write(b []byte) {
	r.mu.Lock()
	r.sent = append(r.sent, b...)
	r.mu.Unlock()
	r.writes <- b
}

// countFrames returns how many frames the peer has sent to a stream.
func (r *progRaw) countFrames(id uint32) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frames == nil { // the program is over, nothing more is sent
		r.frames = make(map[uint32]int)
		records, _ := fuzzParse(r.sent)
		for _, record := range records {
			r.frames[record.header.StreamID]++
		}
	}
	return r.frames[id]
}

// request opens a call as a client would.
func (r *progRaw) request(call *progCall, size int) {
	flags := flagRemoteClosed
	switch {
	case call.kind == progUnary:
		flags = 0
	case call.kind.desc().StreamingClient && size > 0:
		flags = flagRemoteOpen
	case call.kind.desc().StreamingClient:
		flags = flagRemoteOpen | flagNoData
	}
	r.write(fuzzFrame(call.rawID(), messageTypeRequest, flags, r.envelope(call, size)))
}

// envelope is the request of a call.
func (r *progRaw) envelope(call *progCall, size int) []byte {
	service, method := call.kind.names()
	req := &Request{Service: service, Method: method, Metadata: []*KeyValue{{Key: "call", Value: strconv.Itoa(call.number)}}}
	if size >= 0 {
		req.Payload = encode(r.w, call.up.add(r.w, size))
	}
	if deadline, ok := call.ctx.Deadline(); ok {
		req.TimeoutNano = int64(time.Until(deadline))
	}
	return encode(r.w, req)
}

// data sends a message on a call.
func (r *progRaw) data(call *progCall, size int) {
	r.write(fuzzFrame(call.rawID(), messageTypeData, 0, encode(r.w, call.down.add(r.w, size))))
}

// respond answers a call as a server would.
func (r *progRaw) respond(call *progCall, size int, err error) {
	resp := &Response{Payload: encode(r.w, wrapperspb.Bytes(make([]byte, size)))}
	if err != nil {
		resp = &Response{Status: StatusOf(err).Proto()}
	}
	r.write(fuzzFrame(call.rawID(), messageTypeResponse, 0, encode(r.w, resp)))
}

// rawID is the id that a call most likely has.
func (call *progCall) rawID() uint32 {
	select {
	case <-call.opened:
		if cs, ok := call.stream.(*clientStream); ok && call.stream != nil {
			cs.conn.mu.Lock()
			defer cs.conn.mu.Unlock()
			return cs.id
		}
	default:
	}
	return uint32(2*call.number + 1)
}

// frame returns any frame.
func (r *progRaw) frame(p *program) []byte {
	typ := pick(p, messageTypeRequest, messageTypeResponse, messageTypeData, messageTypeData, messageTypeData, 0, 0x42)
	flags := pick[uint8](p, 0, 0, 1, 2, 3, 4, 5, 6, 7, 0xff)
	id := pick[uint32](p, 0, 0, 0, 0, 2, 1, 3, 5, 99, 1<<32-1)
	call := r.w.call()
	if id == 0 && call != nil {
		id = call.rawID()
	}
	size := pick(p, r.w.sizes...)
	var data []byte
	switch kind := p.byte() % 8; {
	case call == nil || kind == 0:
	case kind == 1:
		data = r.envelope(call, size)
	case kind == 2:
		data = encode(r.w, &Response{Payload: encode(r.w, wrapperspb.Bytes(make([]byte, size)))})
	case kind == 3:
		data = make([]byte, size) // a tag of 0 does not parse
	case kind == 4:
		data = p.bytes(p.byte() % 32)
	case kind == 5: // promises more than it brings
		whole := fuzzFrame(id, typ, flags, make([]byte, size))
		return whole[:len(whole)-size/2]
	default:
		data = encode(r.w, call.down.add(r.w, size))
	}
	return fuzzFrame(id, typ, flags, data)
}

// finish completes the last frame of a raw client and closes its side of all
// streams, so that handlers come to their end, and then checks the answers.
func (r *progRaw) finish() {
	w := r.w
	w.quiet()
	broken := r.isBroken()
	if _, whole := fuzzParse(r.sent); !broken && whole < len(r.sent) {
		r.complete(r.sent[whole:])
		broken = r.isBroken()
	}
	w.quiet()
	w.sconn.mu.Lock()
	for id := range w.sconn.streams {
		r.write(fuzzFrame(id, messageTypeData, flagRemoteClosed|flagNoData, nil))
	}
	w.sconn.mu.Unlock()
	w.quiet()
	if w.kernel {
		return
	}
	if broken {
		w.check()
		if !isClosed(w.sconn) {
			w.Errorf("B7: an impossible length has not ended the connection")
		}
		return
	}
	if w.is(&w.draining) || w.is(&w.disturbed) {
		return
	}
	if err := w.sconn.why(); err != nil {
		w.Errorf("B38: the connection ended without a reason: %v", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	sent, _ := fuzzParse(r.sent)
	fuzzCheckAnswers(w, sent, r.got)
}

// isBroken tells whether the peer has sent an impossible length.
func (r *progRaw) isBroken() bool {
	records, _ := fuzzParse(r.sent)
	return records[len(records)-1].err == ErrProtocol.Error()
}

// complete sends the rest of a frame of which this much has been sent.
func (r *progRaw) complete(part []byte) {
	head := append(append([]byte(nil), part...), make([]byte, messageHeaderLength)...)
	h, _ := parseHeader(head)
	if h.Length > 1<<20 { // it would take long
		r.w.setDown(&r.w.disturbed)
		return
	}
	r.write(make([]byte, messageHeaderLength+int(h.Length)-len(part)))
}
