// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import "fmt"

const (
	// messageCharge is what a message is charged beside its data, about what it
	// costs to hold; fileCharge the same for each file that comes with it.
	messageCharge = 256
	fileCharge    = 4096
)

// chargeOf is how much credit a message takes.
func chargeOf(data, files int) int { return data + messageCharge + files*fileCharge }

// A sendCredit is what one end may send. It is a number of bytes, and a message may begin
// while there is any, so it goes below 0 by at most one message.
//
//	have = full − spent + refunded + granted
//
// so it is full again when all that was sent was granted again.
type sendCredit struct {
	have int64
	full int64 // what have is when nothing is outstanding
}

func newSendCredit(window uint64) sendCredit {
	n := int64(min(window, maxCredit))
	return sendCredit{n, n}
}

// spend takes the charge of a message.
func (c *sendCredit) spend(n int) { c.have -= int64(n) }

// refund takes back what a message was charged that is not sent.
func (c *sendCredit) refund(n int) { c.have += int64(n) }

// grant adds what the peer grants. It refuses 0, and more than there may be.
func (c *sendCredit) grant(n uint32) error {
	if n == 0 || c.have+int64(n) > maxCredit {
		return fmt.Errorf("a credit of %d bytes where there are %d", n, c.have)
	}
	c.have += int64(n)
	return nil
}

// any tells whether a message may begin.
func (c *sendCredit) any() bool { return c.have > 0 }

// isFull tells whether the peer has consumed all that was sent.
func (c *sendCredit) isFull() bool { return c.have >= c.full }

// A recvWindow is what the other end may still send. What is free of it is derived, from
// what is held, so credit cannot leak:
//
//	window = room + held + free
//
// where room is what the peer may send, and held what was received and not consumed.
type recvWindow struct {
	room   int64
	window int64
}

func newRecvWindow(window int) recvWindow { return recvWindow{int64(window), int64(window)} }

// charge takes a message that has come. It reports whether the peer had credit to begin it.
func (w *recvWindow) charge(n int) bool {
	had := w.room > 0
	w.room -= int64(n)
	return had
}

// free is how much the peer could be granted when so much is held.
func (w *recvWindow) free(held int) int64 { return max(0, w.window-w.room-int64(held)) }

// grant gives the peer what is free, and says how much that is.
func (w *recvWindow) grant(held int) uint32 {
	n := w.free(held)
	w.room += n
	return uint32(n)
}
