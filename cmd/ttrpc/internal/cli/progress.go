// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"sync"
	"time"
)

// A Progress shows how far long work is, in one line of the terminal that standard error is.
// Elsewhere it shows nothing. Its methods may be called concurrently.
type Progress struct {
	env   *Env
	what  string
	total int64

	mu    sync.Mutex
	done  int64
	shown time.Time
	over  bool
}

// progressEvery is how often the line changes at most.
const progressEvery = 100 * time.Millisecond

// Progress begins to show that something is done, total times; 0 if that is not known. Done must
// be called at the end.
func (e *Env) Progress(what string, total int64) *Progress {
	p := &Progress{env: e, what: what, total: total}
	if !e.StderrTerminal || e.Getenv("TERM") == "dumb" {
		p.over = true
	}
	return p
}

// Add tells that n more are done.
func (p *Progress) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if p.over || time.Since(p.shown) < progressEvery {
		return
	}
	p.shown = time.Now()
	p.clear()
	if p.total > 0 {
		fmt.Fprintf(p.env.Stderr, "%s: %d of %d (%d %%)", p.what, p.done, p.total, p.done*100/p.total)
	} else {
		fmt.Fprintf(p.env.Stderr, "%s: %d", p.what, p.done)
	}
}

// Done takes the line away.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over && !p.shown.IsZero() {
		p.clear()
	}
	p.over = true
}

// clear goes to the line's begin and empties it.
func (p *Progress) clear() { fmt.Fprint(p.env.Stderr, "\r\x1b[K") }
