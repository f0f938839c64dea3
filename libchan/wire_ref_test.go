// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// rawStream returns the stream on which a channel's messages leave, once one has.
func rawStream(s Sender) msgSender {
	c := s.(*sender).c
	c.mu.Lock()
	defer c.unlock()
	return c.sides[receiving].far.stream
}

// A peer's message that refers to what it may not is an error on that channel, and nothing is
// held.
func TestHostileReferences(t *testing.T) {
	own, foreign := uint64(1001), uint64(1000) // of the side that dials, and of the other
	for name, refs := range map[string][]wireRef{
		"a kind that nobody knows":    {{kind: 6, id: own}},
		"a kind of many bits":         {{kind: 255, id: own}},
		"a stream without ids":        {{kind: refBytes}},
		"a stream with one id twice":  {{kind: refBytes, id: own, writes: own}},
		"an id twice":                 {{id: own}, {kind: refBytes, id: own + 2, writes: own}},
		"an id twice the other way":   {{kind: refBytes, writes: own}, {id: own}},
		"the receiver's id":           {{kind: refBytes, id: foreign}},
		"the receiver's id to write":  {{kind: refBytes, id: own, writes: foreign}},
		"a stream with a capacity":    {{kind: refBytes, id: own, capacity: 1}},
		"a channel without an id":     {{sends: true}},
		"a sender that is too full":   {{id: own, sends: true, capacity: 3, untaken: 3}},
		"a rendezvous that is":        {{id: own, sends: true, capacity: 1, untaken: 2}},
		"a full one of no capacity":   {{id: own, sends: true, untaken: 1}},
		"a receiver that is full":     {{id: own, capacity: 3, untaken: 1}},
		"a channel to write":          {{id: own, writes: own + 2}},
		"a listener without an id":    {{kind: refListener}},
		"a listener that sends":       {{kind: refListener, id: own, sends: true}},
		"a listener of a capacity":    {{kind: refListener, id: own, capacity: maxCapacity + 1}},
		"a file that has not come":    {{kind: refFile}},
		"a file with an id":           {{kind: refFile, id: own}},
		"a socket that has not come":  {{id: own}, {kind: refConn}},
		"a listener that has not":     {{kind: refSocketListener}},
		"good ones, and then one bad": {{id: own}, {kind: refBytes, id: own + 2, writes: own + 4}, {kind: refBytes}},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				near, far := sessions(t)
				out, in := top(t, near, far)
				other, otherIn := top(t, near, far)
				must(t, out.Send(1))
				receives(t, in, 1)
				bad := wireMessage{refs: refs}
				must(t, rawStream(out).SendMsg(&ttrpc.RawMessage{Payload: bad.appendBeside(nil)}))
				if err := in.Receive(new(any)); status.Code(err) != codes.InvalidArgument {
					t.Errorf("Receive: %v, want InvalidArgument", err)
				}
				synctest.Wait()
				if err := out.Send(1); status.Code(err) != codes.InvalidArgument {
					t.Errorf("the peer's next Send: %v, want InvalidArgument", err)
				}
				must(t, other.Send(2))
				receives(t, otherIn, 2)
				must(t, other.Close())
				if err := otherIn.Receive(new(int)); err != io.EOF {
					t.Errorf("the end of another channel is %v", err)
				}
				synctest.Wait()
				if n := tables(near, far); n != 0 {
					t.Errorf("%d entries in tables are left", n)
				}
			})
		})
	}
}

// What follows the mark of a byte stream's end must be that end.
func TestHostileChunks(t *testing.T) {
	end := wireMessage{end: statusOf(errors.New("the end"))}
	beside := wireMessage{refs: []wireRef{{id: 1001}}}
	for name, c := range map[string]struct {
		payloads [][]byte
		want     codes.Code
	}{
		"no end":          {[][]byte{{}}, codes.Unknown},
		"garbage":         {[][]byte{{}, {0xff}}, codes.InvalidArgument},
		"another mark":    {[][]byte{{}, {}}, codes.InvalidArgument},
		"references":      {[][]byte{{}, beside.appendBeside(nil)}, codes.InvalidArgument},
		"more after it":   {[][]byte{{}, end.appendBeside(nil), []byte("x")}, codes.Unknown},
		"a chunk and end": {[][]byte{{}, end.appendBeside(nil)}, codes.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				near, far := sessions(t)
				out, in := top(t, near, far)
				a, b := NewByteStream()
				must(t, out.Send(b))
				must(t, in.Receive(&b))
				_, err := b.Write([]byte("x"))
				must(t, err)
				buf := make([]byte, 1)
				_, err = io.ReadFull(a, buf)
				must(t, err)
				w := b.(*byteStream).w.c
				w.mu.Lock()
				stream := w.sides[receiving].far.stream
				w.mu.Unlock()
				for _, p := range c.payloads {
					must(t, stream.SendMsg(&ttrpc.RawMessage{Payload: p}))
				}
				must(t, b.CloseWrite())
				n, err := a.Read(buf)
				if n != 0 || err == nil || err == io.EOF || status.Code(err) != c.want {
					t.Errorf("Read: %d, %v, want an error of code %v", n, err, c.want)
				}
				must(t, a.Close())
				must(t, b.Close())
				must(t, out.Close())
				if err := in.Receive(new(int)); err != io.EOF {
					t.Errorf("the end of the channel is %v", err)
				}
				synctest.Wait()
				if n := tables(near, far); n != 0 {
					t.Errorf("%d entries in tables are left", n)
				}
			})
		})
	}
}
