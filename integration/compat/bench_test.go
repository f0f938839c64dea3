// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"os/exec"
	"strconv"
	"testing"
)

// BenchmarkVersions measures this library and the reference in turn, each in a
// process of its own that holds both ends. Several rounds, compared:
//
//	for i in 1 2 3 4 5 6; do go test -run '^$' -bench . -benchtime 0.5s; done | benchstat -col /version -
func BenchmarkVersions(b *testing.B) {
	for _, workload := range []string{
		"call-64B", "call-64B-8-callers", "call-64B-64-callers", "call-64KiB", "call-1MiB",
		"upload-64B", "upload-16KiB", "idle-connection",
	} {
		for _, version := range []string{ours, reference} {
			b.Run("workload="+workload+"/version="+version, func(b *testing.B) {
				out, err := exec.Command(peerPath(version), "bench", workload, strconv.Itoa(b.N)).Output()
				if err != nil {
					b.Fatal(err)
				}
				var value float64
				var unit string
				if _, err := fmt.Sscan(string(out), &value, &unit); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(value, unit)
				if unit != "ns/op" {
					b.ReportMetric(0, "ns/op") // is not shown
				}
			})
		}
	}
}
