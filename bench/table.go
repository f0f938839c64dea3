// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// unitTitles say what a unit's table shows.
var unitTitles = map[string]string{
	unitTime: "Time", unitCPU: "CPU time, both sides",
	unitAllocs: "Allocations", unitBytes: "Allocated bytes",
	unitP50: "p50", unitP99: "p99", unitP999: "p99.9",
	unitSystemCalls:  "System calls",
	unitServerMemory: "Server, heap and stacks", unitClientMemory: "Client, heap and stacks",
	unitServerRSS: "Server, resident", unitClientRSS: "Client, resident",
	unitServerBinary: "Server, binary", unitClientBinary: "Client, binary",
	unitServerResident: "Server, resident", unitClientResident: "Client, resident",
}

// writeTables writes README.md: an overview, and a table for each group and unit.
func writeTables(r *results, dir string) error {
	var b strings.Builder
	writeIntroduction(&b, r)
	writeOverview(&b, r)
	for _, g := range groups {
		writeGroup(&b, r, g)
	}
	return os.WriteFile(filepath.Join(dir, "README.md"), []byte(b.String()), 0o644)
}

func writeIntroduction(b *strings.Builder, r *results) {
	b.WriteString(`# Benchmarks

Made by ` + "`go -C bench run .`" + ` from [results.txt](results.txt), which benchstat reads; do not edit.
`)
	for _, m := range machines(r) {
		b.WriteString("Measured on " + m + ".\n")
	}
	b.WriteString(`
*This* is this library, *v1.2.10* and *v1.1.0* are releases of ttrpc; *vtprotobuf*: with
messages that vtprotobuf generated methods for, and the options that use them. *Floor* is
what no protocol can go below; what it is stands at each table. All speak over a unix socket
where a table says nothing else. Values are medians of the rounds, in which all sides took
turns; ± is half of the way from the smallest to the largest.

`)
	for _, p := range plots {
		fmt.Fprintf(b, "![%s](%s)\n", p.title, p.file)
	}
}

// machines describes where the results are from.
func machines(r *results) (all []string) {
	seen := make(map[string]bool)
	for _, line := range r.lines {
		m := fmt.Sprintf("%s cores, %s/%s, kernel %s, %s", line.GetConfig("cores"), line.GetConfig("goos"),
			line.GetConfig("goarch"), line.GetConfig("kernel"), line.GetConfig("go"))
		if !seen[m] {
			seen[m] = true
			all = append(all, m)
		}
	}
	return all
}

// writeOverview compares this library with the release, the best rival and the floor,
// in the first unit of each row.
func writeOverview(b *strings.Builder, r *results) {
	b.WriteString(`
## Overview

How many times less than v1.2.10 this takes, this with vtprotobuf's messages, and this in
extended mode; than the best of all others, in bold where that is ahead; and how many times
the floor.

| | this | v1.2.10 ÷ this | ÷ vtprotobuf | ÷ extended | best other | ÷ this | ÷ extended | this ÷ floor |
|---|--:|--:|--:|--:|---|--:|--:|--:|
`)
	for _, g := range groups {
		for _, unit := range g.units[:max(g.overview, 1)] {
			var lines strings.Builder
			for _, row := range g.rows {
				writeOverviewRow(&lines, r, g, row, unit)
			}
			if lines.Len() > 0 {
				fmt.Fprintf(b, "| **%s: %s** | | | | | | | | |\n%s", g.title, unitTitles[unit], lines.String())
			}
		}
	}
}

func writeOverviewRow(b *strings.Builder, r *results, g *group, row *row, unit string) {
	ours, _, ok := r.median(row.name, oursName, unit)
	if !ok {
		return
	}
	vt, _, _ := r.median(row.name, oursVTName, unit)
	released, _, _ := r.median(row.name, releasedName, unit)
	extended, _, _ := r.median(row.name, oursExtendedName, unit)
	best, bestTitle := bestOther(r, row, unit)
	fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", row.label,
		formatValue(ours, unit), formatRatio(released, ours), formatRatio(released, vt), formatRatio(released, extended),
		bestTitle, formatAhead(best, ours), formatAhead(best, extended), formatRatio(ours, floorOf(r, g, row, unit)))
}

// formatAhead is formatRatio, in bold if the first is less.
func formatAhead(best, ours float64) string {
	ratio := formatRatio(best, ours)
	if best < 0.995*ours {
		return "**" + ratio + "**"
	}
	return ratio
}

// bestOther returns the value of the best of all that are neither this library nor a
// floor, and its name.
func bestOther(r *results, row *row, unit string) (float64, string) {
	best, title := math.Inf(1), "–"
	for _, s := range sides {
		if strings.HasPrefix(s.name, oursName) || strings.HasPrefix(s.name, floorName) {
			continue
		}
		if v, _, ok := r.median(row.name, s.name, unit); ok && v < best {
			best, title = v, s.title+", "+formatValue(v, unit)
		}
	}
	return best, title
}

func writeGroup(b *strings.Builder, r *results, g *group) {
	fmt.Fprintf(b, "\n## %s\n", g.title)
	if g.note != "" {
		fmt.Fprintf(b, "\n%s\n", g.note)
	}
	for _, unit := range g.units {
		fmt.Fprintf(b, "\n**%s.** Below each value: how many times less than that of %s it is, and how many times the floor's.\n\n", unitTitles[unit], g.compared().title)
		writeTable(b, r, g, unit)
	}
}

// writeTable has a column for each side that has anything.
func writeTable(b *strings.Builder, r *results, g *group, unit string) {
	var columns []*side
	for _, s := range g.all() {
		for _, row := range g.rows {
			if len(r.values(row.name, s.name, unit)) > 0 {
				columns = append(columns, s)
				break
			}
		}
	}
	if len(columns) == 0 {
		b.WriteString("Not measured.\n")
		return
	}
	b.WriteString("|")
	for _, s := range columns {
		b.WriteString(" | " + s.title)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|--:", len(columns)) + "|\n")
	for _, row := range g.rows {
		if len(r.values(row.name, g.ours(), unit)) == 0 {
			continue
		}
		b.WriteString("| " + row.label)
		for _, s := range columns {
			b.WriteString(" | " + cell(r, g, row, s, unit))
		}
		b.WriteString(" |\n")
	}
}

// floorOf returns the median of the floor, or of the one that small programs have; 0 if
// there is none to compare with.
func floorOf(r *results, g *group, row *row, unit string) float64 {
	if g.noFloor {
		return 0
	}
	floor, _, ok := r.median(row.name, floorName, unit)
	if !ok {
		floor, _, _ = r.median(row.name, floorStatusName, unit)
	}
	return floor
}

// cell is a value, its spread, and below them its ratios.
func cell(r *results, g *group, row *row, s *side, unit string) string {
	value, spread, ok := r.median(row.name, s.name, unit)
	if !ok {
		return "–"
	}
	text := formatValue(value, unit)
	if spread > 0 {
		text += fmt.Sprintf(" ±%.0f%%", 100*spread)
	}
	compared, _, _ := r.median(row.name, g.compared().name, unit)
	return text + "<br>" + formatRatio(compared, value) + " · " + formatRatio(value, floorOf(r, g, row, unit))
}

// formatRatio is a/b, unless one of them is missing.
func formatRatio(a, b float64) string {
	ratio := a / b
	switch {
	case a <= 0 || b <= 0 || math.IsInf(ratio, 0):
		return "–"
	case ratio >= 1000:
		return "> 1000"
	}
	return threeDigits(ratio)
}

// threeDigits tells a positive number with three digits, or all before the point, and
// not more than two after it.
func threeDigits(v float64) string {
	before := 1
	for x := v; x >= 9.995; x /= 10 {
		before++
	}
	return strconv.FormatFloat(v, 'f', max(3-before, 0), 64)
}

// A scale is a unit that is a multiple of another.
type scale struct {
	factor float64
	name   string
}

var (
	timeScales = []scale{{1e9, " s"}, {1e6, " ms"}, {1e3, " µs"}, {1, " ns"}}
	byteScales = []scale{{1e6, " MB"}, {1e3, " kB"}, {1, " B"}}
)

// scaleOf returns the scale in which a value is short.
func scaleOf(v float64, unit string) scale {
	scales := []scale{{1, ""}}
	switch {
	case strings.Contains(unit, "ns"):
		scales = timeScales
	case strings.HasSuffix(unit, "B"), unit == unitBytes:
		scales = byteScales
	}
	for _, s := range scales {
		if math.Abs(v) >= s.factor {
			return s
		}
	}
	return scales[len(scales)-1]
}

// formatValue tells a value in the scale in which it is short.
func formatValue(v float64, unit string) string {
	if v <= 0 {
		return "0" // memory may shrink a little by chance
	}
	s := scaleOf(v, unit)
	return threeDigits(v/s.factor) + s.name
}
