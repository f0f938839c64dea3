// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package strace reads what strace has written of a process: the bytes that it has read from
// and written to each of its descriptors.
//
//	strace -f -yy -ttt -xx -s 9999999 -e trace=%network,%desc -o FILE -p PID
//
// Of these flags -f and -s are needed, else threads and bytes are missing; -yy tells
// sockets of several processes apart, -ttt has times, and -xx makes it exact.
package strace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/ttrpc/internal/pcapng"
)

// maxLine bounds a line: a call with 4 MiB of data has four times that in hexadecimal.
const maxLine = 64 << 20

// A Reader reads what strace has written. Its segments are those of package pcapng: what the
// process has written counts as the client's, unless the process has accepted the connection. It is
// not safe for concurrent use.
type Reader struct {
	in    *bufio.Reader
	limit int // of a line
	lines int
	calls int // system calls that were understood

	unfinished map[string]string // by thread: what stands before "<unfinished ...>"
	open       map[string]*conn  // by descriptor, see key
	all        []*conn
	clock      clock
	ready      []pcapng.Segment
	err        error
}

// A conn is a descriptor from its opening to its close.
type conn struct {
	n      int
	name   string
	server bool // the process has accepted it
}

// NewReader begins to read.
func NewReader(r io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, 64<<10), limit: maxLine, unfinished: make(map[string]string), open: make(map[string]*conn)}
}

// Looks tells whether a file that begins so is strace's.
func Looks(begin []byte) bool {
	for line := range strings.Lines(string(begin)) {
		if !strings.HasSuffix(line, "\n") && len(line) < len(begin) {
			return false // no line that is whole says so
		}
		if _, ok := parse(strings.TrimRight(line, "\n")); ok || strings.Contains(line, "<unfinished ...>") {
			return true
		}
		// A line that is not whole: a long call comes first.
		if t := trim(line); !strings.HasSuffix(line, "\n") && isName(t.rest) {
			return true
		}
	}
	return false
}

// Next returns what comes next; io.EOF at the end.
func (r *Reader) Next() (pcapng.Segment, error) {
	for len(r.ready) == 0 {
		if r.err != nil {
			return pcapng.Segment{}, r.err
		}
		line, err := r.line()
		r.take(line)
		if err != nil {
			r.err = err
			if err == io.EOF && r.lines > 0 && r.calls == 0 {
				r.err = errors.New("no line is one of strace's: NAME(ARGUMENTS) = RESULT")
			}
		}
	}
	s := r.ready[0]
	r.ready = r.ready[1:]
	return s, nil
}

// Name returns what a connection is, as far as it is known.
func (r *Reader) Name(conn int) string { return r.all[conn].name }

// line reads a line, without its end.
func (r *Reader) line() (string, error) {
	var b strings.Builder
	for {
		piece, err := r.in.ReadSlice('\n')
		b.Write(piece)
		switch {
		case b.Len() > r.limit:
			return "", fmt.Errorf("line %d is longer than %d bytes", r.lines+1, r.limit)
		case err == bufio.ErrBufferFull:
			continue
		}
		if b.Len() > 0 {
			r.lines++
		}
		return strings.TrimRight(b.String(), "\r\n"), err
	}
}

// take takes a line.
func (r *Reader) take(line string) {
	t := trim(line)
	if t.rest == "" {
		return
	}
	if before, ok := strings.CutSuffix(t.rest, "<unfinished ...>"); ok {
		if len(r.unfinished) < 1<<16 {
			r.unfinished[t.thread] = before
		}
		return
	}
	if name, after, ok := strings.Cut(t.rest, " resumed>"); ok && strings.HasPrefix(name, "<... ") {
		t.rest = strings.TrimRight(r.unfinished[t.thread], " ") + after
		delete(r.unfinished, t.thread)
	}
	c, ok := t.call()
	if !ok {
		return
	}
	r.calls++
	r.handle(c, r.clock.at(t.time))
}

// handle does what a system call says.
func (r *Reader) handle(c call, at time.Time) {
	switch c.name {
	case "read", "recvfrom", "recvmsg", "readv", "recv":
		r.data(c, at, true)
	case "write", "sendto", "sendmsg", "writev", "send":
		r.data(c, at, false)
	case "accept", "accept4":
		if c.result >= 0 {
			f := r.begin(c.resultText)
			f.server = true
			f.name = "accepted as descriptor " + c.resultText
			if path := stringForm.FindStringSubmatch(c.resultText); path != nil {
				f.name = "accepted on " + string(unescape(path[1]))
			}
		}
	case "connect":
		f := r.begin(c.fd)
		f.name = "connected to " + c.path()
	case "shutdown":
		if f := r.open[key(c.fd)]; f != nil && !strings.Contains(c.args, "SHUT_RD)") && c.result == 0 {
			r.ready = append(r.ready, pcapng.Segment{Conn: f.n, FromServer: f.server, At: at, End: true})
		}
	case "close":
		if f := r.open[key(c.fd)]; f != nil {
			delete(r.open, key(c.fd))
			r.ready = append(r.ready, pcapng.Segment{Conn: f.n, At: at, End: true}, pcapng.Segment{Conn: f.n, FromServer: true, At: at, End: true})
		}
	}
}

// data handles bytes that were read or written.
func (r *Reader) data(c call, at time.Time, read bool) {
	if c.result < 0 || c.fd == "" || strings.Contains(c.args, "MSG_PEEK") {
		return
	}
	f := r.open[key(c.fd)]
	if f == nil {
		if c.result == 0 {
			return
		}
		f = r.begin(c.fd)
	}
	s := pcapng.Segment{Conn: f.n, FromServer: read != f.server, At: at}
	if c.result == 0 {
		s.End = read
		if read {
			r.ready = append(r.ready, s)
		}
		return
	}
	data, files := c.data()
	s.Data = data[:min(int64(len(data)), c.result)]
	if files > 0 {
		s.Comment = fmt.Sprintf("with %d file descriptors", files)
	}
	if len(s.Data) > 0 {
		r.ready = append(r.ready, s)
	}
	if missing := c.result - int64(len(s.Data)); missing > 0 {
		r.ready = append(r.ready, pcapng.Segment{Conn: f.n, FromServer: s.FromServer, At: at, Missing: missing})
	}
}

// key is what stays the same of a descriptor while it is open. That a socket is connected is
// said by -yy from then on.
func key(fd string) string {
	fd, _, _ = strings.Cut(fd, "->")
	return strings.TrimRight(fd, "]>")
}

// begin begins a connection on a descriptor.
func (r *Reader) begin(fd string) *conn {
	f := &conn{n: len(r.all), name: "descriptor " + fd}
	r.all = append(r.all, f)
	r.open[key(fd)] = f
	return f
}
