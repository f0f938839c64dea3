// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// FuzzServer sends any bytes to a server.
func FuzzServer(f *testing.F) {
	fuzzSeeds(f, "client", func(wire []byte) {
		f.Add(wire, true)
		f.Add(wire, false)
	})
	head := requestHead{service: "vec.Echo", method: "Bidi"}
	for _, flags := range []uint8{0, flagRemoteClosed} { // its client says that it does not stream
		f.Add(fuzzFrame(1, messageTypeRequest, flags, head.appendFront(nil, 0)), false)
	}
	f.Fuzz(func(t *testing.T, wire []byte, stepwise bool) {
		synctest.Test(t, func(t *testing.T) { fuzzServer(t, wire, stepwise) })
	})
}

func fuzzServer(t *testing.T, wire []byte, stepwise bool) {
	srv, err := NewServer(WithServerLimits(Limits{MessageSize: fuzzLimit}))
	if err != nil {
		t.Fatal(err)
	}
	srv.RegisterService("vec.Echo", goldenService())
	near, far := memconn.Pipe(0)
	srv.accept(t.Context(), far)
	var c *conn
	for c = range srv.connections {
	}
	records, whole := fuzzParse(wire)
	if stepwise {
		for _, piece := range fuzzPieces(wire[:whole]) {
			near.Write(piece)
			synctest.Wait()
		}
	} else {
		near.Write(wire[:whole])
	}
	synctest.Wait()
	// The streams that are still open end when their client has no more to
	// send.
	c.mu.Lock()
	for id := range c.streams {
		near.Write(fuzzFrame(id, messageTypeData, flagRemoteClosed|flagNoData, nil))
	}
	c.mu.Unlock()
	received, _ := fuzzParse(wire[:whole])
	fuzzCheckAnswers(t, received, (&goldenTap{writer: far, reader: near}).drain(t))
	fuzzCheckEmpty(t, c)

	// What is left is half a frame, or the header of an impossible one. Under
	// an impossible one the server goes first.
	near.Write(wire[whole:])
	synctest.Wait()
	if broken := records[len(records)-1].err == ErrProtocol.Error(); srv.countConnection() == 0 != broken {
		t.Errorf("B7: the connection ended: %v, a length was impossible: %v", !broken, broken)
	}
	near.Close()
	synctest.Wait()
	if n := srv.countConnection(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	near, far = memconn.Pipe(0)
	srv.accept(t.Context(), far)
	client := NewClient(near)
	if err := client.Call(t.Context(), "vec.Echo", "Echo", wrapperspb.String("hello"), new(wrapperspb.StringValue)); err != nil {
		t.Errorf("the server is of no more use: %v", err)
	}
	client.Close()
	srv.Close()
}

// fuzzPieces cuts whole frames apart.
func fuzzPieces(frames []byte) [][]byte {
	var pieces [][]byte
	for len(frames) > 0 {
		h, _ := parseHeader(frames)
		n := messageHeaderLength + int(h.Length)
		pieces = append(pieces, frames[:n])
		frames = frames[n:]
	}
	return pieces
}

// fuzzCheckAnswers checks how often the server answered on each id: with one
// terminal frame to each request, and else only to violations.
func fuzzCheckAnswers(t testing.TB, records []fuzzRecord, answers []byte) {
	type counts struct{ requests, others, oversized, answers, rejections int }
	ids := make(map[uint32]*counts)
	at := func(id uint32) *counts {
		if ids[id] == nil {
			ids[id] = new(counts)
		}
		return ids[id]
	}
	for _, r := range records[:len(records)-1] {
		n := at(r.header.StreamID)
		if r.header.Type == messageTypeRequest {
			n.requests++
			continue
		}
		n.others++
		if r.err != "" {
			n.oversized++
		}
	}
	for _, piece := range fuzzPieces(answers) {
		h, _ := parseHeader(piece)
		if h.Type == messageTypeData && h.Flags&flagRemoteClosed == 0 {
			continue
		}
		n := at(h.StreamID)
		n.answers++
		if bytes.Contains(piece, []byte(violationInactive)) {
			n.rejections++
		}
	}
	for id, n := range ids {
		if id%2 == 0 && n.answers != n.requests+n.others {
			t.Errorf("B37: id %d: %d answers to %d frames", id, n.answers, n.requests+n.others)
		}
		if id%2 != 0 && (n.answers < n.requests || n.answers > n.requests+n.others || n.answers-n.rejections > n.requests+n.oversized) {
			t.Errorf("B40: id %d: %+v", id, *n)
		}
	}
}

// fuzzCheckEmpty checks that a connection has forgotten all its streams.
func fuzzCheckEmpty(t *testing.T, c *conn) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.streams) != 0 || c.total.Load() != 0 || c.out.count != 0 {
		t.Errorf("B21: %d streams, %d bytes received and %d frames to send are left", len(c.streams), c.total.Load(), c.out.count)
	}
}

// A fuzzCall is a call of FuzzClient's, and how it went.
type fuzzCall struct {
	id     uint32
	stream ClientStream // nil if the call is unary
	ended  bool
	errs   []error
	answer wrapperspb.StringValue
}

// FuzzClient answers a client's calls with any bytes.
func FuzzClient(f *testing.F) {
	fuzzSeeds(f, "server", func(wire []byte) {
		for id := uint32(1); id <= 7; id += 2 {
			wire := bytes.Clone(wire)
			_, whole := fuzzParse(wire)
			for _, piece := range fuzzPieces(wire[:whole]) {
				putStreamID(piece, id)
			}
			f.Add(wire)
		}
	})
	f.Fuzz(func(t *testing.T, wire []byte) {
		synctest.Test(t, func(t *testing.T) { fuzzClient(t, wire) })
	})
}

func fuzzClient(t *testing.T, wire []byte) {
	near, far := memconn.Pipe(0)
	closed := 0
	client := NewClient(near, WithClientLimits(Limits{MessageSize: fuzzLimit}), WithOnClose(func() { closed++ }))
	records, _ := fuzzParse(wire)
	frames := make(map[uint32][]fuzzRecord)
	for _, r := range records[:len(records)-1] {
		frames[r.header.StreamID] = append(frames[r.header.StreamID], r)
	}
	unary := &fuzzCall{id: 1}
	go unary.call(t.Context(), client)
	synctest.Wait()
	calls := []*fuzzCall{unary}
	for _, desc := range []StreamDesc{{StreamingClient: true, StreamingServer: true}, {StreamingClient: true}, {StreamingServer: true}} {
		stream, err := client.NewStream(t.Context(), &desc, "s", "m", nil)
		if err != nil {
			t.Fatal(err)
		}
		call := &fuzzCall{id: uint32(2*len(calls) + 1), stream: stream}
		calls = append(calls, call)
		// Each frame is one message at most. After that comes the end.
		go call.receive(len(frames[call.id]) + 2)
	}
	far.Write(wire)
	far.Close()
	synctest.Wait()
	for _, call := range calls {
		if !call.ended {
			t.Errorf("B21: call %d has not ended", call.id)
		}
	}
	if err := unary.check(frames[1]); err != nil {
		t.Error(err)
	}
	for _, call := range calls[1:] {
		if !call.hasOneEnd() {
			t.Errorf("B21: stream %d has not one end: %v", call.id, call.errs)
		}
	}
	fuzzCheckEmpty(t, connOf(client))
	if closed != 1 {
		t.Errorf("B12: the function for the end ran %d times", closed)
	}
	if _, err := client.NewStream(t.Context(), new(StreamDesc), "s", "m", nil); err != ErrClosed {
		t.Errorf("B1: NewStream after the end returns %v", err)
	}
}

func (call *fuzzCall) call(ctx context.Context, client *Client) {
	call.errs = append(call.errs, client.Call(ctx, "s", "m", new(wrapperspb.StringValue), &call.answer))
	call.ended = true
}

func (call *fuzzCall) receive(times int) {
	for range times {
		call.errs = append(call.errs, call.stream.RecvMsg(&call.answer))
	}
	call.ended = true
}

// hasOneEnd tells whether a stream returned its end twice or more, and before
// it none but errors of single messages that do not parse. An answer that does
// not parse is an end, too; its error may be that of messages before it.
func (call *fuzzCall) hasOneEnd() bool {
	n := len(call.errs)
	end := call.errs[n-1]
	ended := false
	for _, err := range call.errs {
		if ended && err != end {
			return false
		}
		ended = ended || isEnd(err)
	}
	return end != nil && end == call.errs[n-2]
}

// isEnd tells an error that ends a stream from one of a message that does not
// parse.
func isEnd(err error) bool {
	_, isStatus := status.FromError(err)
	return err == io.EOF || err == ErrClosed || errors.Is(err, ErrProtocol) || err != nil && isStatus
}

// check compares the outcome of a unary call with its first frame.
func (call *fuzzCall) check(frames []fuzzRecord) error {
	if len(call.errs) != 1 {
		return fmt.Errorf("the call ended %d times", len(call.errs))
	}
	err := call.errs[0]
	var big *OversizedMessageErr
	var resp Response
	var want wrapperspb.StringValue
	switch {
	case len(frames) == 0:
		if err != ErrClosed {
			return fmt.Errorf("B1: without an answer the call returns %v", err)
		}
	case frames[0].err != "":
		if !isOversized(err) || errors.As(err, &big) {
			return fmt.Errorf("B7: after an oversized answer the call returns %v", err)
		}
	case frames[0].header.Type != messageTypeResponse:
		if !errors.Is(err, ErrProtocol) {
			return fmt.Errorf("after a frame that is no response the call returns %v", err)
		}
	case proto.Unmarshal([]byte(frames[0].data), &resp) != nil:
		if err == nil || strings.Contains(err.Error(), "closed") {
			return fmt.Errorf("after a malformed response the call returns %v", err)
		}
	case status.ErrorProto(resp.Status) != nil:
		if status.Code(err) != status.FromProto(resp.Status).Code() {
			return fmt.Errorf("B11: the status %v becomes %v", resp.Status, err)
		}
	default:
		if wantErr := proto.Unmarshal(resp.Payload, &want); (wantErr == nil) != (err == nil) || err == nil && !proto.Equal(&want, &call.answer) {
			return fmt.Errorf("the payload %x becomes %v, %v", resp.Payload, &call.answer, err)
		}
	}
	return nil
}
