// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"
)

// A bounded is a message for which a stream waits no longer than a context lasts.
type bounded struct {
	ctx context.Context
	m   any
}

// Within returns m, for SendMsg or RecvMsg of a stream of either end, so that they wait no
// longer than ctx lasts:
//
//	err := stream.RecvMsg(ttrpc.Within(ctx, m))
//
// If they would have to wait any longer, they return ctx.Err(), or its status where errors
// are such. Then no message has been sent or taken, and it is safe to
// try again. If they do not have to wait they do not look at ctx: with a context that has
// ended they only try. The context that the stream was opened with ends the stream, as ever.
//
// In extended mode the peer may hold a message back, which may be one of 3 KiB, until somebody
// receives. Who has tried counts as such, so that it is there when they try again. If there is
// no room for it in [StreamQueue].ConnectionBytes, one stream at a time gets it so, and keeps
// the turn until it is received from again or ends: other streams for whose large messages
// somebody receives Within a context wait meanwhile, and none else. A send for which there is
// no credit asks for it anew each time, and what comes too late goes back: if ctx does not last
// as long as question and answer take, such a message is never sent, however often it is tried.
//
// m may be a [FileMessage]. Interceptors that wrap a stream see what Within returns.
// Everything but SendMsg and RecvMsg refuses it: it is no message. They refuse it, too, if ctx
// is nil.
func Within(ctx context.Context, m any) any { return &bounded{ctx, m} }

// unbound takes apart what Within has made.
func unbound(m any) (context.Context, any, error) {
	b, ok := m.(*bounded)
	switch {
	case !ok:
		return context.Background(), m, nil
	case b.ctx == nil:
		return nil, nil, errNoBound
	}
	return b.ctx, b.m, nil
}

var errNoBound = errors.New("ttrpc: the context of Within is nil")

// A bound is the end of a context for somebody who waits on a condition, whose lock
// guards it. A nil bound never comes.
type bound struct {
	err  error       // the context's, once that has ended
	stop func() bool // to watch the context, or nil
}

// newBound wakes who waits on cond when ctx ends, and then, without locks, calls also if
// that is not nil.
func newBound(ctx context.Context, cond *sync.Cond, also func()) *bound {
	if ctx.Done() == nil {
		return nil
	}
	b := &bound{err: ctx.Err()}
	if b.err == nil {
		b.stop = afterFunc(ctx, func() {
			err := errOf(ctx)
			cond.L.Lock()
			b.err = err
			cond.Broadcast()
			cond.L.Unlock()
			if also != nil {
				also()
			}
		})
	}
	return b
}

// end stops to watch the context.
func (b *bound) end() {
	if b != nil && b.stop != nil {
		b.stop()
	}
}

// errLocked returns the context's error if that has ended.
func (b *bound) errLocked() error {
	if b == nil {
		return nil
	}
	return b.err
}

// errOf returns the error of a context that has ended. It is none only if the context's Err
// breaks its promise, and then it is that of one that was cancelled.
func errOf(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return context.Canceled
}

// afterFunc is [context.AfterFunc], and spares a watcher a context of its own.
func afterFunc(ctx context.Context, f func()) (stop func() bool) {
	if w, ok := ctx.(watcher); ok {
		return w.AfterFunc(f)
	}
	return context.AfterFunc(watched(ctx), f)
}

// watched returns a context as package context wants those that it watches: it panics if
// one has ended and its Err says nothing. Its own do not do that.
func watched(ctx context.Context) context.Context {
	switch reflect.TypeOf(ctx) {
	case backgroundType, cancelType, timerType:
		return ctx
	}
	if watcher, ok := ctx.(watcher); ok {
		return &watchedEnding{ending{ctx}, watcher}
	}
	return &ending{ctx}
}

// The types of what package context makes, which most contexts are that never end or can.
var backgroundType, cancelType, timerType = func() (_, _, _ reflect.Type) {
	cancelled, cancel := context.WithCancel(context.Background())
	timed, stop := context.WithDeadline(cancelled, epoch.Add(time.Hour))
	defer stop()
	defer cancel()
	return reflect.TypeOf(context.Background()), reflect.TypeOf(cancelled), reflect.TypeOf(timed)
}()

// A watcher is a context that calls a function when it ends: [context.AfterFunc] asks for
// just that, and else needs a goroutine.
type watcher interface {
	AfterFunc(f func()) (stop func() bool)
}

// A watchedEnding is an ending of a watcher.
type watchedEnding struct {
	ending
	watcher
}

// An ending is a context whose Err says why it has ended, always.
type ending struct{ context.Context }

// Err implements context.Context.
func (e *ending) Err() error {
	if err := e.Context.Err(); err != nil {
		return err
	}
	select {
	case <-e.Done():
		return errOf(e.Context)
	default:
		return nil
	}
}
