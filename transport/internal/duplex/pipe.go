// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package duplex

import (
	"net"
	"os"
	"sync"
	"time"
)

// chunkSize is how many bytes a pipe takes before Write waits: twice as many, as one chunk
// may be read while the other fills.
const chunkSize = 64 << 10

type chunk struct {
	data       [chunkSize]byte
	start, end int // what is in it
}

// chunks are shared by all pipes: one that is empty holds none.
var chunks = sync.Pool{New: func() any { return new(chunk) }}

// A pipe carries the bytes of one direction. Unlike what is below it, it can be left at any
// moment: a deadline that passes loses nothing and breaks nothing.
type pipe struct {
	writing sync.Mutex // held by a write, so that no other gets between its bytes

	mu      sync.Mutex
	changed sync.Cond

	// Guarded by mu.
	front, back   *chunk // what is read from, and what is written to; nil if empty
	ended         error  // why nothing more is written
	refused       error  // why nothing more is read
	reads, writes deadline
}

func newPipe() *pipe {
	p := new(pipe)
	p.changed.L = &p.mu
	return p
}

// read waits for bytes, and returns why the writer has ended once all are read. Like a socket
// it does not wait for none.
func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(b) == 0 {
		return 0, p.leaveLocked()
	}
	if err := p.awaitLocked(); err != nil {
		return 0, err
	}
	n := copy(b, p.front.data[p.front.start:p.front.end])
	if p.front.start += n; p.front.start == p.front.end {
		p.recycle(p.front)
		p.front = nil
		p.changed.Broadcast()
	}
	return n, nil
}

// take returns a chunk with all that there is, which the caller then recycles.
func (p *pipe) take() (*chunk, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.awaitLocked(); err != nil {
		return nil, err
	}
	c := p.front
	p.front = nil
	p.changed.Broadcast()
	return c, nil
}

// leaveLocked tells why the reader must leave, whatever there is to read.
func (p *pipe) leaveLocked() error {
	if p.refused == nil && p.reads.passed {
		return os.ErrDeadlineExceeded
	}
	return p.refused
}

// awaitLocked returns when there is something in front.
func (p *pipe) awaitLocked() error {
	for {
		switch err := p.leaveLocked(); {
		case err != nil:
			return err
		case p.front != nil:
			return nil
		case p.back != nil:
			p.front, p.back = p.back, nil
			p.changed.Broadcast()
			return nil
		case p.ended != nil:
			return p.ended
		}
		p.changed.Wait()
	}
}

func (p *pipe) recycle(c *chunk) {
	c.start, c.end = 0, 0
	chunks.Put(c)
}

// write returns when it has handed over all of b, or says how much.
func (p *pipe) write(b []byte) (int, error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for {
		switch {
		case p.ended != nil:
			return n, net.ErrClosed
		case p.refused != nil:
			return n, p.refused
		case p.writes.passed:
			return n, os.ErrDeadlineExceeded
		case n == len(b):
			return n, nil
		case p.back == nil:
			p.back = chunks.Get().(*chunk)
		}
		if k := copy(p.back.data[p.back.end:], b[n:]); k > 0 {
			n += k
			p.back.end += k
			p.changed.Broadcast()
			continue
		}
		p.changed.Wait()
	}
}

// end says that nothing more will be written, and what the reader learns of it.
func (p *pipe) end(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = why
		p.writes.set(p, time.Time{})
		p.changed.Broadcast()
	}
}

// refuse says that nothing more will be read, and what the writer learns of it. What was not
// read is dropped.
func (p *pipe) refuse(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused != nil {
		return
	}
	p.refused = why
	p.reads.set(p, time.Time{})
	for _, c := range []**chunk{&p.front, &p.back} {
		if *c != nil {
			p.recycle(*c)
			*c = nil
		}
	}
	p.changed.Broadcast()
}

// setDeadline sets d, which is one of p's.
func (p *pipe) setDeadline(d *deadline, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.set(p, at)
	p.changed.Broadcast()
}

// A deadline is guarded by its pipe's lock.
type deadline struct {
	timer  *time.Timer
	passed bool
}

func (d *deadline) set(p *pipe, at time.Time) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.passed = false
	if at.IsZero() {
		return
	}
	left := time.Until(at)
	if left <= 0 {
		d.passed = true
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if d.timer == timer { // and it was not set again
			d.passed = true
			p.changed.Broadcast()
		}
	})
	d.timer = timer
}
