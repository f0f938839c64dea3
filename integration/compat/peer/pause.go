// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"log"
	"net"

	"golang.org/x/sys/unix"
)

// A pause is where a connection stops, between two of its bytes.
type pause struct {
	reached chan struct{} // closed when it has stopped
	resume  chan struct{} // closed by the scenario
}

func newPause() pause { return pause{make(chan struct{}), make(chan struct{})} }

func (p pause) wait() {
	close(p.reached)
	<-p.resume
}

// before is how often a client writes, and reads, before its first call.
const before = firstID / 2

// A slowWriter pauses in the middle of what is written first.
type slowWriter struct {
	*net.UnixConn
	pause
	writes int
}

func (c *slowWriter) Write(b []byte) (int, error) {
	if c.writes++; c.writes != before+1 {
		return c.UnixConn.Write(b)
	}
	n, err := c.UnixConn.Write(b[:len(b)/2])
	if err != nil {
		return n, err
	}
	c.wait()
	m, err := c.UnixConn.Write(b[n:])
	return n + m, err
}

// A slowReader pauses when it has read once.
type slowReader struct {
	*net.UnixConn
	pause
	reads int
}

func (c *slowReader) Read(b []byte) (int, error) {
	if c.reads++; c.reads == before+2 {
		c.wait()
	}
	return c.UnixConn.Read(b)
}

// awaitHangup waits until the other end of a connection is closed, and reads nothing.
// A client that has seen it may have closed this end.
func awaitHangup(conn *net.UnixConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		log.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		for fds[0].Revents == 0 {
			if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
				log.Fatal(err)
			}
		}
	})
	if err != nil && !errors.Is(err, net.ErrClosed) {
		log.Fatal(err)
	}
}
