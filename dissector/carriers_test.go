// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package dissector

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/internal/wire"
)

// A carrier is a way in which frames get into a capture.
type carrier struct {
	name string
	// add writes an exchange, and returns the number of the packet in which each frame
	// ends. It returns none where the way does not serve for the exchange.
	add func(c *capture, e exchange) []int
}

// tcpCarriers are those that one capture has side by side.
func tcpCarriers() []carrier {
	// On a port that nobody knows a request is recognized by its service.
	unknownPort := func(c *capture, e, carried exchange) []int {
		if b := e.frames[0].b; !bytes.HasPrefix(b[8:], []byte("\x01\x00\x0a\x08vec.Echo")) {
			return nil
		}
		c.port = 1234
		defer func() { c.port = 0 }()
		return c.add(e.name, carried.frames, 0)
	}
	return []carrier{
		{"pieces", func(c *capture, e exchange) []int { return c.add(e.name, e.frames, 7) }},
		{"another port", func(c *capture, e exchange) []int { return unknownPort(c, e, e) }},
		{"a trunk on another port", func(c *capture, e exchange) []int { return unknownPort(c, e, inTrunk(e, 1, 0)) }},
		{"pieces of a trunk", func(c *capture, e exchange) []int { return c.add(e.name, inTrunk(e, 2, 50).frames, 33) }},
	}
}

// inTrunk puts each frame of an exchange into packets of NRI's trunk, which have at most
// that length; 0 is for one packet, if it fits.
func inTrunk(e exchange, conn uint32, length int) exchange {
	if length == 0 {
		length = 10 + 4<<20 // no packet has more
	}
	out := exchange{name: e.name}
	for _, f := range e.frames {
		var b []byte
		for piece := range pieces(f.b, length) {
			b = append(wire.AppendNumber(wire.AppendNumber(b, conn), uint32(len(piece))), piece...)
		}
		out.frames = append(out.frames, frame{f.server, b})
	}
	return out
}

// TestCarriers has exchanges come in pieces, on a port that is not known, and in a trunk:
// the same is shown as of whole frames.
func TestCarriers(t *testing.T) {
	files, exchanges := all(t)
	every := slices.Concat(exchanges...)
	c := newCapture(t)
	carriers := tcpCarriers()
	packets := make([][][]int, len(carriers))
	for i, way := range carriers {
		for _, e := range every {
			packets[i] = append(packets[i], way.add(c, e))
		}
	}
	got := rows(t, c.file.Bytes())
	for i, way := range carriers {
		sameAsGolden(t, way.name, files, every, packets[i], got)
	}
}

// TestSockdump has exchanges come as sockdump records them, where another process has
// called listen than the one that serves.
func TestSockdump(t *testing.T) {
	files, exchanges := all(t)
	every := slices.Concat(exchanges...)
	file, packets := sockdump(every)
	sameAsGolden(t, "sockdump", files, every, packets, rows(t, file))
}

// sockdump returns a file with exchanges, and the packets in which their frames end.
func sockdump(all []exchange) (file []byte, packets [][]int) {
	numbers := func(n ...uint32) {
		for _, n := range n {
			file = wire.AppendNumber(file, n)
		}
	}
	numbers(0xa1b2c3d4, 2<<16|4, 0, 0, 1<<18, 147)
	packets = make([][]int, len(all))
	total := 0
	for i, e := range all {
		client := uint32(10_000 + i)
		for j, f := range e.frames {
			from, to := client, uint32(77)
			if f.server {
				from, to = 1077, client
			}
			for piece := range pieces(f.b, 50<<10) {
				n := uint32(len(piece) + 16)
				numbers(uint32(i), uint32(j)*1000, n, n, 0, to, 0, from)
				file = append(file, piece...)
				total++
			}
			packets[i] = append(packets[i], total)
		}
	}
	return file, packets
}

// TestPreferences has ports named by preference, and by Decode As, and leaves sockdump's
// link type to others.
func TestPreferences(t *testing.T) {
	s := new(script)
	s.response('S', 1, 0, "") // by which nobody recognizes it
	c := newCapture(t)
	c.port = 4321
	c.add("", s.frames, 0)
	c.add("", inTrunk(s.exchange, 1, 0).frames, 0)
	dump, _ := sockdump([]exchange{s.exchange})
	for _, p := range []struct {
		capture []byte
		args    []string
		want    string
	}{
		{c.file.Bytes(), nil, ""},
		{c.file.Bytes(), []string{"-o", "ttrpc.ports:80,4000-5000"}, ",,0x02\n1,,0x02\n"},
		{c.file.Bytes(), []string{"-d", "tcp.port==4321,ttrpc"}, ",,0x02\n1,,0x02\n"},
		{dump, nil, ",1077,0x02\n"},
		{dump, []string{"-o", "ttrpc.sockdump:FALSE"}, ""},
	} {
		args := append(p.args, "-Y", "ttrpc.type", "-T", "fields", "-E", "separator=,",
			"-e", "ttrpc_trunk.conn", "-e", "ttrpc_sockdump.pid", "-e", "ttrpc.type")
		got := string(tshark(t, p.capture, args...))
		if got != p.want {
			t.Errorf("B185: with %q there is %q, want %q", p.args, got, p.want)
		}
	}
}

// sameAsGolden compares what is shown of exchanges with the golden files.
func sameAsGolden(t *testing.T, way string, files []string, all []exchange, packets [][]int, got []row) {
	t.Helper()
	for _, r := range got {
		delete(r.fields, "ttrpc_trunk.conn")
	}
	want := make(map[string]string)
	for _, name := range files {
		for heading, text := range readGolden(t, name) {
			want[heading] = text
		}
	}
	compared := 0
	for i, e := range all {
		if packets[i] == nil {
			continue
		}
		if e.name == noTTRPC && way != "after harm" {
			for j, n := range packets[i][1:] {
				if shown := byNumber(got)[n].text(nil); !strings.Contains(shown, "not ttrpc") {
					t.Errorf("B185: %s: what is no ttrpc, #%d, shows%s", way, j+2, shown)
				}
			}
			continue
		}
		compared++
		shown := shows(t, []exchange{e}, packets[i:i+1], got)
		diff(t, fmt.Sprintf("%s, %s", way, e.name), strings.Trim(shown, "\n"), strings.Trim(want[e.name], "\n"))
	}
	if compared < 20 {
		t.Errorf("B185: %s: only %d exchanges were compared", way, compared)
	}
}

// TestFramesTogether has the frames that a side sends one after the other come in one
// packet.
func TestFramesTogether(t *testing.T) {
	_, exchanges := all(t)
	every := slices.Concat(exchanges...)
	for _, e := range slices.Clone(every) {
		every = append(every, inTrunk(e, 1, 0))
	}
	c := newCapture(t)
	var apart, together [][]int
	for _, e := range every {
		apart = append(apart, c.add(e.name, e.frames, 0))
		var merged []frame
		for i, f := range e.frames {
			if i > 0 && f.server == e.frames[i-1].server {
				last := &merged[len(merged)-1]
				last.b = slices.Concat(last.b, f.b)
			} else {
				merged = append(merged, f)
			}
		}
		together = append(together, c.add(e.name, merged, 0))
	}
	fields := make(map[int]map[string][]string)
	for _, r := range rows(t, c.file.Bytes()) {
		fields[r.number] = r.fields
	}
	values := func(packets []int, field string) (all []string) {
		for n := packets[0]; n <= packets[len(packets)-1]; n++ {
			all = append(all, fields[n][field]...)
		}
		return all
	}
	for i, e := range every {
		if e.name == noTTRPC {
			continue
		}
		for _, field := range shown {
			if numbers[field] || field == "ttrpc.time" {
				continue
			}
			if got, want := values(together[i], field), values(apart[i], field); !slices.Equal(got, want) {
				t.Errorf("B185: %s: frames that come together have %s %q, and those that do not %q", e.name, field, got, want)
			}
		}
	}
}

// TestBegunLate has captures that begin in the middle: on a port that nobody knows a
// connection is recognized by its first request, and what came before it is shown, but
// counts for nothing.
func TestBegunLate(t *testing.T) {
	s := new(script)
	s.response('S', 1, 0, "").response('S', 3, 0, "")
	s.request('C', 3, 0, "Echo", helloText).response('S', 3, 0, helloText).response('S', 1, 0, "")
	c := newCapture(t)
	c.port = 1234
	packets := c.add("", s.frames, 0)
	got := shows(t, []exchange{s.exchange}, [][]int{packets}, rows(t, c.file.Bytes()))
	for i, want := range []string{
		"S #1 type=0x02 stream=1 length=0 flags=0x00",
		"S #2 type=0x02 stream=3 length=0 flags=0x00",
		"C #3 .* response_in=#4 .*",
		"S #4 .* status.code=0 request_in=#3 .*",
		"S #5 .* expert=The capture has no request for this",
	} {
		if line := strings.Split(got, "\n")[2+i]; !regexp.MustCompile("^" + want + "$").MatchString(line) {
			t.Errorf("B185: a connection that is recognized late shows %q, want %q", line, want)
		}
	}
}

// TestMadeUpTCP has Wireshark look for what is wrong with the packets of a capture.
func TestMadeUpTCP(t *testing.T) {
	c := newCapture(t)
	for _, e := range vectors(t) { // one of which has 4 MiB, and no answer meanwhile
		c.add(e.name, e.frames, 0)
	}
	check := func(filter string) string {
		return string(tshark(t, c.file.Bytes(), "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-Y", filter))
	}
	if got := check("ip.checksum.status != 1 || tcp.checksum.status != 1 || tcp.analysis.flags || (tcp.len > 0 && tcp.window_size < 1000000000)"); got != "" {
		t.Errorf("B183: Wireshark complains of\n%s", got)
	}
	if check("tcp.checksum.status == 1") == "" {
		t.Error("B183: no checksums were looked at")
	}
}
