// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package dissector

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// shows returns what tshark shows of exchanges, of which the frames stand in these
// packets: a line for each frame, which names frames by their place.
func shows(t *testing.T, all []exchange, packets [][]int, got []row) string {
	t.Helper()
	rows := byNumber(got)
	var b strings.Builder
	for i, e := range all {
		place := make(map[string]string)
		for j, n := range packets[i] {
			place[strconv.Itoa(n)] = "#" + strconv.Itoa(j+1)
		}
		fmt.Fprintf(&b, "\n== %s\n", e.name)
		for j, n := range packets[i] {
			fmt.Fprintf(&b, "%c #%d%s\n", "CS"[btoi(e.frames[j].server)], j+1, rows[n].text(func(n string) string {
				if p := place[n]; p != "" {
					return p
				}
				return "packet " + n
			}))
		}
	}
	return b.String()
}

func byNumber(rows []row) map[int]row {
	all := make(map[int]row)
	for _, r := range rows {
		all[r.number] = r
	}
	return all
}

// all returns every exchange, and the golden files that they are in.
func all(t *testing.T) (files []string, exchanges [][]exchange) {
	return []string{"vectors.txt", "protocol.txt", "more.txt"}, [][]exchange{vectors(t), protocol(t), more()}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// golden compares what there is with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, name, got, string(want))
}

// diff complains of the first lines that differ.
func diff(t *testing.T, name, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	heading, complaints := "", 0
	for i := range max(len(g), len(w)) {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if strings.HasPrefix(b, "== ") {
			heading = b
		}
		if a == b {
			continue
		}
		if t.Errorf("B185: %s, line %d, %s\ngot  %s\nwant %s", name, i+1, heading, a, b); complaints == 10 {
			t.Fatal("and so on")
		}
		complaints++
	}
}

// TestGolden dissects every exchange, one packet to a frame.
func TestGolden(t *testing.T) {
	files, exchanges := all(t)
	c := newCapture(t)
	packets := make([][][]int, len(files))
	for i := range files {
		for _, e := range exchanges[i] {
			packets[i] = append(packets[i], c.add(e.name, e.frames, 0))
		}
	}
	got := rows(t, c.file.Bytes())
	for i, name := range files {
		golden(t, name, shows(t, exchanges[i], packets[i], got))
	}
}

// readGolden reads what a file shows of exchanges, by their names.
func readGolden(t *testing.T, name string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, part := range strings.Split(string(b), "\n== ")[1:] {
		heading, _, _ := strings.Cut(part, "\n")
		all[heading] = "\n== " + part
	}
	return all
}
