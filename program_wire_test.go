// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"io"
	"net"
	"sync"
	"syscall"

	"github.com/containerd/ttrpc/internal/memconn"
)

// progMaxPieces is how many pieces a program may make; more take long.
const progMaxPieces = 500

// A progDirection is one direction of the wire between our client and our
// server: it takes what its source sends and passes it on to its target, whole
// or in pieces, later or never.
type progDirection struct {
	w              *progWorld
	source, target net.Conn // the two ends
	from, to       net.Conn // ours of the conns to them

	mu      sync.Mutex
	changed sync.Cond

	// Guarded by mu.
	stalled bool
	late    bool // was ever stalled
	over    bool
	piece   int    // at most so many bytes at once; 0 means any number
	pieces  int    // there were so many
	inject  []byte // goes before what the source sends next

	tap func(b []byte) // sees what the source sends, or nil
}

// newProgWire connects two ends through the two conns in the middle.
func newProgWire(w *progWorld, ends, middle [2]net.Conn) (wire [2]*progDirection) {
	for side := range wire {
		d := &progDirection{w: w, source: ends[side], target: ends[1-side], from: middle[side], to: middle[1-side], tap: w.taps[side]}
		d.changed.L = &d.mu
		wire[side] = d
		w.actors.Add(1)
		go d.run()
	}
	return wire
}

// update changes how the direction behaves.
func (d *progDirection) update(f func(d *progDirection)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
	d.changed.Broadcast()
}

func (d *progDirection) run() {
	defer d.w.actors.Done()
	buf := make([]byte, 64<<10)
	for {
		n, err := d.from.Read(buf)
		if d.tap != nil {
			d.tap(buf[:n])
		}
		if err == nil {
			err = d.pass(buf[:n])
		}
		if err != nil {
			d.cut(io.EOF)
			return
		}
	}
}

// pass writes b to the target, once nothing keeps it from it.
func (d *progDirection) pass(b []byte) error {
	for len(b) > 0 {
		d.mu.Lock()
		for d.stalled && !d.over {
			d.changed.Wait()
		}
		b, d.inject = append(d.inject, b...), nil
		n := len(b)
		if d.piece > 0 && d.pieces < progMaxPieces {
			n = min(n, d.piece)
			d.pieces++
		}
		d.mu.Unlock()
		if _, err := d.to.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// cut ends the direction: the target reads what is there already, and then
// err, over kernel sockets io.EOF; the source cannot write.
func (d *progDirection) cut(err error) {
	d.update(func(d *progDirection) { d.over = true })
	if target, ok := d.target.(*memconn.Conn); ok {
		target.FailReads(err)
		d.source.(*memconn.Conn).FailWrites(syscall.EPIPE)
		d.from.(*memconn.Conn).FailReads(io.EOF)
		return
	}
	d.from.(*net.UnixConn).CloseRead()
	d.to.(*net.UnixConn).CloseWrite()
}

// end ends the direction for good.
func (d *progDirection) end() {
	d.cut(io.EOF)
	d.from.Close()
	d.to.Close()
}

func (d *progDirection) isStalled() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stalled
}

func (d *progDirection) isLate() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.late
}

// A oneListener hands out one conn. again is closed when Accept is called for
// another, so that the first has been seen to.
type oneListener struct {
	conn        net.Conn
	again, done chan struct{}
	once        sync.Once
}

func (l *oneListener) Accept() (net.Conn, error) {
	if conn := l.conn; conn != nil {
		l.conn = nil
		return conn, nil
	}
	close(l.again)
	<-l.done
	return nil, net.ErrClosed
}

func (l *oneListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *oneListener) Addr() net.Addr { return nil }

// keptPayloads are what an interceptor has kept of answers, with what they
// were when it got them.
type keptPayloads struct {
	mu   sync.Mutex
	kept [][]byte
	were []string
}

func (k *keptPayloads) intercept(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, invoke Invoker) error {
	err := invoke(ctx, req, resp)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept, k.were = append(k.kept, resp.Payload), append(k.were, string(resp.Payload))
	return err
}

func (k *keptPayloads) check(w *progWorld) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, p := range k.kept {
		if string(p) != k.were[i] {
			w.Errorf("an interceptor's payload has changed since it was answered")
		}
	}
}

// progNoise is what released memory is filled with. No raw peer sends it.
const progNoise = 0xdb

// stirPools looks for frames that were released twice, and fills the memory of
// those that were released once with noise, so that who still uses it fails.
func stirPools(w *progWorld) {
	for class := range framePools {
		var frames []*frame
		memory := map[*byte]bool{}
		for {
			f, ok := framePools[class].Get().(*frame)
			if !ok {
				break
			}
			b := f.data[:cap(f.data)]
			if memory[&b[0]] {
				w.Fatalf("a frame of %d bytes was released twice", cap(f.data))
			}
			memory[&b[0]] = true
			if len(f.data) != 0 || f.next != nil || f.prev != nil || f.owner != nil {
				w.Errorf("a released frame is in use: %+v", f)
			}
			for i := range min(len(b), 2*w.limit) { // more holds no message
				b[i] = progNoise
			}
			frames = append(frames, f)
		}
		for _, f := range frames {
			framePools[class].Put(f)
		}
	}
}
