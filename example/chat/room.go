// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/containerd/ttrpc/libchan"
)

// A Join is what somebody sends to join a room.
type Join struct {
	Name   string
	Events libchan.SendChan[Event]                    // takes what happens there
	Say    libchan.SendChan[libchan.SendChan[string]] // takes the channel to speak on, whose end is to leave
}

// An Event is what happens in a room.
type Event struct {
	From string `libchan:",omitempty"` // who has said it; nobody says who comes and goes
	Text string
}

const (
	longestName = 30
	longestText = 2_000

	// farthest is how many events a member may be behind before it is put out.
	farthest = 100
)

// A room has its members.
type room struct {
	mu      sync.Mutex
	members map[string]chan<- Event
}

// enter has all who come by a session join.
func (r *room) enter(s *libchan.Session) {
	ctx := context.Background()
	for {
		_, c, err := s.Accept(ctx)
		if err != nil {
			return
		}
		go func() {
			for join, err := range libchan.From[Join](c).All(ctx) {
				if err == nil {
					go r.join(ctx, join)
				}
			}
		}()
	}
}

// join has somebody be a member until its channel to speak on ends.
func (r *room) join(ctx context.Context, j Join) {
	events, err := r.add(j.Name)
	if err != nil {
		_ = j.Say.CloseWithError(err)
		_ = j.Events.Close()
		return
	}
	said, say := libchan.Make[string](0)
	if err := j.Say.Send(ctx, say); err == nil {
		_ = j.Say.Close()
		go r.tell(ctx, j, events, said)
		r.listen(ctx, j.Name, said)
	}
	r.remove(j.Name)
}

// listen makes events of what a member says.
func (r *room) listen(ctx context.Context, name string, said libchan.RecvChan[string]) {
	for text, err := range said.All(ctx) {
		switch {
		case err != nil: // the session has ended, or the text is none
		case utf8.RuneCountInString(text) > longestText:
			said.Cancel(fmt.Errorf("more than %d characters at a time", longestText))
		default:
			r.happens(Event{From: name, Text: text})
		}
	}
}

// tell sends a member what happens, until it has left.
func (r *room) tell(ctx context.Context, j Join, events <-chan Event, said libchan.RecvChan[string]) {
	for event := range events {
		if err := j.Events.Send(ctx, event); err != nil {
			said.Cancel(err)
		}
	}
	_ = j.Events.Close()
	said.Cancel(errors.New("you have left"))
}

// add makes somebody a member.
func (r *room) add(name string) (<-chan Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case name == "" || utf8.RuneCountInString(name) > longestName:
		return nil, fmt.Errorf("a name has 1 to %d characters", longestName)
	case r.members[name] != nil:
		return nil, fmt.Errorf("somebody is called %s already", name)
	}
	events := make(chan Event, farthest)
	r.members[name] = events
	r.happensLocked(Event{Text: name + " has come"})
	return events, nil
}

func (r *room) remove(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.members[name] != nil {
		r.removeLocked(name)
	}
}

func (r *room) removeLocked(name string) {
	close(r.members[name])
	delete(r.members, name)
	r.happensLocked(Event{Text: name + " has left"})
}

// happens tells all members.
func (r *room) happens(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.happensLocked(e)
}

func (r *room) happensLocked(e Event) {
	var slow []string
	for name, events := range r.members {
		select {
		case events <- e:
		default:
			slow = append(slow, name)
		}
	}
	for _, name := range slow {
		if r.members[name] != nil {
			r.removeLocked(name)
		}
	}
}
