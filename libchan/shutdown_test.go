// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"io"
	"testing"
	"testing/synctest"
)

// L6: whoever has shut a session down has closed it, and the other has not, also if that hears first
// that its connection drains.
func TestCauseOfShutdown(t *testing.T) {
	for _, byServer := range []bool{false, true} {
		within(t, func(t *testing.T) {
			near, far := sessions(t)
			if byServer {
				near, far = far, near
			}
			out, in := top(t, near, far)
			done := make(chan error, 1)
			go func() { done <- near.Shutdown(ctx) }()
			synctest.Wait()
			far.drain(true) // as when the connection drains
			must(t, out.Close())
			if err := in.Receive(new(string)); err != io.EOF {
				t.Fatalf("L6: the end is %v, want io.EOF", err)
			}
			must(t, <-done)
			<-far.Done()
			if near.Cause() != ErrClosed || far.Cause() != io.EOF {
				t.Errorf("L6: the causes are %v at who shut down and %v at the other, want ErrClosed and io.EOF", near.Cause(), far.Cause())
			}
		})
	}
}
