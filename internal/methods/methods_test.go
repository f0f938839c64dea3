// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package methods

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestBound makes more names than are kept, from several goroutines.
func TestBound(t *testing.T) {
	made := 0
	table := NewTable(func(name string) *string { made++; return &name })
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range most + 100 {
				name := fmt.Sprint("/s/", i)
				if got := table.Find(name, false); *got != name && got != table.Other() {
					t.Errorf("B165: %s is %s", name, *got)
				}
			}
		})
	}
	all.Wait()
	if want := most + 1; made != want {
		t.Errorf("B165: %d entries were made, want %d", made, want)
	}
	fresh := NewTable(func(name string) *string { return &name })
	if long := strings.Repeat("x", longest+1); fresh.Find(long, false) != fresh.Other() || fresh.Find(long[1:], false) == fresh.Other() {
		t.Error("B165: long names are kept, or those that are not are not")
	}
	if *table.Other() != Other || table.Find("/s/one more", false) != table.Other() {
		t.Error("B165: what is not kept is not that of all others")
	}
	known := table.Find("/s/known", true)
	if *known != "/s/known" || table.Find("/s/known", true) != known || table.Find("/s/known", false) != known {
		t.Error("B165: what is known is not kept")
	}
}
