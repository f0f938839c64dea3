// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// neighbours are well-behaved clients of a server that somebody treats badly.
type neighbours struct {
	s     *subject
	wires []*link
	halt  chan struct{}
	all   sync.WaitGroup
	calls atomic.Int64
	wrong chan error
}

// neighbours starts n clients that call as fast as they can, each on a
// connection of its own.
func (s *subject) neighbours(n int) *neighbours {
	all := &neighbours{s: s, halt: make(chan struct{}), wrong: make(chan error, n)}
	for range n {
		w := s.dial()
		all.wires = append(all.wires, w)
		all.all.Add(1)
		go all.live(w)
	}
	return all
}

func (n *neighbours) live(w *link) {
	defer n.all.Done()
	for id := uint32(1); ; id += 2 {
		select {
		case <-n.halt:
			return
		default:
		}
		if err := w.call(n.s.r.patience, id, 100); err != nil {
			n.wrong <- err
			return
		}
		n.calls.Add(1)
	}
}

// end has them come to an end, and returns how many calls were answered. It is a
// fault if one was not.
func (n *neighbours) end() int64 {
	close(n.halt)
	n.all.Wait()
	for _, w := range n.wires {
		w.Close()
	}
	select {
	case err := <-n.wrong:
		n.s.r.fail("B41: a call of another client: %v", err)
	default:
	}
	return n.calls.Load()
}

// rate is how many calls a second n neighbours make in a time.
func (s *subject) rate(n int, during time.Duration) float64 {
	all := s.neighbours(n)
	time.Sleep(during)
	return float64(all.end()) / during.Seconds()
}

// kilo shows bytes in KB.
func kilo(bytes int64) string { return fmt.Sprintf("%.1f KB", float64(bytes)/1000) }

// mega shows bytes in MB.
func mega(bytes int64) string { return fmt.Sprintf("%.0f MB", float64(bytes)/1e6) }
