// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import "testing"

// TestWidths holds that the largest limits overflow no int, of 32 bits or of 64.
func TestWidths(t *testing.T) {
	for _, limit := range []int{255 << 20, 256 << 20, 384 << 20, 512 << 20, maxMessageCap} {
		last := 0
		for _, n := range []int{0, 1, partSize, pieceSize - 1, pieceSize, limit/4 + 1, limit / 2, limit} {
			room := roomFor(n)
			if room < n || room < last || n > pieceSize && room > n+partSize {
				t.Errorf("B49: for %d of %d bytes there is room for %d", n, limit, room)
			}
			last = room
		}
		cost := chargeOf(limit, maxFiles)
		q := StreamQueue{Window: maxCredit, ConnectionBytes: maxCredit}
		streams, calls, share := windowsOf(&q)
		if cost <= limit || streams+calls != maxCredit || share != maxShare {
			t.Errorf("B48: a message of %d costs %d; of %d streams have %d, calls %d, one stream %d", limit, cost, q.ConnectionBytes, streams, calls, share)
		}
		w := callWindow{room: calls, size: calls, wanted: int64(cost)}
		if n := w.grantBeyond(); int(n) != cost || !w.charge(cost) || w.room != calls {
			t.Errorf("B48: for one of %d there are %d, and then %d of %d", cost, n, w.room, calls)
		}
		m := assembly{total: limit - 1}
		if !m.fits(1, limit) || m.fits(2, limit) || m.fits(messageLengthCap, limit) {
			t.Errorf("B49: what fits a message of %d bytes", limit)
		}
	}
}
