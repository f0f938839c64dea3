// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/wire"
)

// A goldenExchange is what was recorded between the client and the server of
// an earlier release. The names say who spoke at the client's side: in
// "unary/" and "stream/" its API, in "raw/" bytes that no API sends.
type goldenExchange struct {
	Name, About string
	Frames      []goldenFrame
}

type goldenFrame struct {
	From   string
	Stream uint32
	Type   messageType
	Flags  uint8
	Data   string // in hexadecimal, or "zeros:N"
}

// A goldenException is a frame that differs from the recorded one, and why.
type goldenException struct {
	exchange string
	frame    int
	rule     string       // the statement of the contract, and what it says
	want     *goldenFrame // what is sent instead; nil if nothing is
}

const (
	goldenOpens    = "B36: a stream that opens without a message says so with 0x4"
	goldenAnyID    = "B37: any odd id that is not active is accepted"
	goldenLastData = "B39: a message that closes the side is delivered, without an error"
)

// goldenExceptions is the list of them all.
func goldenExceptions() []goldenException {
	opens := func(method string) *goldenFrame {
		head := requestHead{service: "vec.Echo", method: method}
		return &goldenFrame{"client", 1, messageTypeRequest, 0x2 | 0x4, hex.EncodeToString(head.appendFront(nil, 0))}
	}
	hello := func(id uint32) *goldenFrame {
		return &goldenFrame{"server", id, messageTypeResponse, 0, "12070a0568656c6c6f"}
	}
	return []goldenException{
		{exchange: "stream/bidi", frame: 0, rule: goldenOpens, want: opens("Bidi")},
		{exchange: "stream/bidi-empty-message", frame: 0, rule: goldenOpens, want: opens("Bidi")},
		{exchange: "stream/bidi-error", frame: 0, rule: goldenOpens, want: opens("Bidi")},
		{exchange: "stream/client", frame: 0, rule: goldenOpens, want: opens("Sum")},
		{exchange: "stream/unimplemented", frame: 0, rule: goldenOpens, want: opens("NoStream")},
		{exchange: "raw/reused-stream-id", frame: 3, rule: goldenAnyID, want: hello(1)},
		{exchange: "raw/decreasing-stream-id", frame: 3, rule: goldenAnyID, want: hello(3)},
		{exchange: "raw/close-with-data", frame: 2, rule: goldenLastData}, // not sent
	}
}

func goldenExchanges(t testing.TB) []goldenExchange {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []goldenExchange
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestGolden replays every recorded exchange: against our server, and, if a
// client's API made it, with our client. Both must send the recorded bytes,
// except for what goldenExceptions lists.
func TestGolden(t *testing.T) {
	exchanges, exceptions := goldenExchanges(t), goldenExceptions()
	servers, clients := 0, 0
	for _, x := range exchanges {
		servers++
		t.Run("server/"+x.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { goldenServer(t, x, exceptions) })
		})
		if strings.HasPrefix(x.Name, "raw/") {
			continue
		}
		clients++
		t.Run("client/"+x.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { goldenClient(t, x, exceptions) })
		})
	}
	if servers != 46 || clients != 24 {
		t.Errorf("%d exchanges with the server and %d with the client, want 46 and 24", servers, clients)
	}
	goldenNeeded(t, exchanges, exceptions)
}

// goldenNeeded checks that every exception differs from what was recorded. That
// it is what we send, the replay tells.
func goldenNeeded(t *testing.T, exchanges []goldenExchange, exceptions []goldenException) {
	t.Helper()
	for _, e := range exceptions {
		needed := false
		for _, x := range exchanges {
			if x.Name == e.exchange && e.frame < len(x.Frames) {
				needed = e.want == nil || *e.want != x.Frames[e.frame]
			}
		}
		if !needed {
			t.Errorf("the exception for frame %d of %s (%s) is not needed", e.frame, e.exchange, e.rule)
		}
	}
}

// bytes returns the frame as it stands on the wire.
func (f goldenFrame) bytes(t *testing.T) []byte {
	t.Helper()
	var data []byte
	var err error
	if n, ok := strings.CutPrefix(f.Data, "zeros:"); ok {
		var count int
		count, err = strconv.Atoi(n)
		data = make([]byte, count)
	} else {
		data, err = hex.DecodeString(f.Data)
	}
	if err != nil {
		t.Fatal(err)
	}
	if f.From == "server" && f.Type == messageTypeResponse {
		data = goldenSpaces(t, data)
	}
	return wire.AppendFrame(nil, f.Stream, f.Type, f.Flags, data)
}

// goldenSpaces normalises a response's status: protobuf-go's error texts hold
// a no-break space or a space, by the build, so that nobody depends on them.
func goldenSpaces(t *testing.T, data []byte) []byte {
	t.Helper()
	if !bytes.Contains(data, []byte("proto:\u00a0")) {
		return data
	}
	var r Response
	if err := proto.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	r.Status.Message = strings.ReplaceAll(r.Status.Message, "proto:\u00a0", "proto: ")
	data, err := proto.Marshal(&r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// goldenWant returns the bytes that stand for frame i of x: the recorded ones,
// or those of an exception.
func goldenWant(t *testing.T, x goldenExchange, i int, exceptions []goldenException) []byte {
	t.Helper()
	for _, e := range exceptions {
		if e.exchange == x.Name && e.frame == i {
			if e.want == nil {
				return nil
			}
			return e.want.bytes(t)
		}
	}
	return x.Frames[i].bytes(t)
}

// A goldenTap reads what one end of a connection writes.
type goldenTap struct {
	writer, reader *memconn.Conn
	taken          int
}

// drain waits until nothing moves and returns the frames written since.
func (g *goldenTap) drain(t *testing.T) []byte {
	t.Helper()
	synctest.Wait()
	total := 0
	for _, n := range g.writer.Writes() {
		total += n
	}
	wire := make([]byte, total-g.taken)
	g.taken = total
	if _, err := io.ReadFull(g.reader, wire); err != nil {
		t.Fatal(err)
	}
	var frames []byte
	for len(wire) > 0 {
		h, err := parseHeader(wire)
		if err != nil || len(wire) < messageHeaderLength+int(h.Length) {
			t.Fatalf("B35: half a frame on the wire: %x", wire)
		}
		data := wire[messageHeaderLength:][:h.Length]
		f := goldenFrame{"client", h.StreamID, h.Type, h.Flags, hex.EncodeToString(data)}
		if h.Type == messageTypeResponse {
			f.From = "server"
		}
		frames = append(frames, f.bytes(t)...)
		wire = wire[messageHeaderLength+int(h.Length):]
	}
	return frames
}

// goldenServer writes the recorded client's frames and compares the answers.
func goldenServer(t *testing.T, x goldenExchange, exceptions []goldenException) {
	srv, err := NewServer()
	if err != nil {
		t.Fatal(err)
	}
	srv.RegisterService("vec.Echo", goldenService())
	near, far := memconn.Pipe(0)
	srv.accept(t.Context(), far)
	tap := &goldenTap{writer: far, reader: near}

	var got, want []byte
	for i, f := range x.Frames {
		if f.From == "server" {
			want = append(want, goldenWant(t, x, i, exceptions)...)
			if i+1 < len(x.Frames) && x.Frames[i+1].From == "server" {
				continue
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: the server's answer before frame %d\n got %x\nwant %x", x.About, i+1, got, want)
			}
			got, want = nil, nil
			continue
		}
		if _, err := near.Write(f.bytes(t)); err != nil {
			t.Fatal(err)
		}
		got = append(got, tap.drain(t)...)
	}
	if rest := append(got, tap.drain(t)...); len(rest) > 0 {
		t.Errorf("%s: the server sent more: %x", x.About, rest)
	}
	near.Close()
	synctest.Wait()
	if n := srv.countConnection(); n != 0 {
		t.Errorf("the server has %d connections after the client went", n)
	}
	srv.Close()
}

// A goldenDriver makes our client do what the recorded one did, frame by
// frame, and checks what the API says to what the server answered.
type goldenDriver struct {
	client *Client
	method string
	stream ClientStream // nil if the call is unary
	result chan error   // of a unary call
	answer wrapperspb.StringValue
}

// goldenClient has our client make the exchange with a server that answers as
// recorded.
func goldenClient(t *testing.T, x goldenExchange, exceptions []goldenException) {
	near, far := memconn.Pipe(0)
	d := &goldenDriver{client: NewClient(near), result: make(chan error, 1)}
	tap := &goldenTap{writer: near, reader: far}
	for i, f := range x.Frames {
		data, _ := hex.DecodeString(f.Data)
		if f.From == "server" {
			if _, err := far.Write(f.bytes(t)); err != nil {
				t.Fatal(err)
			}
			d.receive(t, f, data)
			continue
		}
		d.send(t, x, f, data)
		if got, want := tap.drain(t), goldenWant(t, x, i, exceptions); !bytes.Equal(got, want) {
			t.Errorf("%s: frame %d of the client\n got %x\nwant %x", x.About, i, got, want)
		}
	}
	if rest := tap.drain(t); len(rest) > 0 {
		t.Errorf("%s: the client sent more: %x", x.About, rest)
	}
	if n := len(connOf(d.client).streams); n != 0 {
		t.Errorf("B21: %d streams are left in the client's table", n)
	}
	d.client.Close()
}

// message returns an empty message of the type that the method works on.
func (d *goldenDriver) message() proto.Message {
	switch d.method {
	case "Sum", "Count":
		return new(wrapperspb.Int64Value)
	}
	return new(wrapperspb.StringValue)
}

// send does what puts the client's frame f on the wire.
func (d *goldenDriver) send(t *testing.T, x goldenExchange, f goldenFrame, data []byte) {
	t.Helper()
	if f.Type == messageTypeRequest {
		d.open(t, x, f, data)
		return
	}
	if f.Flags == flagRemoteClosed|flagNoData {
		if err := d.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		return
	}
	m := d.message()
	if err := errors.Join(proto.Unmarshal(data, m), d.stream.SendMsg(m)); err != nil {
		t.Fatal(err)
	}
}

// open makes the call or opens the stream that the request is of.
func (d *goldenDriver) open(t *testing.T, x goldenExchange, f goldenFrame, data []byte) {
	t.Helper()
	var r Request
	if err := proto.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	md := MD{}
	for _, kv := range r.Metadata {
		md.Append(kv.Key, kv.Value)
	}
	ctx := WithMetadata(t.Context(), md)
	d.method = r.Method
	req := d.message()
	if err := proto.Unmarshal(r.Payload, req); err != nil {
		t.Fatal(err)
	}
	if f.Flags == 0 {
		go func() { d.result <- d.client.Call(ctx, r.Service, r.Method, req, &d.answer) }()
		return
	}
	desc := &StreamDesc{StreamingClient: f.Flags == flagRemoteOpen, StreamingServer: r.Method != "Sum"}
	var first any // stays nil where no message is in the request
	if f.Flags == flagRemoteClosed && x.Name != "stream/server-nil-request" {
		first = req
	}
	var err error
	if d.stream, err = d.client.NewStream(ctx, desc, r.Service, r.Method, first); err != nil {
		t.Fatal(err)
	}
}

// receive checks that the API hands over what the server's frame f says.
func (d *goldenDriver) receive(t *testing.T, f goldenFrame, data []byte) {
	t.Helper()
	payload := data
	var r Response
	var want error
	if f.Type == messageTypeResponse {
		if err := proto.Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		payload, want = r.Payload, status.ErrorProto(r.Status)
	} else if f.Flags == flagRemoteClosed|flagNoData {
		want = io.EOF
	}
	var got error
	answer := d.message()
	if d.stream == nil {
		answer, got = &d.answer, <-d.result
	} else {
		got = d.stream.RecvMsg(answer)
	}
	wantAnswer := d.message()
	if err := proto.Unmarshal(payload, wantAnswer); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || status.Code(got) != status.Code(want) || !proto.Equal(answer, wantAnswer) {
		t.Errorf("B11: the client handed over %v, %v; want %v, %v", answer, got, wantAnswer, want)
	}
}
