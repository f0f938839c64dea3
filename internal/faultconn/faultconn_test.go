// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package faultconn

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/ttrpc/internal/memconn"
)

var errTest = errors.New("test")

// write writes ten bytes and returns how many passed, and when.
func write(c *Conn) (n int, after time.Duration, err error) {
	start := time.Now()
	n, err = c.Write([]byte("0123456789"))
	return n, time.Since(start), err
}

func TestSteps(t *testing.T) {
	for name, test := range map[string]struct {
		steps []Step
		n     int
		err   error
		after time.Duration
	}{
		"none":           {nil, 10, nil, 0},
		"fail at once":   {[]Step{Fail(0, errTest)}, 0, errTest, 0},
		"fail":           {[]Step{Fail(7, errTest)}, 7, errTest, 0},
		"delay":          {[]Step{Delay(7, time.Second)}, 10, nil, time.Second},
		"delay and fail": {[]Step{Split(0, 3), Delay(5, time.Second), Fail(5, errTest)}, 5, errTest, time.Second},
		"block":          {[]Step{Block(3)}, 3, os.ErrDeadlineExceeded, time.Minute},
		"lose":           {[]Step{Lose(3)}, 10, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := memconn.Pipe(0)
				c := New(a, nil, test.steps, Options{})
				defer c.Close()
				c.SetWriteDeadline(time.Now().Add(time.Minute))
				if n, after, err := write(c); n != test.n || err != test.err || after != test.after {
					t.Errorf("%d bytes after %v, %v; want %d, %v, %v", n, after, err, test.n, test.after, test.err)
				}
				c.Close()
				if got, _ := io.ReadAll(b); len(got) > test.n || name == "lose" && len(got) != 3 {
					t.Errorf("%d bytes arrived", len(got))
				}
			})
		})
	}
}

func TestReads(t *testing.T) {
	a, b := memconn.Pipe(0)
	c := New(a, []Step{Split(1, 2), Split(5, 0), FailWithData(8, errTest)}, []Step{Block(0)}, Options{})
	b.Write([]byte("0123456789"))
	for _, want := range []struct {
		s   string
		err error
	}{{"0", nil}, {"12", nil}, {"34", nil}, {"567", errTest}, {"", errTest}} {
		p := make([]byte, 10)
		if n, err := c.Read(p); string(p[:n]) != want.s || err != want.err {
			t.Errorf("Read returned %q, %v; want %q, %v", p[:n], err, want.s, want.err)
		}
	}
	if read, _ := c.Passed(); read != 8 || c.Reads() != 5 {
		t.Errorf("%d bytes in %d Reads", read, c.Reads())
	}
	if reads, writes := c.Left(); reads != 0 || writes != 1 {
		t.Errorf("%d and %d steps have not begun", reads, writes)
	}
}

func TestClose(t *testing.T) {
	for name, test := range map[string]struct {
		options  Options
		release  bool
		deadline bool
		want     error
	}{
		"ends a blocked Write":         {Options{}, false, false, net.ErrClosed},
		"leaves a blocked Write":       {Options{CloseLeavesBlocked: true}, true, false, net.ErrClosed},
		"a deadline ends it":           {Options{CloseLeavesBlocked: true}, false, true, os.ErrDeadlineExceeded},
		"no deadlines, and no closing": {Options{NoDeadlines: true, CloseLeavesBlocked: true}, true, true, net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := memconn.Pipe(0)
				defer b.Close()
				c := New(a, []Step{Lose(0)}, []Step{Block(0)}, test.options)
				if test.deadline {
					c.SetDeadline(time.Now().Add(time.Hour))
				}
				done := make(chan error)
				go func() {
					_, _, err := write(c)
					done <- err
				}()
				go c.Read(make([]byte, 1))
				synctest.Wait()
				c.Close()
				synctest.Wait()
				if test.release {
					select {
					case err := <-done:
						t.Errorf("Write returned %v before Release", err)
					case <-time.After(2 * time.Hour):
					}
				}
				if test.release || test.deadline {
					defer c.Release()
				}
				if test.release {
					c.Release()
				}
				if err := <-done; err != test.want {
					t.Errorf("Write returned %v, want %v", err, test.want)
				}
			})
		})
	}
}
