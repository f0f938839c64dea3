// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"errors"
	"sync"

	"github.com/containerd/ttrpc"
)

// A Redialer is a [Transport] over a client that connects again, made by [ttrpc.Dial]. Its
// channels are those of sessions, one after the other: when one ends, or drains, new channels
// are of the next, which begins when it is asked for. A channel ends with its own session.
// Its methods may be used concurrently.
type Redialer struct {
	// Immutable.
	client  *ttrpc.Client
	ctx     context.Context // ends with it
	cancel  context.CancelFunc
	arrived chan accepted

	mu       sync.Mutex
	current  *Session      // the last one, or nil
	begins   chan struct{} // closed when the attempt at the next one has ended; nil if none is under way
	sessions map[*Session]struct{}
}

// An accepted is what Accept returns.
type accepted struct {
	name string
	r    ContextReceiver
}

// Redial returns a Transport over a client that was made by [ttrpc.Dial] with [WithSessions].
// The calls of the client go beside.
func Redial(client *ttrpc.Client) (*Redialer, error) {
	if _, err := homeOf(client); err != nil {
		return nil, err
	}
	d := &Redialer{client: client, arrived: make(chan accepted), sessions: map[*Session]struct{}{}}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d, nil
}

// Session returns the session that new channels are of, which it begins if there is none. It
// waits for a connection. Its error is that of ctx, [ErrClosed], or that the server takes part
// in no sessions.
func (d *Redialer) Session(ctx context.Context) (*Session, error) {
	for {
		d.mu.Lock()
		begins := d.begins
		switch {
		case d.ctx.Err() != nil:
			d.mu.Unlock()
			return nil, ErrClosed
		case begins == nil && d.current != nil && !d.current.drains():
			defer d.mu.Unlock()
			return d.current, nil
		case begins == nil:
			d.begins = make(chan struct{})
			d.mu.Unlock()
			if err := d.begin(ctx); err != nil {
				return nil, err
			}
			continue
		}
		d.mu.Unlock()
		select {
		case <-begins:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-d.ctx.Done():
		}
	}
}

// begin makes an attempt at the next session. What is no error may be attempted again.
func (d *Redialer) begin(ctx context.Context) error {
	until, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	s, err := overWithin(until, d.client)
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.begins)
	d.begins = nil
	switch {
	case err == nil && d.ctx.Err() != nil:
		go s.Close()
	case err == nil:
		d.current = s
		d.sessions[s] = struct{}{}
		go d.accept(s)
	case d.ctx.Err() != nil:
		return ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case d.client.Cause() != nil:
		return sessionError(d.client.Cause())
	case errors.Is(err, ttrpc.ErrClosed) || errors.Is(err, ttrpc.ErrNotExecuted):
		return nil // of that connection
	default:
		return err
	}
	return nil
}

// accept hands out the channels that the peer opens on a session.
func (d *Redialer) accept(s *Session) {
	defer func() {
		<-s.done
		d.mu.Lock()
		delete(d.sessions, s)
		d.mu.Unlock()
	}()
	for {
		name, r, err := s.Accept(d.ctx)
		if err != nil {
			return
		}
		select {
		case d.arrived <- accepted{name, r}:
		case <-d.ctx.Done():
			r.Cancel(ErrClosed)
			return
		}
	}
}

// NewSendChannel implements [Transport]. It waits for a connection.
func (d *Redialer) NewSendChannel() (Sender, error) {
	s, err := d.OpenChannel(context.Background(), "")
	if err != nil {
		return nil, err // no nil that is none
	}
	return s, nil
}

// OpenChannel is that of a [Session], the current one.
func (d *Redialer) OpenChannel(ctx context.Context, name string) (ContextSender, error) {
	for {
		s, err := d.Session(ctx)
		if err != nil {
			return nil, err
		}
		c, err := s.OpenChannel(ctx, name)
		if err == nil || !s.drains() || ctx.Err() != nil {
			return c, err
		}
	}
}

// WaitReceiveChannel implements [Transport].
func (d *Redialer) WaitReceiveChannel() (Receiver, error) {
	_, r, err := d.Accept(context.Background())
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Accept waits for the next channel that the peer opens on any of the sessions, one of which
// it keeps going. It returns the channel's name, too.
func (d *Redialer) Accept(ctx context.Context) (name string, r ContextReceiver, err error) {
	for {
		s, err := d.Session(ctx)
		if err != nil {
			return "", nil, err
		}
		select {
		case a := <-d.arrived:
			return a.name, a.r, nil
		case <-s.Draining():
		case <-d.ctx.Done():
		case <-ctx.Done():
			return "", nil, ctx.Err()
		}
	}
}

// Close ends all sessions at once. The client goes on.
func (d *Redialer) Close() error {
	d.mu.Lock()
	d.cancel()
	all := make([]*Session, 0, len(d.sessions))
	for s := range d.sessions {
		all = append(all, s)
	}
	d.mu.Unlock()
	for _, s := range all {
		_ = s.Close()
	}
	return nil
}

// drains tells whether the session opens no more channels.
func (s *Session) drains() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isDrained
}
