// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/wire"
)

// extFuzzLimit is the limit on messages: several parts, and less than a frame may have.
const extFuzzLimit = 200 << 10

// An extRaw is a raw peer of an end in extended mode, and what it knows that the end
// must do. The end makes calls, too.
type extRaw struct {
	*testing.T
	role   role // of the end
	conn   *conn
	near   *memconn.Conn
	prog   *program
	calls  []*fuzzCall // the end's
	cancel context.CancelFunc
	told   *ResponseMetadata // of the end's calls
	end    func()            // closes the end

	pieces map[uint32][][]byte // what is to follow of messages that were begun
	model  extModel

	mu      sync.Mutex
	changed sync.Cond

	// Guarded by mu.
	stalled bool
	got     []byte
}

// newExtRaw connects a raw peer with an end of a role, and agrees with it.
func newExtRaw(t *testing.T, r role, code []byte) *extRaw {
	near, far := memconn.Pipe(16 << 10)
	x := &extRaw{T: t, role: r, near: near, prog: &program{code: code}, pieces: map[uint32][][]byte{}}
	x.changed.L = &x.mu
	queue := StreamQueue{Window: 8 << 10, ConnectionBytes: 1 << 20}
	srv, err := NewServer(WithServerExtensions(), WithServerLimits(Limits{MessageSize: extFuzzLimit, Queue: queue}), WithServerLogger(new(countingLogger)))
	if err != nil {
		t.Fatal(err)
	}
	srv.RegisterService("vec.Echo", goldenService())
	srv.RegisterService("ext", extFuzzService())
	p := extFuzzHello.Append(nil)
	var client *Client
	if r == roleServer {
		srv.accept(t.Context(), far)
		for x.conn = range srv.connections {
		}
		near.Write(fuzzFrame(1, messageTypeRequest, 0, wire.HelloRequest(p)))
		x.readFrame()
		client, x.end = x.conn.client(), func() { srv.Close() }
	} else {
		client = NewClient(far, WithClientServices(srv), WithClientLimits(Limits{MessageSize: extFuzzLimit, Queue: queue}), WithClientLogger(new(countingLogger)))
		x.conn, x.end = connOf(client), func() { client.Close(); srv.Close() }
		x.readFrame()
		near.Write(fuzzFrame(1, messageTypeResponse, 0, wire.Response{Payload: p}.Append(nil)))
	}
	if ok, err := client.Extended(t.Context()); !ok {
		t.Fatalf("B46: the end is not extended: %v", err)
	}
	x.model = newExtModel(r)
	go x.read()
	x.call(client)
	return x
}

// extFuzzService has what goldenService has not: large messages, and a handler that waits.
func extFuzzService() *ServiceDesc {
	big := wrapperspb.Bytes(make([]byte, extFuzzLimit-1000))
	return &ServiceDesc{
		Methods: map[string]Method{
			"Big": func(ctx context.Context, _ func(any) error) (any, error) {
				return big, errors.Join(SetHeader(ctx, MD{"h": {"1"}}), SetTrailer(ctx, MD{"t": {"1"}}))
			},
			"Block": func(ctx context.Context, _ func(any) error) (any, error) { <-ctx.Done(); return nil, ctx.Err() },
		},
		Streams: map[string]Stream{"Bigs": {StreamingServer: true, Handler: func(ctx context.Context, s StreamServer) (any, error) {
			md := MD{"k": {strings.Repeat("v", 3000)}} // an error if the stream was cancelled
			return nil, errors.Join(SetHeader(ctx, md), s.SendMsg(big), s.SendMsg(big), SetTrailer(ctx, md))
		}}},
	}
}

// readFrame reads the frame that agrees on the mode.
func (x *extRaw) readFrame() {
	b := make([]byte, messageHeaderLength)
	io.ReadFull(x.near, b)
	h, _ := parseHeader(b)
	io.ReadFull(x.near, make([]byte, h.Length))
}

// read takes what the end sends, unless it is stalled.
func (x *extRaw) read() {
	buf := make([]byte, 4096)
	for {
		n, err := x.near.Read(buf)
		x.mu.Lock()
		x.got = append(x.got, buf[:n]...)
		for x.stalled {
			x.changed.Wait()
		}
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (x *extRaw) stall(on bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stalled = on
	x.changed.Broadcast()
}

// call has the end make one call and three streams.
func (x *extRaw) call(client *Client) {
	ctx, cancel := context.WithCancel(x.Context())
	x.cancel = cancel
	ctx, x.told = WithResponseMetadata(ctx)
	unary := &fuzzCall{}
	x.calls = append(x.calls, unary)
	go unary.call(ctx, client)
	synctest.Wait()
	for _, desc := range []StreamDesc{{StreamingClient: true, StreamingServer: true}, {StreamingClient: true}, {StreamingServer: true}} {
		stream, err := client.NewStream(ctx, &desc, "s", "m", nil)
		if err != nil {
			x.Fatal(err)
		}
		call := &fuzzCall{stream: stream}
		x.calls = append(x.calls, call)
		go call.receiveAll()
		if desc.StreamingClient {
			go func() {
				for n := 1; stream.SendMsg(wrapperspb.Bytes(make([]byte, n))) == nil && n < 1<<20; n *= 3 {
				}
			}()
		}
	}
}

// receiveAll receives until the end has come again and again.
func (call *fuzzCall) receiveAll() {
	for same := 0; same < 3; {
		err := call.stream.RecvMsg(&call.answer)
		if n := len(call.errs); n > 0 && err != nil && err == call.errs[n-1] {
			same++
		} else {
			same = 0
		}
		call.errs = append(call.errs, err)
	}
	call.ended = true
}

// id picks a stream's id, more often one that the peer opens.
func (x *extRaw) id() uint32 {
	n := uint32(x.prog.byte())
	theirs, ours := uint32(3), uint32(2)
	if x.role == roleClient {
		theirs, ours = 2, 3
	}
	switch n % 8 {
	case 5, 6:
		return ours + 2*(n/8%5)
	case 7:
		return pick[uint32](x.prog, 0, 0, 1, 99, 100, 1<<32-1)
	}
	return theirs + 2*(n/8%8)
}

// extFuzzSizes are the sizes of messages.
var extFuzzSizes = []int{0, 1, 10, 200, 3000, 9000, partSize, partSize + 1, 100000, extFuzzLimit + 1, maxFrameData + 1}

// envelope is a request.
func (x *extRaw) envelope() (flags uint8, data []byte) {
	head := requestHead{service: "vec.Echo", method: pick(x.prog, "Bidi", "Bidi", "Echo", "Sum", "Count", "None", "Big", "Bigs", "Block")}
	switch head.method {
	case "Bidi", "Sum":
		flags = flagRemoteOpen | flagNoData
	case "Count", "Bigs":
		flags = flagRemoteClosed
	}
	if head.method[0] == 'B' && head.method != "Bidi" {
		head.service = "ext"
	}
	payload := encode(x, wrapperspb.Bytes(make([]byte, pick(x.prog, extFuzzSizes...))))
	return pick(x.prog, flags, flags, flags, flags, 0, 1, 2, 7), append(head.appendFront(nil, len(payload)), payload...)
}

// message is the last frame of a message.
func (x *extRaw) message(typ messageType, id uint32) []byte {
	if typ == messageTypeRequest {
		flags, data := x.envelope()
		return fuzzFrame(id, typ, flags, data)
	}
	data := make([]byte, pick(x.prog, extFuzzSizes...))
	if len(data) > 10 { // a field of bytes that fills it
		data = wire.Response{Payload: data}.Append(nil)
	}
	flags := pick[uint8](x.prog, 0, 0, 0, 1, 4, 5)
	if typ == messageTypeResponse && x.streamOn(id) {
		flags |= flagStream
	}
	return fuzzFrame(id, typ, flags, data)
}

// begin cuts a message, of which each piece is to be sent by itself.
func (x *extRaw) begin(whole []byte) {
	h, _ := parseHeader(whole)
	data := whole[messageHeaderLength:]
	var pieces [][]byte
	size := pick(x.prog, 1+len(data)/2, 1+len(data)/3, partSize)
	for len(data) > size {
		pieces = append(pieces, fuzzFrame(h.StreamID, messageTypePart, partFlags(&frame{data: whole}), data[:size]))
		data = data[size:]
	}
	x.pieces[h.StreamID] = append(pieces, fuzzFrame(h.StreamID, h.Type, h.Flags, data))
}

// next sends the next piece of what was begun for an id.
func (x *extRaw) next(id uint32) {
	if pieces := x.pieces[id]; len(pieces) > 0 {
		x.pieces[id] = pieces[1:]
		x.write(pieces[0])
	}
}

// write sends a frame, in two Writes if the program says so.
func (x *extRaw) write(frame []byte) {
	if !x.isCovered(frame) {
		if x.prog.byte()%8 != 0 {
			return
		}
		x.model.unsure = true
	}
	x.model.frame(frame)
	at := min(x.prog.byte()%32, len(frame)) // often cuts the header
	for _, piece := range [][]byte{frame[:at], frame[at:]} {
		if len(piece) > 0 {
			x.near.Write(piece) // fails once the end has gone
		}
	}
}

// streamOn tells whether the end has opened a stream with that id that is no unary call.
func (x *extRaw) streamOn(id uint32) bool {
	x.conn.mu.Lock()
	defer x.conn.mu.Unlock()
	s := x.conn.streams[id]
	return s != nil && s.call == nil && !s.unary
}

// isCovered tells whether the peer has credit for a frame.
func (x *extRaw) isCovered(b []byte) bool {
	synctest.Wait()
	h, _ := parseHeader(b)
	cost := int64(chargeOf(int(h.Length), 0))
	who := payerOf(h.Type, h.Flags, int(cost), true)
	if h.Type == messageTypePart && h.Flags&flagReset == 0 {
		if who = payCalls; h.Flags&flagStream != 0 {
			who = payStream
		}
	}
	x.conn.mu.Lock()
	defer x.conn.mu.Unlock()
	switch m := flowOf(x.conn.streams[h.StreamID]); {
	case x.conn.closed || who == payNobody:
		return true
	case who == payCalls:
		w := extOf(x.conn).calls.recv
		return cost <= w.room
	default:
		return m == nil || cost <= m.recv.room
	}
}

// number is a frame whose data is a number.
func (x *extRaw) number(typ messageType, id, n uint32) {
	x.write(fuzzFrame(id, typ, 0, wire.AppendNumber(nil, n)))
}

// step does the program's next instruction.
func (x *extRaw) step() {
	message := func() messageType {
		return pick(x.prog, messageTypeRequest, messageTypeRequest, messageTypeData, messageTypeData, messageTypeResponse)
	}
	switch op := x.prog.byte() % 32; {
	case op < 8:
		x.write(x.message(message(), x.id()))
	case op < 12:
		x.begin(x.message(message(), x.id()))
	case op < 19:
		x.next(x.id())
	case op < 20:
		for _, id := range slices.Sorted(maps.Keys(x.pieces)) { // in turns
			x.next(id)
		}
	case op < 21:
		x.write(fuzzFrame(x.id(), messageTypePart, flagReset, nil))
	case op < 23:
		x.write(fuzzFrame(x.id(), messageTypeCancel, 0, x.prog.bytes(x.prog.byte()%8)))
	case op < 25:
		x.number(messageTypeCredit, x.id(), pick[uint32](x.prog, 1, 500, 5000, 100000, 1<<20, 1<<20, 0, 1<<31-1, 1<<31))
	case op < 26 && x.prog.byte()%2 == 0:
		x.number(pick(x.prog, messageTypeWant, messageTypeWant, messageTypeReturn), x.id(), pick[uint32](x.prog, 1, 3256, 9256, 100256, extFuzzLimit, 0, 1<<31))
	case op < 26:
		x.write(fuzzFrame(0, messageTypePing, pick[uint8](x.prog, 0, 1), []byte("12345678")))
	case op < 27:
		x.number(messageTypeGoodbye, 0, x.id())
	case op < 28:
		x.stall(true)
	case op < 29:
		x.stall(false)
	case op < 30:
		data := pick(x.prog, nil, wire.AppendMetadata(nil, "k", "v"), wire.AppendMetadata(nil, "k", strings.Repeat("v", 60000)), []byte{0x2a})
		x.write(fuzzFrame(x.id(), messageTypeMetadata, pick[uint8](x.prog, 0, 1), data))
	case op < 31:
		x.cancel()
	default:
		typ := pick[messageType](x.prog, 0, 4, 0x3f, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x7f, 0x80, 0xff)
		x.write(fuzzFrame(x.id(), typ, byte(x.prog.byte()), x.prog.bytes(x.prog.byte()%32)))
	}
}

// runExtFuzz runs a program and checks what the end has done.
func runExtFuzz(t *testing.T, r role, code []byte) {
	x := newExtRaw(t, r, code)
	for x.prog.more() && x.prog.pos < progMaxLength && !t.Failed() {
		if x.step(); x.prog.byte()%4 != 0 {
			synctest.Wait()
			x.checkMemory()
		}
	}
	x.stall(false)
	x.finish()
	x.near.Close()
	synctest.Wait()
	x.checkEnd()
	x.end()
}

// checkMemory holds that what has arrived in part takes up little more than that (B49).
func (x *extRaw) checkMemory() {
	if isClosed(x.conn) {
		return
	}
	a, arrived, memory := extOf(x.conn).parts, 0, 0
	for _, m := range a.open {
		if m.frame != nil {
			arrived += len(m.frame.data)
			memory += cap(m.frame.data)
		}
	}
	if memory > 2*growth*arrived+2*extFuzzLimit {
		x.Errorf("B49: %d bytes of parts take up %d", arrived, memory)
	}
}

// finish ends all that is under way, if the connection lasts, after which nothing may be
// left.
func (x *extRaw) finish() {
	for range 2 { // what is sent ends streams that others wait behind
		synctest.Wait()
		for lined := true; lined && !isClosed(x.conn); {
			x.write(fuzzFrame(0, messageTypeCredit, 0, wire.AppendNumber(nil, 1<<20)))
			synctest.Wait()
			x.conn.mu.Lock()
			lined = extOf(x.conn).calls.line.Len() > 0
			x.conn.mu.Unlock()
		}
		for _, id := range x.model.begun() {
			x.write(fuzzFrame(id, messageTypePart, flagReset, nil))
		}
		x.conn.mu.Lock()
		streams := maps.Clone(x.conn.streams)
		x.conn.mu.Unlock()
		for id, s := range streams {
			if typ := messageTypeCancel; s.call != nil {
				x.write(fuzzFrame(id, typ, 0, nil))
			} else {
				x.write(fuzzFrame(id, messageTypeResponse, 0, nil))
			}
		}
	}
	synctest.Wait()
	closed := isClosed(x.conn)
	unread := closed && strings.Contains(x.conn.why().Error(), "does not read") // a cap of the end's own
	switch {
	case closed && !x.model.broken && !x.model.unsure && !unread:
		x.Errorf("B56: the connection ended without a reason: %v", x.conn.why())
	case !closed && x.model.broken:
		x.Errorf("B56: the connection lasts after what must end it")
	}
	if !closed {
		extCheckEmpty(x, x.conn)
		x.model.check(x.T, x.conn, x.got)
	}
}

// extCheckEmpty holds that nothing is left in the tables of a connection on which all has
// ended.
func extCheckEmpty(t testing.TB, c *conn) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	x := extOf(c)
	a := x.parts
	if len(c.streams)+c.out.count+len(x.waiting)+x.urgent.count != 0 || c.total.Load() != 0 {
		t.Errorf("B21: left are %d streams, %d frames, %d trains, %d control frames, %d bytes received", len(c.streams), c.out.count, len(x.waiting), x.urgent.count, c.total.Load())
	}
	if len(a.open)+a.held != 0 {
		t.Errorf("B49: left are %d messages with %d files", len(a.open), a.held)
	}
	if !c.closed && len(x.incoming)+x.parked.count+int(c.accepted) != 0 {
		t.Errorf("B21: left are %d begun requests, %d parked calls, %d accepted ones", len(x.incoming), x.parked.count, c.accepted)
	}
}

// checkEnd holds that the end of the connection ends all.
func (x *extRaw) checkEnd() {
	if !isClosed(x.conn) {
		x.Fatalf("B5: the connection lasts without its peer")
	}
	extCheckEmpty(x, x.conn)
	if _, err := x.told.Header(x.Context()); err != nil { // it is known that nothing comes
		x.Errorf("B58: the header of a call: %v", err)
	}
	for i, call := range x.calls {
		if !call.ended || call.stream != nil && !call.hasOneEnd() {
			x.Errorf("B21: call %d: ended %v, with %v", i, call.ended, call.errs)
		}
	}
}
