// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package debugpage

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/methods"
	"github.com/containerd/ttrpc/internal/wire"
)

// The bounds of what is remembered.
const (
	mostMethods = 1000 // methods that are counted by name
	mostEvents  = 50   // failures, and ends of connections
	mostText    = 500  // bytes of a text that a peer may have sent
)

// What calls are counted as whose names are not.
const (
	unknownMethods = "(methods that are not registered here)"
	otherMethods   = "(others)"
)

// A ledger counts what has been since the start. Its memory is bounded, whatever peers do.
type ledger struct {
	mu       sync.Mutex
	methods  map[methodKey]*methodCount
	begun    map[uint64]time.Time // the connections that are open
	opened   uint64
	ended    uint64
	refused  uint64
	failures ring[failure]
	ends     ring[connEnd]
}

type methodKey struct {
	name   string
	served bool
}

// lastCode counts with all codes that gRPC does not know.
const lastCode = codes.Unauthenticated + 1

type methodCount struct {
	running uint64
	codes   [lastCode + 1]uint64
	total   time.Duration
	longest time.Duration
}

// A failure is a call that has ended with another status than OK.
type failure struct {
	At       time.Time
	Method   string
	Served   bool
	Conn     uint64
	Stream   uint32
	Peer     string
	Duration duration
	Code     string
	Cause    string
}

// A connEnd is the end of a connection, or of what did not become one.
type connEnd struct {
	At       time.Time
	Conn     uint64
	Server   bool
	Peer     string
	Refused  bool
	Duration duration
	Cause    string
}

func newLedger() *ledger {
	return &ledger{methods: make(map[methodKey]*methodCount), begun: make(map[uint64]time.Time)}
}

func (l *ledger) connBegins(info ttrpc.ConnInfo) func(error) {
	began := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened++
	l.begun[info.ID] = began
	return func(cause error) {
		end := newConnEnd(info, began, cause)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ended++
		delete(l.begun, info.ID)
		l.ends.add(end)
	}
}

func (l *ledger) connRefused(info ttrpc.ConnInfo, err error) {
	end := newConnEnd(info, time.Now(), err)
	end.Refused = true
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused++
	l.ends.add(end)
}

func newConnEnd(info ttrpc.ConnInfo, began time.Time, cause error) connEnd {
	end := connEnd{At: time.Now(), Conn: info.ID, Server: info.Server, Peer: peerText(info.Peer), Duration: since(began)}
	if cause != nil {
		end.Cause = clean(cause.Error())
	}
	return end
}

// hello is the call by which a connection asks for the extended mode: nobody has made it.
const hello = "/" + wire.HelloService + "/" + wire.HelloMethod

func (l *ledger) callBegins(info ttrpc.CallInfo) func(error) {
	if info.FullMethod == hello && info.StreamID == 1 {
		return nil
	}
	began := time.Now()
	l.mu.Lock()
	count := l.countLocked(info)
	count.running++
	l.mu.Unlock()
	return func(err error) {
		took := since(began)
		code := codeOf(info, err)
		var failed failure
		if code != codes.OK {
			failed = newFailure(info, took, code, err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		count.running--
		count.codes[min(code, lastCode)]++
		count.total += time.Duration(took)
		count.longest = max(count.longest, time.Duration(took))
		if code != codes.OK {
			l.failures.add(failed)
		}
	}
}

// codeOf returns the code with which a call has ended.
func codeOf(info ttrpc.CallInfo, err error) codes.Code {
	if info.Served {
		return methods.Served(err)
	}
	return status.Code(err)
}

func newFailure(info ttrpc.CallInfo, took duration, code codes.Code, err error) failure {
	return failure{
		At: time.Now(), Method: clean(info.FullMethod), Served: info.Served, Conn: info.Conn.ID, Stream: info.StreamID,
		Peer: peerText(info.Conn.Peer), Duration: took, Code: codeText(code), Cause: clean(status.Convert(err).Message()),
	}
}

// countLocked returns where a call is counted. Names that peers make up are not counted apart.
func (l *ledger) countLocked(info ttrpc.CallInfo) *methodCount {
	key := methodKey{info.FullMethod, info.Served}
	if info.Served && !info.Known {
		key.name = unknownMethods
	}
	if count := l.methods[key]; count != nil {
		return count
	}
	if len(l.methods) >= mostMethods || len(key.name) > mostText {
		key.name = otherMethods
		if count := l.methods[key]; count != nil {
			return count
		}
	}
	count := new(methodCount)
	l.methods[key] = count
	return count
}

// A methodReport is what the calls of a method have come to.
type methodReport struct {
	Method  string
	Served  bool
	Running uint64
	Ended   uint64
	Failed  uint64
	Codes   map[string]uint64 // how many of those that have ended had which
	Average duration
	Longest duration
}

// report adds the counts to a report.
func (l *ledger) report(r *report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Opened, r.Ended, r.Refused = l.opened, l.ended, l.refused
	r.Failures, r.Ends = l.failures.newest(), l.ends.newest()
	r.Outcomes = make(map[string]uint64)
	for key, count := range l.methods {
		m := methodReport{Method: clean(key.name), Served: key.served, Running: count.running, Longest: duration(count.longest), Codes: make(map[string]uint64)}
		for code, n := range count.codes {
			if n > 0 {
				m.Codes[codeText(codes.Code(code))] = n
				r.Outcomes[codeText(codes.Code(code))] += n
				m.Ended += n
			}
		}
		if m.Ended > 0 {
			m.Average = duration(count.total / time.Duration(m.Ended))
		}
		m.Failed = m.Ended - count.codes[codes.OK]
		r.Methods = append(r.Methods, m)
	}
	slices.SortFunc(r.Methods, func(a, b methodReport) int {
		return cmp.Or(cmp.Compare(b.Ended+b.Running, a.Ended+a.Running), strings.Compare(a.Method, b.Method))
	})
}

// began returns when a connection that is open has begun, if that is known.
func (l *ledger) began(id uint64) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.begun[id]
	return at, ok
}

// codeText names a status code, or all that have no name.
func codeText(code codes.Code) string {
	if code >= lastCode {
		return "other"
	}
	return code.String()
}

// A ring keeps the last events.
type ring[T any] struct {
	events []T
	next   int
}

func (r *ring[T]) add(event T) {
	if len(r.events) < mostEvents {
		r.events = append(r.events, event)
		return
	}
	r.events[r.next] = event
	r.next = (r.next + 1) % mostEvents
}

// newest returns them, the last one first.
func (r *ring[T]) newest() []T {
	all := append(slices.Clone(r.events[r.next:]), r.events[:r.next]...)
	slices.Reverse(all)
	return all
}

// clean makes a text fit to be kept and shown: it is bounded and has a copy of its own, and
// what does not print, or changes how the text around it is read, is written in Go's escapes.
func clean(s string) string {
	cut := s
	if len(cut) > mostText {
		cut = cut[:mostText]
		for len(cut) > 0 && !utf8.RuneStart(s[len(cut)]) {
			cut = cut[:len(cut)-1]
		}
	}
	if strings.ContainsFunc(cut, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(cut) {
		quoted := strconv.Quote(cut)
		cut = quoted[1 : len(quoted)-1]
	}
	if len(s) > mostText {
		return cut + "…"
	}
	return strings.Clone(cut)
}
