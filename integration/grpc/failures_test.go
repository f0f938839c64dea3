// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/ttrpc/integration/grpc/ways"
	"github.com/containerd/ttrpc/internal/testkit"
)

// columns are the ways that the matrix has. The first is what the others are compared with.
func columns() []ways.Way {
	return []ways.Way{ways.GRPC, ways.TTRPC, ways.TTRPCClassic, ways.BRPCOverQUIC, ways.ToTTRPC, ways.ToGRPC}
}

// A row is a situation, and what a stub sees in it.
type row struct {
	situation string
	run       func(b *bed) string
	want      string // over gRPC, and over each way that is not among differs

	// differs has what a stub sees over other ways, by the way's name, and why.
	differs map[string]differs

	tls bool // over TLS, where the way has that
}

// differs is what differs from gRPC, and why.
type differs struct{ want, reason string }

// TestFailures brings about each situation over each way, and prints what stubs see.
func TestFailures(t *testing.T) {
	rows, columns := table(), columns()
	seen := make([][]string, len(rows))
	t.Run("rows", func(t *testing.T) {
		var group sync.WaitGroup
		defer group.Wait()
		several := make(chan struct{}, 32)
		for i, r := range rows {
			seen[i] = make([]string, len(columns))
			for j, way := range columns {
				group.Go(func() {
					several <- struct{}{}
					defer func() { <-several }()
					t.Run(r.situation+"/"+way.Name, func(t *testing.T) { seen[i][j] = r.check(t, way) })
				})
			}
		}
	})
	t.Log("failure matrix\n" + markdown(rows, columns, seen))
}

// check brings the situation about over one way, and returns what was seen.
func (r row) check(t *testing.T, way ways.Way) (got string) {
	want, reason := r.want, ""
	if d, ok := r.differs[way.Name]; ok {
		want, reason = d.want, d.reason
	}
	if want == none {
		return none
	}
	if r.tls && way.TLS != nil {
		way = *way.TLS
	}
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Hang)
	defer cancel()
	b := &bed{t: t, way: way, ctx: ctx}
	if got = r.run(b); got != want {
		t.Errorf("B129: %s over %s: %s, want %s %s", r.situation, way.Name, got, want, reason)
	}
	return got
}

// none stands in rows for what cannot be over a way.
const none = "–"

// markdown prints the matrix. "=" stands for what the first column has, and notes below it tell
// why something differs.
func markdown(rows []row, columns []ways.Way, seen [][]string) string {
	var b, notes strings.Builder
	b.WriteString("| |")
	for _, way := range columns {
		b.WriteString(" " + way.Name + " |")
	}
	b.WriteString("\n|---" + strings.Repeat("|---", len(columns)) + "|\n")
	number := make(map[string]int)
	for i, r := range rows {
		fmt.Fprintf(&b, "| %s |", r.situation)
		for j, way := range columns {
			cell := seen[i][j]
			if j > 0 && cell == seen[i][0] && cell != none {
				cell = "="
			}
			b.WriteString(" " + cell)
			if d, ok := r.differs[way.Name]; ok {
				if number[d.reason] == 0 {
					number[d.reason] = len(number) + 1
					fmt.Fprintf(&notes, "%d. %s\n", number[d.reason], d.reason)
				}
				fmt.Fprintf(&b, " (%d)", number[d.reason])
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	return b.String() + "\n" + notes.String()
}
