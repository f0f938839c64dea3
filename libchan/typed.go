// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"fmt"
	"io"
	"iter"
	"reflect"
)

// A SendChan is the end of a channel to which messages of type T are sent. It can be a field
// of a message, whatever codec that is encoded with. The zero SendChan is none: it is to a
// channel what nil is.
type SendChan[T any] struct{ s *sender }

// A RecvChan is the end of a channel from which messages of type T are received. All else is
// as of a [SendChan].
type RecvChan[T any] struct{ r *receiver }

// Make makes a channel as make does: n messages may be sent that are not received, and with 0
// Send returns when its message was received. That holds as well once an end was sent away. It
// panics, as make does, if n is negative or more than 2³¹-1.
func Make[T any](n int) (RecvChan[T], SendChan[T]) {
	r, s := pipe(checked(n))
	return RecvChan[T]{r}, SendChan[T]{s}
}

// Of returns a typed end of the channel that s is an end of; none if s is nil.
func Of[T any](s Sender) SendChan[T] {
	if s == nil {
		return SendChan[T]{}
	}
	if own, ok := s.(*sender); ok {
		return SendChan[T]{own}
	}
	r := lendChannel(&thing{value: s})
	return SendChan[T]{newSender(r.c, r.claim())}
}

// From is [Of] for a Receiver.
func From[T any](r Receiver) RecvChan[T] {
	if r == nil {
		return RecvChan[T]{}
	}
	if own, ok := r.(*receiver); ok {
		return RecvChan[T]{own}
	}
	lent := lendChannel(&thing{value: r, side: receiving})
	return RecvChan[T]{newReceiver(lent.c, lent.claim())}
}

func (s SendChan[T]) held() *end {
	if s.s == nil {
		return nil
	}
	return &s.s.end
}

func (s *SendChan[T]) adopt(r ref) error {
	if r.side != sending {
		return r.unfit(reflect.TypeFor[SendChan[T]]())
	}
	s.s = newSender(r.c, r.claim())
	return nil
}

// Sender returns the end without its type; nil if there is none.
func (s SendChan[T]) Sender() ContextSender {
	if s.s == nil {
		return nil
	}
	return s.s
}

// Send sends v, see [ContextSender].
func (s SendChan[T]) Send(ctx context.Context, v T) error {
	if s.s == nil {
		return fmt.Errorf("libchan: %T is none: it was not made", s)
	}
	return s.s.SendContext(ctx, v)
}

// sendLast is Send and Close in one.
func (s SendChan[T]) sendLast(ctx context.Context, v T) error {
	if s.s == nil {
		return s.Send(ctx, v)
	}
	return s.s.send(ctx, v, true)
}

// Close ends the channel, see [Sender].
func (s SendChan[T]) Close() error { return s.CloseWithError(nil) }

// CloseWithError ends the channel with an error, see [ContextSender].
func (s SendChan[T]) CloseWithError(err error) error {
	if s.s == nil {
		return fmt.Errorf("libchan: %T is none: it was not made", s)
	}
	return s.s.CloseWithError(err)
}

// Chan returns a channel of Go's whose values are sent, until it is closed, which closes this
// end, too, or ctx ends. If nothing more can be sent its values are dropped; Cause tells why.
func (s SendChan[T]) Chan(ctx context.Context) chan<- T {
	ch := make(chan T)
	go func() {
		err := s.sendAll(ctx, ch)
		if err == nil {
			_ = s.Close()
			return
		}
		for {
			select {
			case _, ok := <-ch:
				if !ok {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ch
}

// sendAll sends what comes from ch until that is closed.
func (s SendChan[T]) sendAll(ctx context.Context, ch <-chan T) error {
	for {
		select {
		case v, ok := <-ch:
			if !ok {
				return nil
			}
			if err := s.Send(ctx, v); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r RecvChan[T]) held() *end {
	if r.r == nil {
		return nil
	}
	return &r.r.end
}

func (r *RecvChan[T]) adopt(to ref) error {
	if to.side != receiving {
		return to.unfit(reflect.TypeFor[RecvChan[T]]())
	}
	r.r = newReceiver(to.c, to.claim())
	return nil
}

// Receiver returns the end without its type; nil if there is none.
func (r RecvChan[T]) Receiver() ContextReceiver {
	if r.r == nil {
		return nil
	}
	return r.r
}

// Receive waits for the next message, see [ContextReceiver].
func (r RecvChan[T]) Receive(ctx context.Context) (v T, err error) {
	if r.r == nil {
		return v, fmt.Errorf("libchan: %T is none: it was not made", r)
	}
	err = r.r.ReceiveContext(ctx, &v)
	return v, err
}

// Cancel takes no more messages, see [ContextReceiver].
func (r RecvChan[T]) Cancel(cause error) {
	if r.r != nil {
		r.r.Cancel(cause)
	}
}

// All ranges over what is received:
//
//	for v, err := range r.All(ctx) {
//
// It ends at the end of the channel; before that, if the end is an error, or ctx has ended, it
// yields that error. A message that is no T is yielded as an error, too, and the next follows.
func (r RecvChan[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := r.Receive(ctx)
			if err == io.EOF || !yield(v, err) {
				return
			}
			if err != nil && (r.r == nil || ctx.Err() != nil || r.r.Cause() != nil && r.r.Len() == 0) {
				return
			}
		}
	}
}

// Chan returns a channel of Go's that gets what is received, and is closed at the end of the
// channel, at its first error, or when ctx ends. Cause of the Receiver tells of the end.
func (r RecvChan[T]) Chan(ctx context.Context) <-chan T {
	ch := make(chan T)
	go func() {
		defer close(ch)
		for {
			v, err := r.Receive(ctx)
			if err != nil {
				return
			}
			select {
			case ch <- v:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ch
}
