// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/ttrpc/internal/faultconn"
	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/testkit"
)

// A fault is what happens to a session's connection at a byte.
type fault struct {
	name string
	step func(at int) faultconn.Step
	ends bool // the connection
}

var errFault = errors.New("the connection broke")

var faults = []fault{
	{"fails", func(at int) faultconn.Step { return faultconn.Fail(at, errFault) }, true},
	{"short", func(at int) faultconn.Step { return faultconn.Split(at, 1) }, false},
	{"late", func(at int) faultconn.Step { return faultconn.Delay(at, time.Second) }, false},
}

// mission uses a session for a bit of everything, and returns the first error.
func mission(near, far *Session) error {
	s, err := near.OpenChannel(ctx, "x")
	if err != nil {
		return err
	}
	_, r, err := far.Accept(ctx)
	if err != nil {
		return err
	}
	answers, ret := pipe(1)
	feed, w := pipe(-1)
	if err := s.Send(withEnd{S: ret, R: feed}); err != nil {
		return err
	}
	var got withEnd
	if err := r.Receive(&got); err != nil {
		return err
	}
	for i := range 3 {
		var n int
		if err := errors.Join(w.Send(i), got.R.Receive(&n)); err != nil {
			return err
		}
		if err := errors.Join(got.S.Send(n), answers.Receive(&n)); err != nil {
			return err
		}
		if n != i {
			return fmt.Errorf("%d came back as %d", i, n)
		}
	}
	return errors.Join(s.Close(), w.Close(), got.S.Close())
}

// flight runs a mission over a connection with a fault, and returns what it has passed.
func flight(t *testing.T, reads, writes []faultconn.Step, ends bool) (read, written int) {
	within(t, func(t *testing.T) {
		a, b := memconn.Pipe(0)
		conn := faultconn.New(a, reads, writes, faultconn.Options{})
		served := make(chan *Session, 1)
		go func() {
			s, _ := NewServer(b)
			served <- s
		}()
		near, err := NewClient(conn)
		if err != nil {
			if !ends {
				t.Errorf("NewClient: %v", err)
			}
			b.Close()
			if far := <-served; far != nil {
				far.Close()
			}
			return
		}
		far := <-served
		if far == nil {
			near.Close()
			return
		}
		err = mission(near, far)
		switch {
		case err != nil && (!ends || !errors.Is(err, ErrSessionEnded)):
			t.Errorf("the mission fails: %v", err)
		case err != nil:
			<-near.Done()
			<-far.Done()
		}
		near.Close()
		synctest.Wait()
		far.Close()
		wantNothingLeft(t, near)
		wantNothingLeft(t, far)
		read, written = conn.Passed()
	})
	return read, written
}

// L14: whatever happens to a connection, at each byte: it goes on, or all that waits returns and
// says that the session has ended, and nothing is left.
func TestFaults(t *testing.T) {
	read, written := flight(t, nil, nil, false)
	every := max(1, 7/testkit.Times(t))
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			for at := 0; at < read; at += every {
				flight(t, []faultconn.Step{f.step(at)}, nil, f.ends)
			}
			for at := 0; at < written; at += every {
				flight(t, nil, []faultconn.Step{f.step(at)}, f.ends)
			}
		})
	}
}
