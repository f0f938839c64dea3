// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package quic

import (
	"context"
	"net"
	"testing"
	"time"
)

// TestShakingIsBounded has clients that begin to shake hands and never end: there are only so
// many, before that the next ones have to prove their address, and those that are accepted or
// have gone make room.
func TestShakingIsBounded(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newSocket(packets, true)
	shaking, gone := context.WithCancel(t.Context())
	var last context.Context
	for i := range maxShaking {
		if doubts := s.doubts(nil); doubts != (i >= maxShaking/4) {
			t.Fatalf("B98: with %d that shake hands, the next has to prove its address: %v", i, doubts)
		}
		if last, err = s.enter(shaking, nil); err != nil {
			t.Fatalf("B98: client %d: %v", i, err)
		}
	}
	if _, err := s.enter(shaking, nil); err != errBusy {
		t.Errorf("B98: one more: %v", err)
	}
	for range 2 {
		last.Value(ticketKey{}).(*ticket).accept()
	}
	if _, err := s.enter(shaking, nil); err != nil {
		t.Errorf("B98: one more after one was accepted: %v", err)
	}
	if _, err := s.enter(shaking, nil); err != errBusy {
		t.Errorf("B98: and one more: %v", err)
	}
	s.close() // ends it when the last has gone
	gone()
	for s.doubts(nil) {
		time.Sleep(time.Millisecond)
	}
}
