// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/ttrpc/conformance/internal/report"
	"github.com/containerd/ttrpc/conformance/internal/runner"
)

var update = flag.Bool("update", false, "write the table of docs/conformance.md, and not compare it")

// TestPeers plays all cases with four implementations. Each does what the table of
// docs/conformance.md says, and fails what its file of known failures says, nothing else (B190).
func TestPeers(t *testing.T) {
	cases := load(t)
	reports := make([]*report.Report, len(peers))
	var mu sync.Mutex
	t.Run("play", func(t *testing.T) {
		for i, p := range peers {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				server, client := p.need(t)
				known, err := report.ReadKnown(filepath.Join("known", p.name+".txt"), cases)
				if err != nil {
					t.Fatal(err)
				}
				short := func(name string) bool { return known[name] != "" }
				r := &report.Report{Peer: p.name, Known: known}
				for _, with := range []runner.Runner{{Start: server}, {Client: client}} {
					with.Jobs, with.Timeout, with.Short = 2, 10*time.Second, short
					if len(known) > 5 {
						with.Jobs = 8 // which mostly wait for what does not come
					}
					r.Verdicts = append(r.Verdicts, with.Run(cases)...)
				}
				if r.Failed() {
					var text strings.Builder
					r.Text(&text)
					t.Errorf("B190: %s", &text)
				}
				mu.Lock()
				defer mu.Unlock()
				reports[i] = r
			})
		}
	})
	for i, r := range reports {
		if r == nil {
			t.Skipf("without %s the table is not compared", peers[i].name)
		}
	}
	compareTable(t, report.Table(reports))
}

// compareTable compares a table with that of docs/conformance.md.
func compareTable(t *testing.T, table string) {
	t.Helper()
	const path, begin, end = "../docs/conformance.md", "<!-- table: go test -run TestPeers -update -->\n", "<!-- end -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := bytes.Cut(text, []byte(begin))
	old, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok1 || !ok2 {
		t.Fatalf("%s has no table between %q and %q", path, begin, end)
	}
	if *update {
		text = append(append(append(append(bytes.Clone(before), begin...), table...), end...), after...)
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(old) != table {
		t.Errorf("B190: the table of %s is not what the peers do; go test -run TestPeers -update writes it:\n%s", path, table)
	}
}
