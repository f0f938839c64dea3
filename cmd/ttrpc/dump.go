// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/lines"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/strace"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
	"github.com/containerd/ttrpc/internal/pcapng"
)

const dumpExample = `  ttrpc dump calls.pcapng
  ttrpc dump --failed --method 'containerd.task.*/State' calls.pcapng
  strace -f -yy -ttt -xx -s 9999999 -e trace=%network,%desc -o out.txt -p PID; ttrpc dump out.txt
  ttrpc dump - < calls.pcapng`

const dumpLong = `Show the calls that are in a file, in the lines that "ttrpc proxy" prints.

The file is one of these, which is seen from its beginning:

  pcapng     as "ttrpc proxy --pcap" writes, or Wireshark and tcpdump of TCP
  pcap       as tcpdump writes, or sockdump, of unix sockets
  strace     what strace has written of a process, with -f and a large -s
  raw bytes  what one side of a connection has sent

- is standard input. Where a capture begins in the middle of a connection, the first calls
have no names.`

// dumpFlags are the flags of "ttrpc dump".
type dumpFlags struct {
	format       string
	nri          bool
	printing     printFlags
	descriptions schema.Flags
}

func newDumpCommand(e *cli.Env) *cobra.Command {
	f := new(dumpFlags)
	cmd := &cobra.Command{
		Use:     "dump [flags] FILE|-",
		Short:   "Show the calls that are in a capture",
		Long:    dumpLong,
		Example: dumpExample,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd, e, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.format, "format", "", "`FORMAT` of the file, if it is not seen from its beginning: pcap, strace or raw")
	cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"pcap", "strace", "raw"}, cobra.ShellCompDirectiveNoFileComp))
	flags.BoolVar(&f.nri, "nri", false, "the connections are trunks of NRI")
	f.printing.register(cmd)
	f.descriptions.Register(cmd)
	return cmd
}

func (f *dumpFlags) run(cmd *cobra.Command, e *cli.Env, name string) error {
	s, err := f.descriptions.Open(cmd.Context(), nil)
	if err != nil {
		return err
	}
	printer, err := f.printing.printer(e, s)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(e.Stdout, 64<<10)
	if name != "-" { // of what is still being recorded each line is wanted at once
		printer.Out = out
	}
	file := io.NopCloser(e.Stdin)
	size := int64(0)
	if name != "-" {
		opened, err := os.Open(name)
		if err != nil {
			return cli.Input("", "%w", err)
		}
		file = opened
		if info, err := opened.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
	}
	defer file.Close()
	progress := e.Progress("bytes read", size)
	defer progress.Done()
	d := newDump(printer, &f.printing.filter, f.nri)
	err = d.read(bufio.NewReaderSize(&counted{file, progress}, 64<<10), f.format, name)
	progress.Done()
	if flushed := out.Flush(); err == nil && d.failed == nil {
		d.failed = flushed
	}
	if err == nil {
		err = d.failed
	}
	if err == nil {
		err = s.Save(printer.Found()...)
	}
	return err
}

// A counted is a reader that shows how far it is.
type counted struct {
	io.Reader
	progress *cli.Progress
}

// Read implements io.Reader.
func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.progress.Add(int64(n))
	return n, err
}

// A recording is a file of some format.
type recording interface {
	Next() (pcapng.Segment, error)
	Name(conn int) string
}

// open finds out the format of a file.
func open(in *bufio.Reader, format string) (recording, error) {
	begin, err := in.Peek(16 << 10)
	if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, err
	}
	if format == "" {
		format = formatOf(begin)
	}
	switch format {
	case "pcap", "pcapng":
		return pcapng.NewReader(in)
	case "strace":
		return strace.NewReader(in), nil
	case "raw":
		return &rawBytes{in: in}, nil
	}
	return nil, cli.Usage("", "--format %q is none: there are pcap, strace and raw", format)
}

// formatOf tells the format of a file that begins so.
func formatOf(begin []byte) string {
	if len(begin) >= 4 {
		switch [4]byte(begin) {
		case [4]byte{0x0a, 0x0d, 0x0d, 0x0a}, // pcapng; the others are pcap, with micro- and nanoseconds
			[4]byte{0xd4, 0xc3, 0xb2, 0xa1}, [4]byte{0xa1, 0xb2, 0xc3, 0xd4},
			[4]byte{0x4d, 0x3c, 0xb2, 0xa1}, [4]byte{0xa1, 0xb2, 0x3c, 0x4d}:
			return "pcap"
		}
	}
	if strace.Looks(begin) {
		return "strace"
	}
	return "raw"
}

// rawBytes are what one side of a connection has sent.
type rawBytes struct{ in io.Reader }

// Next implements recording.
func (r *rawBytes) Next() (pcapng.Segment, error) {
	b := make([]byte, 64<<10)
	n, err := r.in.Read(b)
	if n > 0 {
		err = nil
	}
	return pcapng.Segment{Data: b[:n]}, err
}

// Name implements recording.
func (r *rawBytes) Name(int) string { return "raw bytes" }

// A dump shows what is in a file.
type dump struct {
	printer  *lines.Printer
	selected *lines.Selection
	trunk    bool
	source   recording
	many     bool // most connections of the source are no ttrpc, and left out
	feeds    map[int]*feed
	shown    int  // how many connections are, if not all
	found    bool // there was a frame that makes sense
	failed   error
}

func newDump(printer *lines.Printer, filter *lines.Filter, trunk bool) *dump {
	d := &dump{printer: printer, trunk: trunk, feeds: make(map[int]*feed)}
	d.selected = filter.Select(func(conn int, e watch.Event) { d.note(printer.Event(conn, e)) })
	return d
}

// read shows all that is in a file. The error is of type [*cli.Exit], but for one of the output.
func (d *dump) read(in *bufio.Reader, format, name string) (err error) {
	const hint = `"ttrpc dump --help" tells what can be read.`
	if d.source, err = open(in, format); err != nil {
		return cli.Input(hint, "%s: %w", name, err)
	}
	_, d.many = d.source.(*strace.Reader)
	for d.failed == nil {
		s, err := d.source.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			d.end()
			return cli.Input(hint, "%s: %w", name, err)
		}
		d.take(s)
	}
	d.end()
	if !d.found && d.failed == nil {
		return cli.Input(hint, "%s: there is no ttrpc in it", name)
	}
	return nil
}

// end ends all connections that have not.
func (d *dump) end() {
	for _, conn := range slices.Sorted(maps.Keys(d.feeds)) {
		f := d.feeds[conn]
		f.close(d, conn, f.last)
	}
}

// take takes a piece of a connection.
func (d *dump) take(s pcapng.Segment) {
	f := d.feeds[s.Conn]
	if f == nil {
		f = new(feed)
		d.feeds[s.Conn] = f
	}
	f.last = s.At
	switch {
	case f.over:
	case f.watch == nil:
		f.orient(d, s)
	default:
		f.write(d, s)
	}
}

const (
	// maxHeld bounds what is held of a connection until it is known who is the client.
	maxHeld         = 1 << 20
	maxHeldSegments = 64
)

// A feed is a connection of a file, of which first has to be found out who is the client.
type feed struct {
	watch  *watch.Conn // nil until that is known
	n      int         // its number in lines
	turned bool        // the client is who the source takes for the server
	whole  bool        // it is there from its beginning, with the client as the source says: a capture of ours
	ended  [2]bool
	over   bool // it has ended, or is left out
	last   time.Time

	held  []pcapng.Segment // until watch is there
	bytes int              // of these
}

// orient finds out who is the client, and begins to watch. It holds the segment until that is
// known.
func (f *feed) orient(d *dump, s pcapng.Segment) {
	f.held = append(f.held, s)
	f.bytes += len(s.Data)
	fromServer, known := watch.Sender(s.Data)
	if first := f.held[0]; len(first.Data) == 0 && first.Comment != "" {
		f.whole = true
	}
	if d.trunk || f.whole {
		fromServer, known = s.FromServer, len(s.Data) > 0
	}
	switch {
	case known:
		f.turned = fromServer != s.FromServer
		f.begin(d, s.Conn)
	case f.bytes > maxHeld || len(f.held) > maxHeldSegments:
		f.giveUp(d, s.Conn)
	}
}

// giveUp is called when it cannot be found out. Of what strace has seen most descriptors are no
// ttrpc, so they are left out.
func (f *feed) giveUp(d *dump, conn int) {
	if d.many {
		f.over, f.held = true, nil
		return
	}
	f.begin(d, conn)
}

// begin begins to watch, with what was held.
func (f *feed) begin(d *dump, conn int) {
	f.n = conn + 1
	if d.many {
		d.shown++
		f.n = d.shown
	}
	f.watch = watch.New(watch.Config{Midway: !f.whole, Trunk: d.trunk, Frames: d.printer.Verbose >= 2, Tell: func(e watch.Event) {
		d.found = d.found || e.Kind != watch.Note && e.Kind != watch.Control
		d.selected.Event(f.n, e)
	}})
	name := d.source.Name(conn)
	if f.whole {
		name = f.held[0].Comment // what the connection was
		f.held = f.held[1:]
	}
	d.note(d.printer.About(f.n, f.last, lines.Open, name))
	held := f.held
	f.held = nil
	for _, s := range held {
		f.write(d, s)
	}
}

// note takes note of an error of the output.
func (d *dump) note(err error) {
	if err != nil && d.failed == nil {
		d.failed = err
	}
}

// write hands a segment on.
func (f *feed) write(d *dump, s pcapng.Segment) {
	fromServer := s.FromServer != f.turned
	f.watch.Gap(fromServer, s.At, s.Missing)
	f.watch.Write(fromServer, s.At, s.Data)
	if s.Comment != "" && d.printer.Verbose > 0 {
		d.note(d.printer.About(f.n, s.At, "comment", s.Comment))
	}
	if !s.End {
		return
	}
	f.watch.End(fromServer, s.At)
	f.ended[side(fromServer)] = true
	if f.ended[0] && f.ended[1] {
		f.close(d, s.Conn, s.At)
	}
}

// close says that the connection has ended.
func (f *feed) close(d *dump, conn int, at time.Time) {
	if f.watch == nil && !f.over {
		f.giveUp(d, conn)
	}
	if f.over {
		return
	}
	f.over = true
	f.watch.End(false, at)
	f.watch.End(true, at)
	f.watch.Close(at)
}
