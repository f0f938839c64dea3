// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchantest

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/libchan"
)

// flowRows are of L7 and L9.
var flowRows = []row{
	{"L7: a channel that nobody reads stops itself alone", false, testUnread},
	{"L7: a capacity, and a rendezvous", false, testCapacity},
	{"L9: in the order sent, each once", false, testOrder},
	{"L9: Sent and Taken", false, testTaken},
}

// testUnread sends until there is no room, and then uses other channels.
func testUnread(k *kit) {
	const size, most = 32 << 10, 64 << 20
	s, r := k.top()
	other, otherIn := k.top()
	sent := 0
	for {
		err := s.SendContext(k.brief(), wrapperspb.Bytes(make([]byte, size)))
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		k.must(err)
		if sent++; sent*size > most {
			k.Fatalf("%d bytes were sent that nobody receives", sent*size)
		}
	}
	for i := range 100 {
		k.send(other, i)
		k.expect(otherIn, i, 0)
	}
	back, home := k.topOf(k.b, k.a)
	k.send(back, 1)
	k.expect(home, 1, 0)
	k.must(s.Close())
	for range sent {
		var got wrapperspb.BytesValue
		k.must(r.Receive(&got))
		if len(got.Value) != size {
			k.Fatalf("received %d bytes, want %d", len(got.Value), size)
		}
	}
	k.ends(r)
}

func testCapacity(k *kit) {
	for _, capacity := range []int{0, 1, 3} {
		k.channels(capacity, func(s libchan.ContextSender, r libchan.ContextReceiver) {
			if s.Cap() != capacity || r.Cap() != capacity {
				k.Errorf("Cap is %d and %d, want %d", s.Cap(), r.Cap(), capacity)
			}
			for i := range capacity {
				k.send(s, i)
			}
			err := s.SendContext(k.brief(), k.value(capacity))
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, libchan.ErrUnconfirmed) != (capacity == 0) {
				k.Errorf("SendContext of one more than %d: %v", capacity, err)
			}
			for i := range max(capacity, 1) { // of a rendezvous the one that was sent
				k.expect(r, i, 0)
			}
			done := make(chan error, 1)
			go func() { done <- s.Send(k.value(9)) }()
			k.expect(r, 9, 0)
			k.must(<-done)
			if n := s.Taken(); capacity == 0 && n != 2 {
				k.Errorf("%d are known to be taken, want 2", n)
			}
		})
	}
}

func testOrder(k *kit) {
	const n = 100
	k.channels(-1, func(s libchan.ContextSender, r libchan.ContextReceiver) {
		go func() {
			for i := range n {
				if err := s.Send(k.value(i)); err != nil {
					k.Errorf("Send %d: %v", i, err)
					return
				}
			}
			_ = s.Close()
		}()
		for i := range n {
			k.expect(r, i, 0)
		}
		k.ends(r)
	})
}

func testTaken(k *kit) {
	k.channels(5, func(s libchan.ContextSender, r libchan.ContextReceiver) {
		for i := range 5 {
			k.send(s, i)
		}
		for i := range 5 {
			k.expect(r, i, 0)
		}
		for i := range 5 {
			k.send(s, i) // there is room again only once all five are known to be taken
		}
		if s.Sent() != 10 || s.Taken() != 5 {
			k.Errorf("%d of %d are known to be taken, want 5 of 10", s.Taken(), s.Sent())
		}
	})
}
