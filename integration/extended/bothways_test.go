// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// TestNested has calls run inside each other, 100 deep, also many at once.
func TestNested(t *testing.T) {
	inBothRoles(t, "plain", "plain", func(t *testing.T, p *peer) {
		if got := p.mustAsk(t, "B50", "Nest", "100"); got != "100" {
			t.Errorf("B50: Nest answers %q, want 100", got)
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if got, err := ask(context.Background(), p.Client, "Nest", "10"); err != nil || got != "10" {
					t.Errorf("B50: Nest among others: %q, %v", got, err)
				}
			}()
		}
		wg.Wait()
	})
}

// TestManyCallsBothWays has 1,000 calls under way in each direction, all at once.
func TestManyCallsBothWays(t *testing.T) {
	inBothRoles(t, "plain", "plain", func(t *testing.T, p *peer) {
		storm := p.asking(context.Background(), "Storm", "")
		<-p.local.all // theirs have come, and stay
		ours := make(chan error, 1)
		go func() { ours <- meetAtOnce(context.Background(), p.Client) }()
		p.mustAsk(t, "B50", "Met", "") // ours have, and stay
		p.mustAsk(t, "B50", "Open", "")
		if err := <-ours; err != nil {
			t.Errorf("B50: calls of the other process: %v", err)
		}
		p.local.open(context.Background(), "")
		if err := <-storm; err != nil {
			t.Errorf("B50: calls by the other process: %v", err)
		}
	})
}

func TestCredentials(t *testing.T) {
	inBothRoles(t, "distrustful", "distrustful", func(t *testing.T, p *peer) {
		ids := fmt.Sprintf("Uid:%d Gid:%d}", os.Geteuid(), os.Getegid())
		want := fmt.Sprintf("%d is called by &{Pid:%d %s", p.pid(), os.Getpid(), ids)
		if got := p.mustAsk(t, "B50", "Who", ""); got != want {
			t.Errorf("B50: with our credentials: %q, want %q", got, want)
		}
		want = fmt.Sprintf("%d is called by &{Pid:%d %s", os.Getpid(), p.pid(), ids)
		if got := p.mustAsk(t, "B50", "WhoAreYou", ""); got != want {
			t.Errorf("B50: with those of the other process: %q, want %q", got, want)
		}
	})
}

// TestConnectionsAreNotConfused has two processes with several connections each call
// this one, which asks each caller for its name.
func TestConnectionsAreNotConfused(t *testing.T) {
	const processes, conns, rounds = 2, 4, 3
	h := newHost(t, "distrustful")
	var peers []*peer
	for range processes {
		p := startProcess(t, dials, "plain", h.address)
		p.await(t, "ready")
		peers = append(peers, h.next(t, p))
		for range conns - 1 {
			p.tell(t, "dial")
			peers = append(peers, h.next(t, p))
		}
	}
	names := make(chan string, len(peers)*rounds)
	for _, p := range peers {
		for range rounds {
			go func() {
				name, err := ask(context.Background(), p.Client, "Identify", "")
				if err != nil || !strings.HasPrefix(name, fmt.Sprint(p.pid())+"/") {
					t.Errorf("B50: process %d calls itself %q, %v", p.pid(), name, err)
				}
				names <- name
			}()
		}
	}
	seen := make(map[string]int)
	for range len(peers) * rounds {
		seen[<-names]++
	}
	if len(seen) != len(peers) {
		t.Errorf("B50: %d connections have these names, with how many calls: %v", len(peers), seen)
	}
}
