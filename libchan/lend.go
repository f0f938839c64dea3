// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A loan is a thing that is read and written for the peer that it was sent to, by up to two
// goroutines. It is not closed at their end unless it is ours: others may use it, think of
// os.Stdin. They end when the peer does, or the thing; what waits in its Read or Write then is
// got out by a deadline, where it knows such. One that does not stays until it returns.
type loan struct {
	value any
	owned bool

	mu    sync.Mutex
	parts int // goroutines that have not ended
}

const (
	// chunkSize is the most that goes as one message of a byte stream.
	chunkSize = 32 << 10

	// linger is how long a Write may take once the session is over from which its bytes came.
	linger = 10 * time.Second
)

var errDatagram = errors.New("a socket of datagrams cannot be a byte stream: it passes only as a descriptor")

// lend makes channels of a thing. What copies starts by start.
func (r *reference) lend() error {
	of := r.thing
	switch {
	case r.kind == refChannel && of.side == sending:
		end := r.lendEnd(newChannel(-1), sending)
		s := of.value.(Sender)
		of.loans = append(of.loans, func() {
			in := newReceiver(end.c, 1)
			if _, err := Copy(s, in); err != nil {
				in.Cancel(err)
			}
			_ = s.Close()
		})
	case r.kind == refChannel:
		end := r.lendEnd(newChannel(-1), receiving)
		in := of.value.(Receiver)
		of.loans = append(of.loans, func() {
			out := newSender(end.c, 1)
			_, err := Copy(out, in)
			_ = out.CloseWithError(err)
		})
	case r.kind == refListener:
		end := r.lendEnd(newChannel(0), receiving)
		of.loans = append(of.loans, func() { serveListener(of.value.(net.Listener), of.owned, newSender(end.c, 1)) })
	default:
		return r.lendBytes()
	}
	return nil
}

// lendEnd adds a new channel's end to what is referred to.
func (r *reference) lendEnd(c *channel, s side) ref {
	c.moveLocked(s, stepGive) // nobody else knows it yet
	end := ref{c, s}
	r.ends = append(r.ends, end)
	return end
}

// lendBytes is lend of a byte stream.
func (r *reference) lendBytes() error {
	of := r.thing
	reads, writes := of.reads, of.writes
	if f, ok := of.value.(*os.File); ok {
		mayRead, mayWrite, err := accessOf(f)
		if err != nil {
			return err
		}
		reads, writes = reads && mayRead, writes && mayWrite
		if !reads && !writes {
			return errors.New("the file is not open for what the field's type says")
		}
	}
	if isDatagram(of.value) {
		return errDatagram
	}
	l := &loan{value: of.value, owned: of.owned}
	if reads {
		end := r.lendEnd(newChunks(), receiving)
		l.parts++
		of.loans = append(of.loans, func() { l.read(half{end.c, 1}) })
	}
	if writes {
		end := r.lendEnd(newChunks(), sending)
		l.parts++
		of.loans = append(of.loans, func() { l.write(half{end.c, 1}) })
	}
	return nil
}

// isDatagram tells whether a value keeps the bounds of what is written, which a byte stream
// does not.
func isDatagram(v any) bool {
	if _, ok := v.(net.PacketConn); ok {
		u, ok := v.(*net.UnixConn)
		return !ok || u.LocalAddr().Network() != "unix"
	}
	f, ok := v.(*os.File)
	return ok && isDatagramFile(f)
}

// start has what was lent be copied.
func (of *thing) start() {
	for _, loan := range of.loans {
		go loan()
	}
	of.loans = nil
}

// read copies from the thing into a channel. It begins when somebody is there to read.
func (l *loan) read(to half) {
	in := l.value.(io.Reader)
	stop := l.interruptible(to.c, func() time.Time { return past }, "SetReadDeadline")
	defer l.end(stop)
	if !to.c.awaitReceiver() {
		return
	}
	buf := make([]byte, chunkSize)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if _, putErr := to.c.put(context.Background(), to.gen, &message{chunk: true, borrowed: true, body: buf[:n]}); putErr != nil {
				return
			}
		}
		switch {
		case err == io.EOF:
			_ = to.c.close(to.gen, nil)
			return
		case err != nil:
			_ = to.c.close(to.gen, err)
			return
		}
	}
}

// write copies from a channel into the thing.
func (l *loan) write(from half) {
	out := l.value.(io.Writer)
	stop := l.interruptible(from.c, func() time.Time { return time.Now().Add(linger) }, "SetWriteDeadline")
	defer l.end(stop)
	for {
		m, err := from.c.take(context.Background(), from.gen)
		if err == io.EOF {
			if w, ok := l.value.(interface{ CloseWrite() error }); ok {
				_ = w.CloseWrite()
			}
			return
		}
		if err != nil {
			return
		}
		if _, err := out.Write(m.body); err != nil {
			_ = from.c.cancel(from.gen, err)
			return
		}
	}
}

// past is a deadline that ends at once what waits.
var past = time.Unix(1, 0)

// interruptible has a deadline be set when the other side of the channel is over. The function
// that it returns ends that, and takes the deadline back.
func (l *loan) interruptible(c *channel, until func() time.Time, method string) (stop func()) {
	var mu sync.Mutex
	done, hit := false, false
	set := l.deadline(method)
	c.onInterrupt(func() {
		mu.Lock()
		defer mu.Unlock()
		if done {
			return
		}
		hit = true
		if set(until()) != nil && l.owned {
			_ = l.value.(io.Closer).Close()
		}
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		if done = true; hit && !l.owned {
			_ = set(time.Time{})
		}
	}
}

// deadline returns the thing's method that sets the deadline of reads, or of writes.
func (l *loan) deadline(method string) func(time.Time) error {
	if v, ok := l.value.(interface{ SetReadDeadline(time.Time) error }); ok && method == "SetReadDeadline" {
		return v.SetReadDeadline
	}
	if v, ok := l.value.(interface{ SetWriteDeadline(time.Time) error }); ok && method == "SetWriteDeadline" {
		return v.SetWriteDeadline
	}
	if v, ok := l.value.(interface{ SetDeadline(time.Time) error }); ok && method == "SetDeadline" {
		return v.SetDeadline
	}
	return func(time.Time) error { return os.ErrNoDeadline }
}

// end ends a part of the loan. With the last, what is ours is closed.
func (l *loan) end(stop func()) {
	stop()
	l.mu.Lock()
	l.parts--
	last := l.parts == 0
	l.mu.Unlock()
	if last && l.owned {
		_ = l.value.(io.Closer).Close()
	}
}

// awaitReceiver waits until the other side is here or has a stream. It returns false if that
// takes no more.
func (c *channel) awaitReceiver() bool {
	c.mu.Lock()
	defer c.unlock()
	rx := &c.sides[receiving]
	for c.stopped == nil && (rx.place == placeMoving || rx.place == placeAnnounced) {
		_ = c.waitLocked(context.Background())
	}
	return c.stopped == nil
}

// onInterrupt has f called when the other side is over, for whoever waits for something else.
func (c *channel) onInterrupt(f func()) {
	c.mu.Lock()
	defer c.unlock()
	c.interrupt = f
}

// lendChannel is lend for a typed channel, which holds its end at once.
func lendChannel(of *thing) ref {
	r := reference{thing: of}
	_ = r.lend()
	of.start()
	return r.ends[0]
}
