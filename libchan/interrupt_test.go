// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"strings"
	"testing"
	"testing/synctest"
)

// An interrupt that is late, and meant for one who has waited before, has who waits now look
// again, and no more: no message is lost, and no channel ends.
func TestLateInterrupt(t *testing.T) {
	for _, relays := range []bool{false, true} {
		within(t, func(t *testing.T) {
			s, r := ways[1].make(t, -1)
			if relays {
				s, r = ways[4].make(t, -1)
			}
			const n = 4000
			go func() {
				for i := range n {
					if err := s.Send(strings.Repeat("x", i)); err != nil {
						t.Errorf("Send %d: %v", i, err)
						return
					}
				}
				s.Close()
			}()
			c := s.(*sender).c
			for i := range n {
				synctest.Wait()
				c.mu.Lock()
				c.stopWritingLocked()
				c.mu.Unlock()
				d := r.(*receiver).c
				d.mu.Lock()
				d.stopReadingLocked()
				d.mu.Unlock()
				var got string
				if err := r.Receive(&got); err != nil || len(got) != i {
					t.Fatalf("L9: received %d bytes, %v; want %d", len(got), err, i)
				}
			}
		})
	}
}
