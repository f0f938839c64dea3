// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"os"
	"testing"
	"time"
)

// TestUsed has this process use a processor.
func TestUsed(t *testing.T) {
	p, err := Watch(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; {
		used, err := p.Used()
		if err != nil {
			t.Fatal(err)
		}
		if used >= 5*tick {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("B167: a minute of work is %v", used)
		}
	}
	p.started = "another"
	if _, err := p.Used(); err == nil {
		t.Error("B167: another process is taken for this one")
	}
	if _, err := Watch(1 << 30); err == nil {
		t.Error("B167: a process that is none can be looked at")
	}
}
