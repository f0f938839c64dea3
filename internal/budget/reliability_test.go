// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// reliabilityFile tells what was tried to break the library.
const reliabilityFile = "RELIABILITY.md"

// A table is one of a document's.
type table struct {
	line int // of its head
	head []string
	rows [][]string
}

// first returns the first cells of all rows.
func (tb table) first() (all []string) {
	for _, row := range tb.rows {
		all = append(all, row[0])
	}
	return all
}

// tables returns the tables of a document. It reports those without rows, rows that have
// more or fewer cells than the head, empty ones, and what stands twice.
func tables(report report, path string, text []byte) (all []table) {
	var open *table
	for n, line := range lines(text) {
		if !bytes.HasPrefix(line, []byte("|")) {
			open = nil
			continue
		}
		cells := strings.Split(strings.Trim(string(line), "|"), "|")
		for i, cell := range cells {
			cells[i] = strings.TrimSpace(cell)
		}
		switch {
		case open == nil:
			all = append(all, table{line: n, head: cells})
			open = &all[len(all)-1]
			continue
		case len(cells) != len(open.head):
			report("%s:%d: %d cells, under %d in the head", path, n, len(cells), len(open.head))
		case strings.Trim(cells[0], "-") == "" && strings.HasPrefix(cells[0], "-"):
			continue
		case strings.Join(cells, "") == "":
			report("%s:%d: the row is empty", path, n)
		}
		if slices.ContainsFunc(open.rows, func(row []string) bool { return slices.Equal(row, cells) }) {
			report("%s:%d: the row stands there twice", path, n)
		}
		open.rows = append(open.rows, cells)
	}
	for _, tb := range all {
		if len(tb.rows) == 0 {
			report("%s:%d: the table has no rows", path, tb.line)
		}
	}
	return all
}

// named returns the strings that stand after "name:" in the Go files of a directory.
func named(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\bname: +"([^"]+)"`).FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
	}
	if len(names) == 0 {
		t.Fatalf("nothing has a name in %s", dir)
	}
	return names
}

// TestReliabilityTables holds that the tables of RELIABILITY.md have their rows: of hostile
// input each case, of seeded faults each fault, and the summary the number of both.
func TestReliabilityTables(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, reliabilityFile))
	if err != nil {
		t.Fatal(err)
	}
	all := tables(t.Errorf, reliabilityFile, text)
	for _, want := range []struct{ head, dir, summary string }{
		{"case", "integration/reliability", "%d cases"},
		{"fault", "internal/seeded", "%d faults put into the library"},
	} {
		i := slices.IndexFunc(all, func(tb table) bool { return tb.head[0] == want.head })
		if i < 0 {
			t.Errorf("%s has no table of each %s", reliabilityFile, want.head)
			continue
		}
		rows, names := all[i].first(), named(t, want.dir)
		for _, name := range names {
			if !slices.Contains(rows, name) {
				t.Errorf("%s:%d: the table lacks %q", reliabilityFile, all[i].line, name)
			}
		}
		for _, row := range rows {
			if !slices.Contains(names, row) {
				t.Errorf("%s:%d: nothing in %s is called %q", reliabilityFile, all[i].line, want.dir, row)
			}
		}
		if summary := fmt.Sprintf(want.summary, len(names)); !bytes.Contains(text, []byte(summary)) {
			t.Errorf("%s does not tell in short of %s", reliabilityFile, summary)
		}
	}
}

// TestTablesFinds shows what is found.
func TestTablesFinds(t *testing.T) {
	const head = "| a | b |\n|---|---|\n"
	for doc, want := range map[string]string{
		head:                                "d.md:1: the table has no rows",
		head + "a row that lost its bars\n": "d.md:1: the table has no rows",
		head + "| 1 |\n":                    "d.md:3: 1 cells, under 2 in the head",
		head + "|  |  |\n":                  "d.md:3: the row is empty",
		head + "| 1 | 2 |\n| 1 | 2 |\n":     "d.md:4: the row stands there twice",
		head + "| 1 | 2 |\n| - | 2 |\n":     "",
	} {
		var got []string
		tables(func(format string, args ...any) { got = append(got, fmt.Sprintf(format, args...)) }, "d.md", []byte(doc))
		if found := strings.Join(got, "\n"); found != want {
			t.Errorf("%q: reported %q, want %q", doc, found, want)
		}
	}
}
