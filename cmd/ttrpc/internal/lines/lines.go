// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package lines prints what was seen of connections, in lines for people or as JSON for
// programs:
//
//	[1] → 3 /demo.Greeter/Greet {"name":"Ada"}
//	[1] ← 3 OK 1.2ms {"text":"Hello, Ada!"}
//
// The number in brackets is that of the connection, and the one after the arrow that of the
// stream. → is sent by who dialled, ← by who was dialled.
package lines

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
	"github.com/containerd/ttrpc/internal/wire"
)

// DefaultLimit is how many bytes of a message a line shows by default.
const DefaultLimit = 2000

// A Printer prints events. It may not be used concurrently.
type Printer struct {
	Out     io.Writer
	Schema  *schema.Schema
	Paint   func(colour int, text string) string // nil: no colours
	JSON    bool
	Clock   bool // the time of day stands before each line
	Verbose int  // 1: metadata, timeouts and what holds connections up; 2: each frame, too
	Limit   int  // how many bytes of a message a line of text shows
	Lazy    bool // connections of which nothing else is printed are not told of

	described described
	unopened  map[int]opening // with Lazy
}

// An opening is what is to be said of a connection that has begun.
type opening struct {
	at   time.Time
	text string
}

// Colours of [cli.Env.Paint].
const (
	red    = 31
	green  = 32
	yellow = 33
	cyan   = 36
	faint  = 2
)

func (p *Printer) paint(colour int, text string) string {
	if p.Paint == nil {
		return text
	}
	return p.Paint(colour, text)
}

// Event prints one event of a connection, if it is to be shown.
func (p *Printer) Event(conn int, e watch.Event) error {
	if !p.shows(e.Kind) {
		return nil
	}
	if err := p.open(conn); err != nil {
		return err
	}
	if p.JSON {
		return p.eventJSON(conn, e)
	}
	return p.line(conn, e.Trunk, e.At, p.text(e))
}

// shows tells whether a kind of event is shown.
func (p *Printer) shows(k watch.Kind) bool {
	switch k {
	case watch.Frame:
		return p.Verbose >= 2
	case watch.Control, watch.Header, watch.Trailer, watch.HalfEnd:
		return p.Verbose >= 1
	}
	return true
}

// The kinds of [Printer.About] for the begin and the end of a connection.
const (
	Open   = "open"
	Closed = "closed"
)

// About prints something about a connection as a whole: Open, Closed, or what else becomes of it.
func (p *Printer) About(conn int, at time.Time, kind, text string) error {
	if p.Lazy && kind == Open {
		if p.unopened == nil {
			p.unopened = make(map[int]opening)
		}
		p.unopened[conn] = opening{at, text}
		return nil
	}
	if _, silent := p.unopened[conn]; silent && kind == Closed {
		delete(p.unopened, conn)
		return nil
	}
	if err := p.open(conn); err != nil {
		return err
	}
	return p.about(conn, at, kind, text)
}

// open tells of a connection that was not told of yet.
func (p *Printer) open(conn int) error {
	first, ok := p.unopened[conn]
	if !ok {
		return nil
	}
	delete(p.unopened, conn)
	return p.about(conn, first.at, Open, first.text)
}

func (p *Printer) about(conn int, at time.Time, kind, text string) error {
	if p.JSON {
		return p.write(record{Conn: conn, At: at, Kind: kind, Text: text})
	}
	return p.line(conn, 0, at, p.paint(faint, kind+": "+printable(text)))
}

// Dropped tells how many events were not printed, for want of time.
func (p *Printer) Dropped(n int, at time.Time) error {
	if p.JSON {
		return p.write(record{At: at, Kind: "dropped", Number: uint32(n)})
	}
	_, err := fmt.Fprintln(p.Out, p.paint(yellow, fmt.Sprintf("… %d events are not shown, as they could not be printed in time", n)))
	return err
}

func (p *Printer) line(conn int, trunk uint32, at time.Time, text string) error {
	var b strings.Builder
	if p.Clock {
		b.WriteString(p.paint(faint, at.Local().Format("15:04:05.000000")) + " ")
	}
	label := fmt.Sprint(conn)
	switch trunk {
	case 0:
	case watch.PluginService:
		label += " plugin"
	case watch.RuntimeService:
		label += " runtime"
	default:
		label += fmt.Sprintf(" %d", trunk)
	}
	b.WriteString(p.paint(faint, "["+label+"]") + " " + text + "\n")
	_, err := io.WriteString(p.Out, b.String())
	return err
}

// text is what a line says of an event.
func (p *Printer) text(e watch.Event) string {
	arrow := "→"
	if e.FromServer {
		arrow = "←"
	}
	if e.Kind == watch.Message || e.Kind == watch.HalfEnd || e.Kind == watch.Frame {
		arrow = "  " + arrow
	}
	head := arrow + " "
	if e.StreamID != 0 || e.Kind == watch.Finish {
		head += fmt.Sprintf("%d ", e.StreamID)
	}
	return head + p.what(e)
}

// what is what a line says after the arrow and the stream.
func (p *Printer) what(e watch.Event) string {
	switch e.Kind {
	case watch.Begin:
		return p.begin(e)
	case watch.Message:
		return p.message(e) + files(e.Files)
	case watch.HalfEnd:
		return p.paint(faint, "sends no more")
	case watch.Header, watch.Trailer:
		return p.paint(faint, e.Kind.String()) + " " + metadata(e.Metadata)
	case watch.Cancel:
		return p.paint(yellow, "cancelled") + status(e)
	case watch.Finish:
		return p.finish(e)
	case watch.Lost:
		return join(p.paint(red, "lost"), took(e), method(e)) + ": the connection has ended before the call"
	case watch.Goodbye:
		return p.paint(yellow, "goodbye") + fmt.Sprintf(", serves up to id %d", e.Number) + status(e)
	case watch.Note:
		return p.paint(yellow, "note: ") + printable(e.Text)
	}
	return p.paint(faint, printable(e.Text))
}

func (p *Printer) begin(e watch.Event) string {
	text := p.paint(cyan, printable(e.Call.FullMethod()))
	if e.Call.Streams {
		text += " stream"
	}
	text += files(e.Files)
	if p.Verbose > 0 {
		if e.Call.Timeout != 0 {
			text += " " + p.paint(faint, "timeout "+e.Call.Timeout.String())
		}
		if len(e.Metadata) > 0 {
			text += " " + p.paint(faint, metadata(e.Metadata))
		}
	}
	if m := p.message(e); m != "" {
		text += " " + m
	}
	return text
}

func (p *Printer) finish(e watch.Event) string {
	code := codes.Code(e.Status.GetCode())
	if code == codes.OK {
		return join(p.paint(green, "OK"), took(e), p.message(e)) + files(e.Files)
	}
	return join(p.paint(red, code.String()), took(e), method(e)) + status(e) + p.details(e.Status)
}

// join puts a space between what is not empty.
func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
}

// took is how long a call has taken, as far as that was seen.
func took(e watch.Event) string {
	if e.Call.FullMethod() == "" || e.At.Year() < 1970 {
		return "" // captures may have no times
	}
	return Duration(e.At.Sub(e.Call.Begun))
}

// Duration writes a duration with three digits or so.
func Duration(d time.Duration) string {
	for unit := time.Nanosecond; unit <= time.Hour; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
	return d.Round(time.Second).String()
}

// method names the method where it helps: at the end of what has failed.
func method(e watch.Event) string {
	if name := e.Call.FullMethod(); name != "" {
		return printable(name)
	}
	return ""
}

func status(e watch.Event) string {
	if text := e.Status.GetMessage(); text != "" {
		return ": " + printable(text)
	}
	return ""
}

func files(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" +%d files", n)
}

func metadata(all []wire.KeyValue) string {
	var b strings.Builder
	for i, kv := range all {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(printable(kv.Key) + ": " + printable(kv.Value))
	}
	return b.String()
}

// printable returns text that stays on its line and moves no terminal: with escapes.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case plain(r):
			b.WriteRune(r)
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		default:
			quoted := strconv.QuoteToASCII(string(r))
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}
