// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package control is what the driver and its subjects say to each other, over
// the subject's standard input and output, by net/rpc. The subject registers a
// value that has the methods named here under the name Subject.
package control

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Service is the name of the service that a subject offers to the driver.
const Service = "Subject"

// TTRPC is the name of the ttrpc service that every server has.
const TTRPC = "reliability.Subject"

// Options are those of a server. Of those that the release lacks it takes none.
type Options struct {
	Address          string
	Handshake        bool          // the client has to send the byte Hello first
	HandshakeTimeout time.Duration // not with the release
	MaxHandlers      int           // not with the release
	Recover          bool          // not with the release
}

// Hello is what a client sends to a server that wants a handshake.
const Hello = '!'

// Stats is what a subject tells of itself.
type Stats struct {
	Goroutines int
	Memory     int64 // bytes of heap that are alive, and of stacks
	Entered    int64 // how many handlers were entered
	Left       int64 // how many handlers were left
	Received   int64 // how many messages handlers have received on streams
}

// A Dial asks for a new client. The answer is its number.
type Dial struct {
	Address   string
	Handshake bool
}

// Calls asks for calls on a client. The answer is a Tally.
type Calls struct {
	Client  int
	Method  string
	Size    int           // of the payload, or what the method makes of it
	Timeout time.Duration // of each call; 0 means none
	Callers int           // how many call at once
	Each    int           // how many calls each of them makes
}

// Streams asks for streams on a client. The answer is a Tally of how they ended.
type Streams struct {
	Client  int
	Method  string
	Count   int
	Size    int           // of the message that each sends first
	Endless bool          // send until that fails, and only then receive
	Idle    bool          // do not receive before the driver says Release
	Timeout time.Duration // of each stream; 0 means none
}

// Answers asks for calls each on a connection of its own. The answer is a Tally.
type Answers struct {
	Address string
	Count   int
}

// Rounds asks for a race between a server's end and everything else to be run
// again and again, both ends being in the subject. The answer is a Raced.
type Rounds struct {
	Dir       string // for sockets
	From, To  int    // the numbers of the rounds, from which all that is random follows
	Ends      []string
	Handshake bool          // some clients never begin it
	Limit     time.Duration // of each round
}

// These are the ways in which a server comes to its end; in a round all that are
// asked for race with each other.
const (
	Shutdown     = "Shutdown"     // without a deadline
	ShutdownSoon = "ShutdownSoon" // whose context ends at any time
	Close        = "Close"
	CloseClients = "CloseClients" // not of the server, but of some clients
)

// Raced is what came of rounds.
type Raced struct {
	Hung   int   // rounds that did not end; what follows is of the others
	Calls  Tally // how calls and streams ended
	Ends   Tally // what Shutdown and Close returned
	Serves Tally // what Serve returned
	Ran    int64 // handlers that returned
	Lost   int64 // of those, the calls that got no answer
}

// A Tally counts outcomes, by their texts.
type Tally map[string]int

// OK is the outcome of what succeeded.
const OK = "ok"

// Add counts an outcome.
func (t Tally) Add(err error) {
	if err != nil {
		t[err.Error()]++
	} else {
		t[OK]++
	}
}

// Total is how many outcomes there were.
func (t Tally) Total() int {
	n := 0
	for _, c := range t {
		n += c
	}
	return n
}

// Merge adds the outcomes of another tally.
func (t Tally) Merge(from Tally) {
	for text, n := range from {
		t[text] += n
	}
}

// Only tells whether there were n outcomes, all with one of the texts. That there
// were none is never what was to be shown.
func (t Tally) Only(n int, texts ...string) bool {
	for text := range t {
		if !slices.Contains(texts, text) {
			return false
		}
	}
	return n > 0 && t.Total() == n
}

// String lists the outcomes, the most frequent first.
func (t Tally) String() string {
	if len(t) == 0 {
		return "none"
	}
	texts := make([]string, 0, len(t))
	for text := range t {
		texts = append(texts, text)
	}
	slices.SortFunc(texts, func(a, b string) int {
		if t[a] != t[b] {
			return t[b] - t[a]
		}
		return strings.Compare(a, b)
	})
	for i, text := range texts {
		texts[i] = fmt.Sprintf("%d × %s", t[text], text)
	}
	return strings.Join(texts, ", ")
}
