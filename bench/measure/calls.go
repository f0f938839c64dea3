// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"context"
	"sync"
	"time"
)

// callers returns what the callers of a connection do.
func callers(c Client, o *options) func(int) func() error {
	return func(int) func() error {
		call := c.Caller(o.size, o.answer)
		return func() error { return call(context.Background()) }
	}
}

func measureCalls(b *bench, o *options) metrics {
	c := b.connect()
	defer c.Close()
	l := &load{callers: o.callers, lasts: o.duration, latencies: o.latencies, do: callers(c, o)}
	if o.apart {
		clients := make([]Client, o.callers)
		for i := range clients {
			clients[i] = b.connect()
			defer clients[i].Close()
		}
		l.do = func(caller int) func() error { return callers(clients[caller], o)(0) }
	}
	times := 1
	if batcher, ok := c.(Batcher); ok && o.callers > 1 && !o.apart {
		batch, n := batcher.Batch(o.callers, o.size, o.answer)
		times, l.callers = n, 1
		l.do = func(int) func() error { return batch }
	}
	r := b.run(l)
	m := r.metrics(times)
	if o.latencies {
		m.addQuantiles(&r.hist)
	}
	return m
}

// measureConnect has each caller connect, make a call and close the connection.
func measureConnect(b *bench, o *options) metrics {
	return b.run(&load{callers: o.callers, lasts: o.duration, do: func(int) func() error {
		return func() error {
			c := b.connect()
			defer c.Close()
			return c.Caller(o.size, o.answer)(context.Background())
		}
	}}).metrics(1)
}

// measureRate has calls begin at a rate, however long they take.
func measureRate(b *bench, o *options) metrics {
	c := b.connect()
	defer c.Close()
	return b.run(&load{callers: o.callers, rate: o.rate, lasts: o.duration, do: callers(c, o)}).metrics(1)
}

// Large answers are nearly as large as ttrpc's messages may be, and that many a second, as
// long as no more than largeMost are under way: a side that cannot keep up has fewer.
const (
	largeAnswer = 39 << 20 / 10
	largeRate   = 67
	largeMost   = 16
)

// measureBeside has callers call while large answers share the connection.
func measureBeside(b *bench, o *options) metrics {
	c := b.connect()
	defer c.Close()
	if _, ok := c.(Batcher); ok {
		return nil // calls cannot share it
	}
	large := c.Caller(8, largeAnswer)
	stop, underWay := make(chan struct{}), make(chan struct{}, largeMost)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(time.Second / largeRate)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				select {
				case underWay <- struct{}{}:
					done.Go(func() { Must(large(context.Background())); <-underWay })
				default:
				}
			}
		}
	})
	r := b.run(&load{callers: o.callers, rate: o.rate, lasts: o.duration, latencies: true, do: callers(c, o)})
	close(stop)
	done.Wait()
	m := r.metrics(1)
	m.addQuantiles(&r.hist)
	return m
}
