// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestQuick measures some rows of all sides: each delivers what it has, and tables and
// plots can be made of it.
func TestQuick(t *testing.T) {
	o := &options{
		out: t.TempDir(), rounds: 1, quick: true,
		only: regexp.MustCompile(`^(Unary/size=64/processes=[12]|Callers/size=64/callers=64|Latency/callers=8|` +
			`Rate/.*|Stream/size=64/kind=(upload|pingpong)|Over/.*/size=64(/kind=download)?|Processors/n=2|` +
			`SystemCalls/callers=1/processes=2|Memory/kind=(idle|channel)/n=1000|Minimal|Channel/.*|Bytes/kind=upload|` +
			`Stubs/calls/over=tls/size=64|Stubs/streams/over=tcp/size=64/kind=pingpong|Memory/kind=stub-called/n=1000|` +
			`Network/calls/lost=0/size=64|Hop/calls/size=64|Hop/streams/size=64/kind=upload)$`),
	}
	if err := run(t.Context(), o, t.Output()); err != nil {
		t.Fatal(err)
	}
	r, err := readResults(filepath.Join(o.out, resultsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		for _, row := range g.rows {
			if o.only.MatchString(row.name) {
				checkRow(t, r, g, row)
			}
		}
	}
	readme := read(t, filepath.Join(o.out, "README.md"))
	for _, f := range plots {
		if !strings.Contains(readme, "("+f.file+")") {
			t.Errorf("README.md does not show %s", f.file)
		}
		checkXML(t, read(t, filepath.Join(o.out, f.file)))
	}
	checkTables(t, readme)
}

// lacks tells what a side has nothing of.
func lacks(s *side, row *row) bool {
	stream := strings.HasPrefix(row.name, "Stream/") || strings.Contains(row.name, "/streams/") || strings.HasPrefix(row.name, "Memory/kind=stream/") ||
		strings.HasPrefix(row.name, "Memory/kind=channel/") || row.name == "Channel/kind=oneway" || row.name == "Channel/kind=roundtrip"
	switch {
	case row.name == "Minimal":
		return s.server == ""
	case s.driver == "":
		return true
	case strings.HasPrefix(row.name, "Over/") && s.module != "ttrpc":
		return true
	case s.name == "v1.1.0", s.name == "netrpc":
		return stream
	case s.name == "connect":
		return strings.HasPrefix(row.name, "Memory/kind=idle/")
	}
	return false
}

func checkRow(t *testing.T, r *results, g *group, row *row) {
	for _, s := range g.all() {
		for _, unit := range g.units {
			values := r.values(row.name, s.name, unit)
			switch {
			case lacks(s, row):
				if len(values) != 0 {
					t.Errorf("%s of %s: %s is %v, where nothing can be measured", row.name, s.name, unit, values)
				}
			case len(values) != 1:
				if unit != unitSystemCalls { // there may be no perf, or runs so short that nothing can be told
					t.Errorf("%s of %s: %s is %v, not one value", row.name, s.name, unit, values)
				}
			// A little memory may go by chance, and the floor allocates none.
			case values[0] <= 0 && !strings.HasPrefix(row.name, "Memory/") && !(g.noFloor && s.name == floorName):
				t.Errorf("%s of %s: %s is %v", row.name, s.name, unit, values[0])
			}
		}
	}
}

// checkTables wants the lines of a table to have as many columns as its head.
func checkTables(t *testing.T, markdown string) {
	columns, tables := 0, 0
	for line := range strings.Lines(markdown) {
		n := strings.Count(line, "|")
		switch {
		case n == 0:
			columns = 0
		case columns == 0:
			columns = n
			tables++
		case n != columns:
			t.Errorf("a line has %d columns, its head %d: %s", n-1, columns-1, line)
		}
	}
	if tables < len(groups) {
		t.Errorf("there are %d tables of %d groups", tables, len(groups))
	}
}

func checkXML(t *testing.T, text string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestRender makes tables and plots of few results, and of none.
func TestRender(t *testing.T) {
	o := &options{out: t.TempDir(), render: true}
	r := new(results)
	for _, value := range []float64{1, 0, 3} {
		if err := run(t.Context(), o, t.Output()); err != nil {
			t.Fatal(err)
		}
		r.lines = nil
		for _, row := range rows() {
			if strings.Contains(row.name, "64") {
				r.lines = append(r.lines, newLine(row, sides[0], metrics{unitTime: value}, 1))
			}
		}
		if err := r.write(filepath.Join(o.out, resultsFile)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range sides {
		if seen[s.name] {
			t.Errorf("two sides are called %s", s.name)
		}
		seen[s.name] = true
	}
	for _, name := range []string{oursName, oursVTName, releasedName, floorName, floorStatusName} {
		if !seen[name] {
			t.Errorf("no side is called %s", name)
		}
	}
	var drawn []string
	for _, row := range rows() {
		drawn = append(drawn, row.name)
	}
	for _, bars := range [][]bar{memoryBars, cpuBars, channelBars, stubBars} {
		for _, b := range bars {
			if !slices.Contains(drawn, b.row) {
				t.Errorf("no row is called %s", b.row)
			}
		}
	}
}
