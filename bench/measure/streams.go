// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"context"
	"errors"
	"log"
	"time"
)

// transfers are what streams are used for.
var transfers = map[string]struct {
	kind StreamKind
	run  func(s Stream, n int)
}{
	"upload":    {Upload, transferUp},
	"download":  {Download, transferDown},
	"pipelined": {Chat, transferBoth},
	"pingpong":  {Turns, transferInTurn},
}

// measureStreams times the messages of one stream. Its count follows from how long
// few of them take.
func measureStreams(b *bench, o *options) metrics {
	c := b.connect()
	defer c.Close()
	transfer, ok := transfers[o.kind]
	if !ok {
		log.Fatalf("there is no kind of stream %q", o.kind)
	}
	n := 100
	for { // warms up as well
		start := time.Now()
		s := open(c, transfer.kind, o.size, n)
		if s == nil {
			return nil
		}
		transfer.run(s, n)
		if took := time.Since(start); took > o.duration/8 {
			n = max(int(float64(n)*float64(o.duration)/float64(took)), 1)
			break
		}
		n *= 4
	}
	before, start := b.census(), time.Now()
	transfer.run(open(c, transfer.kind, o.size, n), n)
	r := loaded{elapsed: time.Since(start), calls: float64(n), usedFor: float64(n), all: float64(n)}
	r.used = b.census().minus(before)
	return r.metrics(1)
}

// open returns nil if there are no such streams.
func open(c Client, kind StreamKind, size, count int) Stream {
	s, err := c.Stream(context.Background(), kind, size, count)
	if errors.Is(err, ErrNoStreams) {
		return nil
	}
	Must(err)
	return s
}

func transferUp(s Stream, n int) {
	for range n {
		Must(s.Send())
	}
	Must(s.Finish())
}

func transferDown(s Stream, n int) {
	for range n {
		Must(s.Receive())
	}
	Must(s.Finish())
}

// transferBoth sends without waiting, but not more than Ahead.
func transferBoth(s Stream, n int) {
	ahead := make(chan struct{}, Ahead)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for range n {
			ahead <- struct{}{}
			Must(s.Send())
		}
	}()
	for range n {
		Must(s.Receive())
		<-ahead
	}
	<-sent
	Must(s.Finish())
}

func transferInTurn(s Stream, n int) {
	for range n {
		Must(s.Send())
		Must(s.Receive())
	}
	Must(s.Finish())
}
