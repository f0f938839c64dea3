// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package lines

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
)

// A Filter says which calls are shown. Without any field set all are, and what is no call, too.
type Filter struct {
	Methods []string // patterns of "package.Service/Method", or of one of both
	Streams []uint   // ids
	Failed  bool     // only calls that fail
}

// Register adds the flags to a command.
func (f *Filter) Register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.Methods, "method", nil, "show only calls of methods that match `PATTERN`: Service/Method, a service or a method, with * and ?; may be repeated")
	flags.UintSliceVar(&f.Streams, "stream", nil, "show only streams with these `IDS`")
	flags.BoolVar(&f.Failed, "failed", false, "show only calls that fail, once they have")
}

// Active tells whether there is something that it does not let through.
func (f *Filter) Active() bool { return len(f.Methods) > 0 || len(f.Streams) > 0 || f.Failed }

// Check returns what is wrong with the patterns.
func (f *Filter) Check() error {
	for _, pattern := range f.Methods {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return fmt.Errorf("--method %q is no pattern of a name", pattern)
		}
	}
	return nil
}

const (
	maxMatched = 4096     // names whose match is remembered
	maxKept    = 32 << 20 // bytes of what waits to see whether their calls fail
	maxEvents  = 1 << 16  // and events
)

// A Selection passes on the events that a filter lets through. It is not safe for concurrent
// use.
type Selection struct {
	filter  *Filter
	tell    func(conn int, e watch.Event)
	matched map[string]bool
	waiting map[place][]watch.Event // of calls of which it is not known yet whether they fail
	events  int
	bytes   int
}

// A place is a stream of a connection.
type place struct {
	conn  int
	trunk uint32
	id    uint32
}

// Select returns a selection that passes events on to tell.
func (f *Filter) Select(tell func(conn int, e watch.Event)) *Selection {
	return &Selection{filter: f, tell: tell, matched: make(map[string]bool), waiting: make(map[place][]watch.Event)}
}

// Event takes an event, and passes on what is to be shown.
func (s *Selection) Event(conn int, e watch.Event) {
	f := s.filter
	switch {
	case !f.Active(), e.Kind == watch.Note:
		s.tell(conn, e)
	case e.Kind == watch.Agreed, e.Kind == watch.Goodbye, e.Call == nil && len(f.Methods) > 0, !s.matches(e):
	case f.Failed:
		s.await(conn, e)
	default:
		s.tell(conn, e)
	}
}

func (s *Selection) matches(e watch.Event) bool {
	f := s.filter
	if len(f.Streams) > 0 && !slices.Contains(f.Streams, uint(e.StreamID)) {
		return false
	}
	if len(f.Methods) == 0 {
		return true
	}
	name := strings.TrimPrefix(e.Call.FullMethod(), "/")
	matched, ok := s.matched[name]
	if !ok {
		if len(s.matched) >= maxMatched {
			clear(s.matched)
		}
		matched = f.matches(name)
		s.matched[name] = matched
	}
	return matched
}

func (f *Filter) matches(name string) bool {
	service, method, _ := strings.Cut(name, "/")
	return slices.ContainsFunc(f.Methods, func(pattern string) bool {
		pattern = strings.TrimPrefix(pattern, "/")
		for _, candidate := range []string{name, service, method} {
			if ok, _ := path.Match(pattern, candidate); ok {
				return true
			}
		}
		return false
	})
}

// await keeps an event until its call has ended, and passes all of them on if it has failed.
func (s *Selection) await(conn int, e watch.Event) {
	at := place{conn, e.Trunk, e.StreamID}
	if e.Kind != watch.Finish && e.Kind != watch.Lost {
		if e.Call == nil {
			return
		}
		if e.Kind == watch.Begin {
			s.forget(at)
		}
		if s.bytes+e.Bytes() > maxKept {
			e.Payload, e.Metadata, e.Status, e.Text = nil, nil, nil, "" // the message's size is told
		}
		if s.events < maxEvents {
			s.waiting[at] = append(s.waiting[at], e)
			s.events++
			s.bytes += e.Bytes()
		}
		return
	}
	kept := s.forget(at)
	if !e.Failed() {
		return
	}
	for _, before := range kept {
		s.tell(conn, before)
	}
	s.tell(conn, e)
}

// forget forgets what waits of a call, and returns it.
func (s *Selection) forget(at place) []watch.Event {
	kept := s.waiting[at]
	for _, e := range kept {
		s.bytes -= e.Bytes()
	}
	s.events -= len(kept)
	delete(s.waiting, at)
	return kept
}
