// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/containerd/ttrpc/internal/memconn"
)

// TestPiecesAreJoined holds that a message that arrives in parts is the same however many
// pieces it is kept in, with parts of another between its own, and that no piece grows
// over the size at which a new one begins.
func TestPiecesAreJoined(t *testing.T) {
	for _, piece := range []int{1, 10, 100, 1000, pieceSize} {
		for seed := range uint64(20) {
			t.Run(fmt.Sprintf("pieces of %d/%d", piece, seed), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 0))
				a, b := memconn.Pipe(0)
				ch := newChannelSize(b, 1<<20)
				asm := newAssembler(false)
				asm.agreed, asm.piece, ch.more = true, piece, asm
				sent := map[uint32][]byte{1: noiseOf(r), 3: noiseOf(r)}
				largest := sendParts(a, r, sent)
				for got := 0; got < len(sent); {
					f, err := ch.recvFrame(true)
					if err != nil {
						t.Fatal(err)
					}
					if f.header.Type == messageTypePart {
						asm.takePart(ch, f.header, true)
						continue
					}
					got++
					wantJoined(t, f, sent[f.header.StreamID], max(piece, largest))
				}
				if len(asm.open) != 0 {
					t.Errorf("B49: %d messages are left", len(asm.open))
				}
			})
		}
	}
}

func noiseOf(r *rand.Rand) []byte {
	b := make([]byte, r.IntN(3000))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// sendParts sends messages by their ids, each in parts of random sizes, in turns. It
// returns how large the largest part is.
func sendParts(conn *memconn.Conn, r *rand.Rand, messages map[uint32][]byte) (largest int) {
	for rest := map[uint32][]byte{1: messages[1], 3: messages[3]}; len(rest) > 0; {
		id := uint32(1 + 2*r.IntN(2))
		data, ok := rest[id]
		if !ok {
			continue
		}
		n, typ := min(len(data), r.IntN(400)), messageTypePart
		if rest[id] = data[n:]; n == len(data) {
			typ = messageTypeData
			delete(rest, id)
		}
		largest = max(largest, n)
		conn.Write(frameBytes(id, typ, 0, data[:n]))
	}
	return largest
}

// wantJoined requires that a frame has that data, kept in pieces of up to most bytes.
func wantJoined(t *testing.T, f *frame, data []byte, most int) {
	t.Helper()
	held := 0
	var pieces *frame
	if f.extras != nil {
		pieces = moreOf(f).before
	}
	for p := pieces; p != nil; p = p.next {
		held += len(p.data)
		if len(p.data) > most {
			t.Errorf("B49: a piece has %d bytes, more than %d", len(p.data), most)
		}
	}
	if f.size() != len(data) || held+len(f.data) != len(data) || f.cost() < len(data) {
		t.Errorf("B49: of %d bytes %d are in pieces, %d after them; the size is %d, the cost %d", len(data), held, len(f.data), f.size(), f.cost())
	}
	if most < len(data) && pieces == nil {
		t.Errorf("B49: %d bytes are in one piece, of more than %d", len(data), most)
	}
	f.join()
	if len(f.data) != len(data) || f.size() != len(data) || !bytes.Equal(f.data, data) {
		t.Errorf("B49: %d bytes, joined, are %d others", len(data), len(f.data))
	}
	f.release()
}
