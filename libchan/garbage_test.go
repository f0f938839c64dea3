// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"runtime"
	"testing"

	"github.com/containerd/ttrpc/internal/testkit"
)

// A survivor is an end whose other end nobody holds.
type survivor struct {
	c       *channel
	receive func() error
}

// survivors returns those of a handle, of what a Raw carries, and of an end of a byte stream.
func survivors(t *testing.T) map[string]survivor {
	t.Helper()
	ofHandle, _ := pipe(-1)
	ofRaw, s := pipe(-1)
	if _, err := NewRaw("json", nil, s); err != nil {
		t.Fatal(err)
	}
	stream, _ := NewByteStream()
	return map[string]survivor{
		"a handle":      {ofHandle.c, func() error { return ofHandle.Receive(new(any)) }},
		"a Raw":         {ofRaw.c, func() error { return ofRaw.Receive(new(any)) }},
		"a byte stream": {stream.(*byteStream).r.c, func() error { _, err := stream.Read(make([]byte, 1)); return err }},
	}
}

// L2: the other end of what is garbage is told.
func TestGarbage(t *testing.T) {
	for name, s := range survivors(t) {
		testkit.Within(t, "L2", func() {
			result := make(chan error, 1)
			go func() { result <- s.receive() }()
			for len(result) == 0 {
				runtime.GC()
				runtime.Gosched()
			}
			if err := <-result; err != ErrDropped {
				t.Errorf("L2: the end of what %s has led to is %v, want ErrDropped", name, err)
			}
		})
	}
}

// L2: garbage of a bubble, of which the collector may touch nothing, does no harm.
func TestGarbageOfBubble(t *testing.T) {
	within(t, func(t *testing.T) {
		for _, s := range survivors(t) {
			s.c.mu.Lock()
			s.c.doneLocked(receiving) // is closed with the channel
			s.c.unlock()
		}
	})
	for range 3 {
		collected := make(chan bool)
		runtime.AddCleanup(new([64]byte), func(c chan bool) { close(c) }, collected)
		testkit.Within(t, "L2", func() {
			for {
				runtime.GC()
				select {
				case <-collected:
					return
				default:
					runtime.Gosched()
				}
			}
		})
	}
}
