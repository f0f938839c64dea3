// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"context"
	"log"
	"time"
)

// measureMemory tells what each connection takes, or each open stream, in either
// process.
func measureMemory(b *bench, o *options) metrics {
	if b.server == nil {
		log.Fatal("memory wants -processes 2")
	}
	if o.kind == "idle" && b.sys.Lazy {
		return nil
	}
	warm := b.connect()
	defer warm.Close()
	Must(warm.Caller(o.size, o.answer)(context.Background()))
	time.Sleep(o.settle)
	client, server := takeCensus(true), b.server.ask("memory")
	keep := make([]any, o.connections)
	for i := range keep {
		if keep[i] = occupy(b, warm, o); keep[i] == nil {
			return nil
		}
	}
	// When a later connection is served, these have been accepted.
	last := b.connect()
	Must(last.Caller(0, 0)(context.Background()))
	last.Close()
	time.Sleep(o.settle)
	n := float64(len(keep))
	m := metrics{"n": n}
	m.addMemory("client", takeCensus(true).minus(client), n)
	m.addMemory("server", b.server.ask("memory").minus(server), n)
	for _, k := range keep {
		if c, ok := k.(Client); ok {
			c.Close()
		}
	}
	return m
}

func (m metrics) addMemory(process string, grown census, n float64) {
	m[process+"-bytes"] = float64(int64(grown.Heap+grown.Stacks)) / n
	m[process+"-rss"] = float64(int64(grown.RSS)) / n
}

// occupy returns one of what memory is measured of, or nil if there is none.
func occupy(b *bench, c Client, o *options) any {
	switch o.kind {
	case "idle":
		return b.connect()
	case "called":
		c := b.connect()
		call := c.Caller(o.size, o.answer)
		for range o.calls {
			Must(call(context.Background()))
		}
		return c
	case "stream":
		if b.sys.OneStream {
			c = b.connect()
		}
		s := open(c, Turns, o.size, 0)
		if s == nil {
			return nil
		}
		Must(s.Send())
		Must(s.Receive())
		return []any{c, s}
	}
	log.Fatalf("there is no kind of memory %q", o.kind)
	return nil
}
