// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
)

// A Case is one of [Select], see [OnReceive].
type Case struct {
	r       *receiver
	message any
}

// OnReceive is a case that receives into message, as Receive of r does. If r is nil, so is the
// case. It panics if r is no Receiver of this package's.
func OnReceive(r Receiver, message any) *Case {
	if r == nil {
		return nil
	}
	own, ok := r.(*receiver)
	if !ok {
		panic(errors.New("libchan: the Receiver of a case of Select is none of this package's"))
	}
	return &Case{own, message}
}

// Select waits until something can be received by one of the cases, does that one and no
// other, and returns its index and the error of its Receive. Of several it takes any. If ctx
// ends first it returns -1 and the error of ctx, and nothing was received. A channel that has
// ended can be received from: the error says so. A case that is nil is never taken, as that
// of a nil channel in Go.
func Select(ctx context.Context, cases ...*Case) (int, error) {
	for _, c := range cases {
		if c != nil {
			c.r.c.watch(1)
			defer c.r.c.watch(-1)
		}
	}
	order := rand.Perm(len(cases))
	for {
		waits := []reflect.SelectCase{{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ctx.Done())}}
		for _, i := range order {
			c := cases[i]
			if c == nil {
				continue
			}
			ready := c.r.c.readyChan(false)
			if m, err := c.r.c.take(tried, c.r.gen); err == nil {
				return i, m.decode(c.r.c.codecNamed, c.message)
			} else if !isTried(err) {
				return i, err
			}
			waits = append(waits, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ready)})
		}
		if chosen, _, _ := reflect.Select(waits); chosen == 0 {
			return -1, ctx.Err()
		}
	}
}

// watch counts those who want readyChan for a while. Once none does, nobody reads ahead.
func (c *channel) watch(n int) {
	c.mu.Lock()
	defer c.unlock()
	if c.watchers += n; c.watchers == 0 && !c.asked {
		c.ready = nil
		c.stopReadingLocked()
	}
}
