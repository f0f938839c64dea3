// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// An order tells a handler what to do and what it will get. The client knows from
// it what it has to get back, byte for byte.
type order struct {
	Call      uint64 // is unique
	Seed      uint64 // of all content
	Count     uint32 // messages that follow on a stream, in either direction
	Size      uint32 // of the answer; on a stream, of its largest message
	Delay     uint32 // how long the handler takes, in µs
	Linger    uint32 // how long a stream's handler stays after its last message, in µs
	FailAfter uint32 // on a stream: the messages before it fails
	Failure   uint8  // which of the failures the handler returns; 0 for none
	Must      bool   // the caller waits for the end, so each answer has to reach it
	Stubborn  bool   // the handler ignores its context
	Hold      bool   // the handler waits until it is released
	Context   bool   // the call has metadata and a deadline, which the handler checks
}

// orderSize is how long an encoded order is.
var orderSize = binary.Size(order{})

// message returns the request: the order, and n bytes of content.
func (o *order) message(n int) *wrapperspb.BytesValue {
	b := make([]byte, 0, orderSize+n)
	b, err := binary.Append(b, binary.LittleEndian, o)
	if err != nil {
		panic(err)
	}
	b = b[:orderSize+n]
	fill(b[orderSize:], o.Seed)
	return wrapperspb.Bytes(b)
}

// parseOrder returns the order that a request begins with, whose content it checks.
func parseOrder(b []byte) (*order, error) {
	o := new(order)
	n, err := binary.Decode(b, binary.LittleEndian, o)
	if err != nil {
		return nil, err
	}
	return o, check(b[n:], o.Seed, len(b)-n)
}

// sent returns what the client sends as message i of a stream, received what it gets.
func (o *order) sent(i int) content     { return o.content(0x5e17, i) }
func (o *order) received(i int) content { return o.content(0x9e7, i) }

func (o *order) content(salt uint64, i int) content {
	seed := mix(o.Seed^salt<<32) + uint64(i)<<20
	return content{seed, int(mix(seed+1) % (uint64(o.Size) + 1))}
}

// answer returns what comes back for a call, or for a stream that gets one answer.
func (o *order) answer() content { return content{mix(o.Seed), int(o.Size)} }

// A content is bytes that can be told from all others.
type content struct {
	seed uint64
	size int
}

func (c content) message() *wrapperspb.BytesValue {
	b := make([]byte, c.size)
	fill(b, c.seed)
	return wrapperspb.Bytes(b)
}

func (c content) check(b []byte) error { return check(b, c.seed, c.size) }

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// fill writes the pattern of a seed.
func fill(b []byte, seed uint64) {
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, mix(seed))
		seed++
	}
	var last [8]byte
	binary.LittleEndian.PutUint64(last[:], mix(seed))
	copy(b, last[:])
}

// A mismatch is the error of content that is not what was sent.
type mismatch struct{ text string }

func (m *mismatch) Error() string { return m.text }

// check compares b with n bytes of the pattern of a seed.
func check(b []byte, seed uint64, n int) error {
	if len(b) != n {
		return &mismatch{fmt.Sprintf("%d bytes, want %d", len(b), n)}
	}
	var want [512]byte
	for at := 0; at < n; at += len(want) {
		part := b[at:min(at+len(want), n)]
		fill(want[:len(part)], seed+uint64(at/8))
		if !bytes.Equal(part, want[:len(part)]) {
			return &mismatch{fmt.Sprintf("the content of %d bytes differs after byte %d", n, at)}
		}
	}
	return nil
}

// invert is what Echo does to each byte.
func invert(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = ^b[i]
	}
	return out
}

// randomSize returns small sizes mostly, and now and then one up to most.
func randomSize(rng *rand.Rand, most int) int {
	limit := 256
	switch p := rng.IntN(1000); {
	case p < 2:
		limit = 4 << 20
	case p < 10:
		limit = 1 << 20
	case p < 50:
		limit = 128 << 10
	case p < 250:
		limit = 8 << 10
	}
	return rng.IntN(min(limit, most) + 1)
}
