// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/lines"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
	"github.com/containerd/ttrpc/internal/pcapng"
)

const (
	// maxWaiting bounds what waits to be printed, and what waits to be recorded: bytes of
	// messages, and as many bytes for each event as it takes at least.
	maxWaiting = 32 << 20
	eventSize  = 512
)

// An output prints and records what is seen, on goroutines of its own. Nobody waits for it:
// what cannot be printed or recorded in time is counted and told.
type output struct {
	printer *lines.Printer // of the goroutine that prints

	mu       sync.Mutex // guards the selection, and that its events are put into their order
	selected *lines.Selection

	events  *queue[printed]
	packets *queue[packet] // nil if nothing is recorded

	wg     sync.WaitGroup
	failed chan error // what has failed first
}

// A printed is something to print.
type printed struct {
	conn  int
	event watch.Event
	about string // the kind of what is no event
}

// start begins to print, and to record if there is a capture.
func (p *proxy) start(f *proxyFlags, printer *lines.Printer, capture io.Writer) {
	o := &output{printer: printer, events: newQueue[printed](f.waiting), failed: make(chan error, 1)}
	o.selected = f.printing.filter.Select(func(conn int, e watch.Event) {
		o.events.put(printed{conn: conn, event: e}, eventSize+e.Bytes())
	})
	p.output = o
	quiet := p.quiet
	o.wg.Go(func() {
		defer p.guard()
		o.events.drain(func(x printed) error {
			if quiet {
				return nil
			}
			return o.print(x)
		}, func(dropped int) error {
			if quiet {
				return nil
			}
			return o.printer.Dropped(dropped, time.Now())
		}, o.fail)
	})
	if capture == nil {
		return
	}
	o.packets = newQueue[packet](f.waiting)
	r := &recorder{out: capture, streams: make(map[int]*pcapng.Stream)}
	o.wg.Go(func() {
		defer p.guard()
		o.packets.drain(r.record, r.dropped, o.fail)
	})
}

// print prints one thing. What cannot be printed because of a fault here is told, and ends
// nothing: others depend on what passes.
func (o *output) print(x printed) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = o.printer.About(x.conn, x.event.At, "fault", fmt.Sprintf("an event cannot be printed: %v", r))
		}
	}()
	if x.about != "" {
		return o.printer.About(x.conn, x.event.At, x.about, x.event.Text)
	}
	return o.printer.Event(x.conn, x.event)
}

func (o *output) fail(err error) {
	select {
	case o.failed <- err:
	default:
	}
}

// about prints something of a connection as a whole.
func (o *output) about(conn int, kind, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events.put(printed{conn: conn, about: kind, event: watch.Event{At: time.Now(), Text: text}}, eventSize)
}

// finish prints and records what waits, and saves the descriptions that were used. An output that
// stands still is given up at the next signal.
func (p *proxy) finish(signals <-chan os.Signal) error {
	p.events.close()
	if p.packets != nil {
		p.packets.close()
	}
	done := make(chan struct{})
	go func() {
		p.output.wg.Wait()
		close(done)
	}()
	slow := time.NewTimer(time.Second)
	defer slow.Stop()
	for {
		select {
		case <-done:
			return p.printer.Schema.Save(p.printer.Found()...)
		case <-slow.C:
			p.say("what was seen last is not printed or recorded yet; ^C again gives it up")
		case <-signals:
			return cli.Input("", "what was seen last was not printed or recorded: nobody has taken it")
		}
	}
}

// An observed is a connection that is looked at. It implements [relay.Tap].
type observed struct {
	n     int
	out   *output
	begun time.Time
	watch *watch.Conn
	blind atomic.Bool // what passes cannot be understood, because of a fault here

	calls, failures atomic.Int64
	bytes           [2]atomic.Int64

	mu      sync.Mutex
	missing [2]int64 // bytes of each direction that were not recorded
}

// observe begins to look at a connection.
func (o *output) observe(n int, who string, trunk bool) *observed {
	c := &observed{n: n, out: o, begun: time.Now()}
	c.watch = watch.New(watch.Config{Trunk: trunk, Frames: o.printer.Verbose >= 2, Tell: c.tell})
	o.about(n, lines.Open, who)
	c.record(packet{open: true, comment: who, at: c.begun})
	return c
}

func (c *observed) tell(e watch.Event) {
	switch {
	case e.Failed() && e.Call != nil:
		c.failures.Add(1)
	case e.Kind == watch.Begin:
		c.calls.Add(1)
	}
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.selected.Event(c.n, e)
}

// Data implements [relay.Tap].
func (c *observed) Data(fromServer bool, data []byte, files int) {
	now := time.Now()
	side := side(fromServer)
	c.bytes[side].Add(int64(len(data)))
	c.look(func() { c.watch.Write(fromServer, now, data) })
	comment := ""
	if files > 0 {
		comment = fmt.Sprintf("with %d file descriptors", files)
	}
	c.record(packet{fromServer: fromServer, at: now, data: data, comment: comment})
}

// End implements [relay.Tap].
func (c *observed) End(fromServer bool, err error) {
	c.look(func() { c.watch.End(fromServer, time.Now()) })
	if err != nil && !errors.Is(err, net.ErrClosed) { // that one is the proxy's own doing
		from := "client"
		if fromServer {
			from = "server"
		}
		c.out.about(c.n, "broken", "from the "+from+": "+err.Error())
	}
}

// close says that the connection has ended.
func (c *observed) close() {
	now := time.Now()
	c.look(func() { c.watch.Close(now) })
	c.out.about(c.n, lines.Closed, fmt.Sprintf("after %s; calls: %d, failed: %d; bytes: %d →, %d ←",
		lines.Duration(now.Sub(c.begun)), c.calls.Load(), c.failures.Load(), c.bytes[0].Load(), c.bytes[1].Load()))
	c.record(packet{close: true, at: now})
}

// look has what passes understood. A fault there must not end what passes.
func (c *observed) look(f func()) {
	if c.blind.Load() {
		return
	}
	defer func() {
		if r := recover(); r != nil && !c.blind.Swap(true) {
			c.out.about(c.n, "fault", fmt.Sprintf("what passes is copied, but not understood any more: %v", r))
		}
	}()
	f()
}

func side(fromServer bool) int {
	if fromServer {
		return 1
	}
	return 0
}

// A packet is something to record.
type packet struct {
	conn        int
	open, close bool
	fromServer  bool
	at          time.Time
	missing     int64 // bytes before data that were not recorded
	data        []byte
	comment     string
}

// record has a packet recorded, with a copy of its data.
func (c *observed) record(p packet) {
	if c.out.packets == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	side := side(p.fromServer)
	p.conn, p.missing = c.n, c.missing[side]
	size := len(p.data)
	p.data = append([]byte(nil), p.data...)
	if c.out.packets.put(p, eventSize+size) {
		c.missing[side] = 0
	} else {
		c.missing[side] += int64(size)
	}
}

// A recorder writes a capture. It begins with the first packet.
type recorder struct {
	out     io.Writer
	writer  *pcapng.Writer
	streams map[int]*pcapng.Stream
}

func (r *recorder) record(p packet) (err error) {
	if r.writer == nil {
		if r.writer, err = pcapng.NewWriter(r.out); err != nil {
			return err
		}
	}
	s := r.streams[p.conn]
	if s == nil {
		s = r.writer.Conn(pcapng.Conn{Comment: p.comment, Start: p.at})
		r.streams[p.conn] = s
	}
	switch {
	case p.open:
		return nil
	case p.close:
		delete(r.streams, p.conn)
		return s.Close(p.at)
	}
	s.Skip(p.fromServer, p.missing)
	return s.Write(p.fromServer, p.at, p.data, p.comment)
}

// dropped does nothing: what is missing is seen in the capture.
func (r *recorder) dropped(int) error { return nil }

// peerOf says who has connected.
func peerOf(conn net.Conn) string {
	if cred, err := ttrpc.PeerCredentialsOf(conn); err == nil {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cred.PID)) // where there is such a file
		if err != nil {
			return fmt.Sprintf("process %d, user %d", cred.PID, cred.UID)
		}
		return fmt.Sprintf("process %d (%s), user %d", cred.PID, bytes.TrimSpace(name), cred.UID)
	}
	if a := conn.RemoteAddr(); a != nil && a.String() != "" && a.String() != "@" {
		return a.String()
	}
	return "a client"
}
