// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package dissector

import (
	"bytes"
	"strings"

	"github.com/containerd/ttrpc/internal/wire"
)

// A script makes an exchange.
type script struct{ exchange }

// say has a side, C or S, send a frame.
func (s *script) say(side byte, id uint32, typ wire.Type, flags uint8, data string) *script {
	s.frames = append(s.frames, frame{side == 'S', wire.AppendFrame(nil, id, typ, flags, []byte(data))})
	return s
}

// request has a side make a call of vec.Echo.
func (s *script) request(side byte, id uint32, flags uint8, method, payload string) *script {
	return s.call(side, id, flags, wire.Request{Service: "vec.Echo", Method: method, Payload: []byte(payload)})
}

func (s *script) call(side byte, id uint32, flags uint8, r wire.Request) *script {
	return s.say(side, id, wire.TypeRequest, flags, string(r.Append(nil)))
}

// response has a side answer.
func (s *script) response(side byte, id uint32, flags uint8, payload string) *script {
	return s.say(side, id, wire.TypeResponse, flags, string(wire.Response{Payload: []byte(payload)}.Append(nil)))
}

// number is the data of control frames that have one.
func number(n uint32) string { return string(wire.AppendNumber(nil, n)) }

// noTTRPC is the exchange that ends in bytes of something else.
const noTTRPC = "no ttrpc"

const helloText = "\x0a\x05hello" // a vec.Text

// more returns exchanges that neither recordings nor PROTOCOL.md have: what is rare, large
// or wrong.
func more() (all []exchange) {
	classic := func(name string) *script {
		return &script{exchange{name: name}}
	}
	extended := func(name string) *script {
		hello := wire.Hello{Version: 1, Files: true, Metadata: true, MaxMessage: 1 << 30, Window: 8192, ConnectionWindow: 1 << 20, Serves: true}
		s := classic(name)
		s.say('C', 1, wire.TypeRequest, 0, string(wire.HelloRequest(hello.Append(nil))))
		return s.response('S', 1, 0, string(hello.Append(nil)))
	}
	done := func(s *script) { all = append(all, s.exchange) }

	done(classic("an id that is in use").
		request('C', 1, 0, "Echo", helloText).
		request('C', 1, 0, "Empty", "").
		say('S', 1, wire.TypeResponse, 0, "\x0a\x31\x08\x03\x12\x2dStreamID cannot be re-used and must increment").
		response('S', 1, 0, helloText))
	done(classic("an id that is in use, and two answers").
		request('C', 1, 0, "Echo", helloText).
		request('C', 1, 0, "Empty", "").
		response('S', 1, 0, helloText).
		response('S', 1, 0, ""))
	done(classic("a second terminal frame").
		request('C', 1, 1, "Count", "\x08\x01").
		say('S', 1, wire.TypeData, 1, "\x08\x01").
		response('S', 1, 0, ""))
	done(classic("two answers alike").
		request('C', 1, 0, "Empty", "").
		response('S', 1, 0, "").
		response('S', 1, 0, ""))
	done(classic("data on a unary call, after the last, and from nowhere").
		request('C', 1, 0, "Echo", helloText).
		say('C', 1, wire.TypeData, 0, helloText).
		request('C', 3, 6, "Bidi", "").
		say('C', 3, wire.TypeData, 5, "").
		say('C', 3, wire.TypeData, 0, helloText).
		say('S', 5, wire.TypeData, 0, helloText))
	done(classic("an answer by the caller").
		request('C', 1, 0, "Echo", helloText).
		response('C', 1, 0, helloText))
	done(classic("statuses").
		request('C', 1, 0, "Echo", "").
		say('S', 1, wire.TypeResponse, 0, "\x0a\x04\x08\x63\x12\x00").
		request('C', 3, 0, "Echo", "").
		say('S', 3, wire.TypeResponse, 0, "\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").
		request('C', 5, 0, "Echo", "").
		say('S', 5, wire.TypeResponse, 0, "\x0a\x02\x08\x00\x12\x07"+helloText).
		request('C', 7, 0, "Echo", "").
		say('S', 7, wire.TypeResponse, 0, "\x0a\x02\xff\xff"))
	done(classic("odd requests").
		call('C', 1, 0, wire.Request{Service: "a\xff\x00b", Method: "tab\t", TimeoutNano: -1 << 63}).
		call('C', 3, 0, wire.Request{Service: strings.Repeat("long", 100), Method: "M", TimeoutNano: 1<<63 - 1}).
		call('C', 5, 0, wire.Request{Method: "M", Metadata: []wire.KeyValue{{Key: "", Value: ""}, {Key: "ключ", Value: "値"}}}).
		say('C', 7, wire.TypeRequest, 0, "\x08\x01\x10\x02\x19\x00\x00\x00\x00\x00\x00\x00\x00\x25\x00\x00\x00\x00")) // fields of other types
	done(classic(noTTRPC).
		request('C', 1, 0, "Echo", helloText).
		raw('S', "HTTP/1.1 400 Bad Request\r\n\r\n").
		raw('C', "\xff\xff\xff\xff\x00\x00\x00\x03\x01\x00more"))
	done(classic("extended frames without Hello").
		say('C', 3, wire.TypeCancel, 0, "\x08\x01"))
	done(classic("a tunnel").
		call('C', 1, 6, wire.Request{Service: "brpc.Tunnel", Method: "Open"}).
		say('C', 1, wire.TypeData, 0, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))

	text := "\x0a\xa0\xb5\x18" + strings.Repeat("x", 400_032) // a vec.Text
	done(extended("messages in parts, both ways").
		request('C', 3, 6, "Bidi", "").
		say('C', 3, wire.TypePart, 2, text[:65_536]).
		say('S', 2, wire.TypeRequest, 6, "\x0a\x08vec.Echo\x12\x04Bidi").
		say('C', 3, wire.TypePart, 2, text[65_536:300_000]).
		say('S', 2, wire.TypePart, 2, "\x0a").
		say('C', 3, wire.TypeFiles, 2, number(3)).
		say('S', 2, wire.TypeData, 0, "\x05hello").
		say('C', 3, wire.TypeData, 0, text[300_000:]).
		say('S', 3, wire.TypePart, 2, "\x12\x07\x0a\x05he").
		say('S', 3, wire.TypeResponse, 2, "llo"))
	done(extended("a reset, and then the next").
		request('C', 3, 6, "Bidi", "").
		say('C', 3, wire.TypePart, 2, "lost").
		say('C', 3, wire.TypeFiles, 2, number(1)).
		say('C', 3, wire.TypePart, 1, "").
		say('C', 3, wire.TypeData, 0, helloText).
		say('C', 3, wire.TypeCancel, 0, ""))
	done(extended("a refusal").
		request('C', 3, 0, "Echo", helloText).
		say('S', 3, wire.TypeResponse, 4, "\x0a\x08\x08\x08\x12\x04full"))
	done(extended("what ends the connection").
		request('C', 3, 6, "Bidi", "").
		say('C', 3, wire.TypeData, 0, "\x0a\xfc\xff\x0f"+strings.Repeat("x", 262_140)+"\x0a\x00").
		say('C', 3, wire.TypePart, 0, strings.Repeat("x", 262_145)).
		say('C', 3, 0x49, 0, "new").
		say('C', 3, 0x90, 0, "later").
		say('C', 3, wire.TypePing, 0, "12345678").
		say('C', 0, wire.TypePing, 1, "12345678").
		say('C', 0, wire.TypePing, 0, "1234567").
		say('C', 0, wire.TypeCancel, 0, "").
		say('C', 3, wire.TypeCredit, 0xff, "abc").
		say('C', 0, wire.TypeGoodbye, 0, "ab").
		say('C', 0, wire.TypeGoodbye, 0, number(7)+"\xff").
		say('C', 3, wire.TypeMetadata, 0, "\xff").
		say('C', 3, wire.TypeCancel, 0, "\x12\xfd\xff\x03"+strings.Repeat("y", 65_533)))
	done(extended("credit").
		say('C', 0, wire.TypeWant, 0, number(1<<20)).
		say('S', 0, wire.TypeCredit, 1, number(1<<20)).
		say('C', 0, wire.TypeReturn, 0, number(10)).
		say('C', 3, wire.TypeWant, 1, number(1<<31-1)))
	done(extended("channels of bytes, listeners and files").
		call('C', 3, 2, wire.Request{Service: "libchan.v1.Session", Method: "Open", Payload: []byte("\x08\x01\x10\x01\x22\x04logs\x28\x05")}).
		say('C', 3, wire.TypeData, 0, "\x0a\x01x\x12\x04json\x1a\x18\x08\x03\x20\x01\x28\x05\x32\x0e\x0a\x04unix\x12\x06/run/x\x40\x02\x1a\x02\x20\x03\x28\x01").
		say('C', 3, wire.TypeData, 0, "\x22\x0a\x08\x0b\x12\x06enough").
		say('C', 3, wire.TypeData, 0, "bytes, as they are"))
	return all
}

// raw has a side send bytes.
func (s *script) raw(side byte, b string) *script {
	s.frames = append(s.frames, frame{side == 'S', bytes.Clone([]byte(b))})
	return s
}
