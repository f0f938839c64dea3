// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestCallContext holds that a callContext, which makes its parts late, is a
// context like the standard library's, asked in any order.
func TestCallContext(t *testing.T) {
	type key struct{}
	cause := errors.New("cause")
	base := context.WithValue(context.Background(), key{}, "value")
	looks := map[string]func(ctx context.Context){
		"unseen": func(context.Context) {},
		"Done":   func(ctx context.Context) { ctx.Done() },
		"Err":    func(ctx context.Context) { ctx.Err() },
		"Value":  func(ctx context.Context) { ctx.Value(key{}) },
		"waited": func(ctx context.Context) { go func() { <-ctx.Done() }() },
	}
	for name, look := range looks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := &callContext{base: base, metadata: MD{"k": {"v"}}}
				look(x)
				wantContext(t, x, nil, nil)
				if _, ok := x.Deadline(); ok || x.Value(key{}) != "value" {
					t.Error("a deadline, or no value")
				}
				if v, ok := GetMetadataValue(x, "K"); !ok || v != "v" {
					t.Errorf("metadata %q, %v", v, ok)
				}
				x.cancel(cause)
				x.cancel(errors.New("another"))
				wantContext(t, x, context.Canceled, cause)
				<-x.Done()

				x = &callContext{base: base, deadline: time.Now().Add(time.Minute)}
				look(x)
				if d, ok := x.Deadline(); !ok || d != x.deadline {
					t.Errorf("the deadline is %v, %v", d, ok)
				}
				wantContext(t, x, nil, nil)
				time.Sleep(time.Minute)
				synctest.Wait()
				wantContext(t, x, context.DeadlineExceeded, context.DeadlineExceeded)
				x.cancel(cause)
				wantContext(t, x, context.DeadlineExceeded, context.DeadlineExceeded)

				parent, cancel := context.WithTimeout(base, time.Second)
				x = &callContext{base: parent, deadline: time.Now().Add(time.Minute)}
				look(x)
				if d, _ := x.Deadline(); time.Until(d) != time.Second {
					t.Errorf("the deadline is %v away", time.Until(d))
				}
				cancel()
				wantContext(t, x, context.Canceled, context.Canceled)
				x.cancel(cause)

				x = &callContext{base: base}
				child, stop := context.WithCancel(x)
				defer stop()
				x.cancel(cause)
				wantContext(t, child, context.Canceled, cause)
			})
		})
	}
}

func wantContext(t *testing.T, ctx context.Context, err, cause error) {
	t.Helper()
	if ctx.Err() != err || context.Cause(ctx) != cause {
		t.Errorf("the context is %v because of %v, want %v because of %v", ctx.Err(), context.Cause(ctx), err, cause)
	}
	select {
	case <-ctx.Done():
		if err == nil {
			t.Error("Done is closed")
		}
	default:
		if err != nil {
			t.Error("Done is not closed")
		}
	}
}
