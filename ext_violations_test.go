// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// extendedViolations are frames, by what is wrong with the last of them.
func extendedViolations() map[string][]rawFrame {
	long := make([]byte, maxControl+1)
	return map[string][]rawFrame{
		"metadata without feature":  {raw(3, messageTypeMetadata, 0, nil)},
		"metadata on 0":             {raw(0, messageTypeMetadata, 0, nil)},
		"an unknown type 49":        {raw(3, 0x49, 0, nil)},
		"an unknown type 7f":        {raw(2, 0x7f, 0, nil)},
		"an unknown type 49 on 0":   {raw(0, 0x49, 0, nil)},
		"a credit beyond, unasked":  {raw(0, messageTypeCredit, flagAsked, number(1))},
		"a want of 3 bytes":         {raw(3, messageTypeWant, 0, number(1)[1:])},
		"a return of too much":      {raw(0, messageTypeReturn, 0, number(1<<31))},
		"a return of 0":             {raw(0, messageTypeReturn, 0, number(0))},
		"a want of too much":        {raw(0, messageTypeWant, 0, number(uint32(chargeOf(messageLengthMax, maxFiles)+1)))},
		"a return of 5 bytes":       {raw(3, messageTypeReturn, 0, append(number(1), 0))},
		"a request on 0":            {raw(0, messageTypeRequest, 0, nil)},
		"a response on 0":           {raw(0, messageTypeResponse, 0, nil)},
		"data on 0":                 {raw(0, messageTypeData, 0, nil)},
		"type 00 on 0":              {raw(0, 0, 0, nil)},
		"type 3f on 0":              {raw(0, 0x3f, 0, nil)},
		"a part on 0":               {raw(0, messageTypePart, 0, nil)},
		"a reset on 0":              {raw(0, messageTypePart, flagReset, nil)},
		"a reset with data":         {raw(3, messageTypePart, flagReset, []byte{1})},
		"files on 0":                {raw(0, messageTypeFiles, 0, number(1))},
		"files of 3 bytes":          {raw(3, messageTypeFiles, 0, number(1)[1:])},
		"files of 5 bytes":          {raw(3, messageTypeFiles, 0, append(number(1), 0))},
		"files without the feature": {raw(3, messageTypeFiles, 0, number(1))},
		"no files":                  {raw(3, messageTypeFiles, 0, number(0))},
		"a cancel on 0":             {raw(0, messageTypeCancel, 0, nil)},
		"a cancel too long":         {raw(3, messageTypeCancel, 0, long)},
		"credit of no bytes":        {raw(0, messageTypeCredit, 0, nil)},
		"credit of 3 bytes":         {raw(0, messageTypeCredit, 0, number(1)[1:])},
		"credit of 5 bytes":         {raw(0, messageTypeCredit, 0, append(number(1), 0))},
		"credit of 0":               {raw(0, messageTypeCredit, 0, number(0))},
		"a credit of 2^31":          {raw(0, messageTypeCredit, 0, number(1<<31))},
		"a credit of 2^32-1":        {raw(0, messageTypeCredit, 0, number(1<<32-1))},
		"credit over the most":      {raw(0, messageTypeCredit, 0, number(maxCredit-defaultConnectionBytes+1000))},
		"a ping on 3":               {raw(3, messageTypePing, 0, make([]byte, 8))},
		"a ping on 2":               {raw(2, messageTypePing, 0, make([]byte, 8))},
		"a ping of no bytes":        {raw(0, messageTypePing, 0, nil)},
		"a ping of 7 bytes":         {raw(0, messageTypePing, 0, make([]byte, 7))},
		"a ping of 9 bytes":         {raw(0, messageTypePing, 0, make([]byte, 9))},
		"an answer of 9 bytes":      {raw(0, messageTypePing, flagAnswer, make([]byte, 9))},
		"a goodbye on 3":            {raw(3, messageTypeGoodbye, 0, number(0))},
		"a goodbye of no bytes":     {raw(0, messageTypeGoodbye, 0, nil)},
		"a goodbye of 3 bytes":      {raw(0, messageTypeGoodbye, 0, number(0)[1:])},
		"a goodbye too long":        {raw(0, messageTypeGoodbye, 0, long)},
		"a goodbye that raises":     {raw(0, messageTypeGoodbye, 0, number(8)), raw(0, messageTypeGoodbye, 0, number(10))},
		"16 MiB":                    {{messageHeader{Length: messageLengthCap + 1, StreamID: 3, Type: messageTypePart}, nil}},
	}
}

// TestExtendedViolations holds that frames which the mode does not allow end the
// connection, and with it its calls and handlers.
func TestExtendedViolations(t *testing.T) {
	for name, frames := range extendedViolations() {
		t.Run(name, func(t *testing.T) {
			onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
				e.peer.request(e.theirs(0), 0, "Wait", nil)
				handler := <-e.ts.contexts
				call := goCall(context.Background(), e.client, new(wrapperspb.StringValue))
				e.peer.next("B50")
				for i, f := range frames {
					e.peer.wantAlive("B56")
					b := make([]byte, messageHeaderLength)
					f.Put(b)
					e.peer.write(append(b, f.data...))
					if i < len(frames)-1 {
						synctest.Wait()
					}
				}
				e.peer.wantEnd("B56: " + name)
				if err := <-call; name != "a goodbye that raises" && !errors.Is(err, ErrClosed) {
					t.Errorf("B56: the call ended with %v", err)
				}
				<-handler.Done()
				if err := e.conn.why(); !errors.Is(err, ErrProtocol) {
					t.Errorf("B56: the cause is %v", err)
				}
				e.ts.answers <- nil
			})
		})
	}
}

// raw is a frame with its length.
func raw(id uint32, typ messageType, flags uint8, data []byte) rawFrame {
	return rawFrame{headerOf(uint32(len(data)), id, typ, flags), data}
}

// TestExtendedAllowed holds that what is just allowed, or is to be ignored, ends nothing.
func TestExtendedAllowed(t *testing.T) {
	long := make([]byte, maxControl)
	for name, f := range map[string]rawFrame{
		"type 80 on 0":               raw(0, 0x80, 0xff, []byte("data")),
		"type ff on 0":               raw(0, 0xff, 0, nil),
		"type 80 on a new id":        raw(21, 0x80, 0, []byte("data")),
		"type 80 on a new even id":   raw(20, 0x80, 0, []byte("data")),
		"type 80 over the limit":     raw(21, 0x80, 0, make([]byte, messageLengthMax+1)),
		"the longest cancel":         raw(21, messageTypeCancel, 0, long),
		"unknown flags on a cancel":  raw(21, messageTypeCancel, 0xff, nil),
		"unknown flags on a credit":  raw(21, messageTypeCredit, 0xfe, number(1)),
		"unknown flags on a reset":   raw(21, messageTypePart, 0xff, nil),
		"an answer to no ping":       raw(0, messageTypePing, flagAnswer, make([]byte, 8)),
		"unknown flags on an answer": raw(0, messageTypePing, 0xff, make([]byte, 8)),
		"the most credit":            raw(0, messageTypeCredit, 0, number(maxCredit-defaultConnectionBytes)),
		"credit on an id never used": raw(21, messageTypeCredit, 0, number(maxCredit)),
	} {
		t.Run(name, func(t *testing.T) {
			onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
				e.peer.send(f.StreamID, f.Type, f.Flags, f.data)
				e.peer.wantNothing("B56: " + name)
				e.peer.wantAlive("B56: " + name)
				e.alive("B56: "+name, 2)
			})
		})
	}
}

// TestExtendedOptionalTypes holds that frames from 80 on touch no stream.
func TestExtendedOptionalTypes(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		call := goCall(t.Context(), e.client, new(wrapperspb.StringValue))
		e.peer.wantRequest("B50", e.ours(0), 0)
		request := echoRequest(t)
		e.peer.send(e.theirs(0), messageTypePart, 0, request[:5])
		for _, id := range []uint32{e.ours(0), e.theirs(0)} {
			e.peer.send(id, 0x80, 0, []byte("data"))
			e.peer.send(id, 0xff, 0xff, make([]byte, messageLengthMax+1))
		}
		e.peer.send(e.theirs(0), messageTypeRequest, 0, request[5:])
		e.peer.wantResult("B56", e.theirs(0), wrapperspb.String("alive"))
		e.peer.respond(e.ours(0), nil, nil)
		if err := <-call; err != nil {
			t.Errorf("B56: %v", err)
		}
	})
}

// TestExtendedTypeNames is for people who read logs.
func TestExtendedTypeNames(t *testing.T) {
	for typ, want := range map[messageType]string{0x40: "part", 0x41: "files", 0x42: "cancel", 0x43: "credit", 0x44: "ping", 0x45: "goodbye", 0x46: "metadata", 0x47: "want", 0x48: "return", 0x49: "type 0x49"} {
		if got := fmt.Sprint(typ); got != want {
			t.Errorf("type %#x is called %q, want %q", uint8(typ), got, want)
		}
	}
}

// TestExtendedManyBegun holds that what was begun and is not finished takes credit, also if
// nothing of it is kept.
func TestExtendedManyBegun(t *testing.T) {
	for name, n := range map[string]int{"empty": 0, "over the limit": 1001} {
		t.Run(name, func(t *testing.T) {
			onEitherEndWith(t, peerHello(), StreamQueue{ConnectionBytes: 40 << 10}, 1000, func(t *testing.T, e *extendedEnd) {
				most := 10 << 10 / messageCharge // with the calls' part of ConnectionBytes
				e.peer.send(0, messageTypeWant, 0, number(1))
				for i := range most {
					size := n
					if i > 30 { // there is no room for what is dropped at once
						size = 0
					}
					e.peer.send(e.theirs(i), messageTypePart, 0, make([]byte, size))
					e.peer.takeCredit(0)
				}
				e.peer.wantAlive("B56: messages are begun for which there is credit")
				e.peer.send(e.theirs(0), messageTypePart, flagReset, nil)
				if got := e.peer.takeCredit(0); got != messageCharge {
					t.Errorf("B48: one was reset, and a credit of %d comes back", got)
				}
				e.peer.send(e.theirs(most), messageTypePart, 0, nil)
				e.peer.wantAlive("B56: one was reset and another begun")
				e.peer.send(e.theirs(most+1), messageTypePart, 0, nil)
				e.peer.wantEnd("B56: one too many is begun")
				if err := e.conn.why(); !errors.Is(err, ErrProtocol) || errors.Is(err, io.EOF) {
					t.Errorf("B56: the cause is %v", err)
				}
			})
		})
	}
}
