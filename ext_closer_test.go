// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A fakeDescriptors closes descriptors of a test: those over 1,000 not before it is released.
type fakeDescriptors struct {
	closers
	release chan struct{}

	mu     sync.Mutex
	closed []int
	final  []int // of those
}

func newFakeDescriptors() *fakeDescriptors {
	d := &fakeDescriptors{release: make(chan struct{})}
	d.closers.close = func(fd int, final bool) {
		if fd > 1000 {
			<-d.release
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.closed = append(d.closed, fd)
		if final {
			d.final = append(d.final, fd)
		}
	}
	return d
}

func (d *fakeDescriptors) want(t *testing.T, rule string, closed, final, running, tied int) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closers.mu.Lock()
	defer d.closers.mu.Unlock()
	if len(d.closed) != closed || len(d.final) != final || d.running != running || d.tied != tied {
		t.Errorf("%s: %d are closed, %d of them for good, by %d goroutines and %d that are tied up; want %d, %d, %d and %d",
			rule, len(d.closed), len(d.final), d.running, d.tied, closed, final, running, tied)
	}
}

// TestClosersTiedUp holds that a peer whose descriptor cannot be closed delays nobody, and
// loses its connection.
func TestClosersTiedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFakeDescriptors()
		var ended atomic.Int64
		bad := d.account(10, func(err error) {
			if err != errTiesUp {
				t.Errorf("B91: %v", err)
			}
			ended.Add(1)
		})
		good := d.account(10, func(err error) { t.Errorf("B91: %v", err) })
		bad.drop([]int{1, 2, 1001})
		d.want(t, "B91", 0, 0, 1, 0)
		good.drop([]int{3})
		d.want(t, "B91", 1, 0, 1, 0)
		if n := bad.size(); n != 3 {
			t.Errorf("B91: %d count that are not closed", n)
		}
		time.Sleep(closePatience)
		d.want(t, "B91: the rest does not linger", 3, 2, 0, 1)
		bad.drop([]int{4, 1002, 1003})
		time.Sleep(2 * closePatience)
		d.want(t, "B91: two goroutines at most", 3, 2, 0, 2)
		if n := ended.Load(); n != 1 {
			t.Errorf("B91: the connection was ended %d times", n)
		}
		close(d.release)
		d.want(t, "B91: all is closed", 7, 5, 0, 0)
		if n, m := bad.size(), good.size(); n != 0 || m != 0 {
			t.Errorf("B91: %d and %d are left", n, m)
		}
	})
}

// TestClosersBounded holds that no more than so many goroutines close, and that before that
// no new connection takes files.
func TestClosersBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFakeDescriptors()
		good := d.account(10, nil)
		for i := range maxTied {
			if d.isTiedUp() {
				t.Fatalf("B91: after %d", i)
			}
			d.account(10, func(error) {}).drop([]int{2000 + i})
			time.Sleep(closePatience)
		}
		d.want(t, "B91", 0, 0, 0, maxTied)
		if !d.isTiedUp() {
			t.Errorf("B91: connections take files as before")
		}
		good.drop([]int{1})
		d.want(t, "B91: others", 1, 0, 0, maxTied)
		for i := range 2 * maxClosers {
			d.account(10, func(error) {}).drop([]int{3000 + i})
			time.Sleep(closePatience)
		}
		d.want(t, "B91: in all", 1, 0, 0, maxTied+maxClosers)
		close(d.release)
		d.want(t, "B91: all is closed", 1+maxTied+2*maxClosers, 0, 0, 0)
	})
}

// TestClosersTooMany holds that who sends faster than can be closed loses the connection,
// and a burst does not.
func TestClosersTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFakeDescriptors()
		var ended error
		bad := d.account(10, func(err error) { ended = err })
		bad.drop(make([]int, 10+maxUnclosed))
		d.want(t, "B91", 10+maxUnclosed, 0, 0, 0)
		if ended != nil {
			t.Errorf("B91: a burst ends the connection: %v", ended)
		}
		bad.drop([]int{1001})
		bad.drop(make([]int, 10+maxUnclosed))
		synctest.Wait()
		if ended != errTooManyUnclosed {
			t.Errorf("B91: %v", ended)
		}
		close(d.release)
		synctest.Wait()
	})
}
