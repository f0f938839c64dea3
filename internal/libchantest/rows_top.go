// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchantest

import (
	"fmt"
	"sync"

	"github.com/containerd/ttrpc/libchan"
)

// topRows are of channels that a session opens.
var topRows = []row{
	{"signatures: the literal interfaces", false, testLiteral},
	{"top: names arrive", false, testNames},
	{"top: many channels at once", false, testManyChannels},
	{"top: channels both ways", false, testBothWays},
}

// testLiteral uses nothing but Transport, Sender and Receiver.
func testLiteral(k *kit) {
	var near, far libchan.Transport = k.a, k.b
	s, err := near.NewSendChannel()
	k.must(err)
	r, err := far.WaitReceiveChannel()
	k.must(err)
	k.send(s, 1)
	k.expect(r, 1, 0)
	k.must(s.Close())
	k.ends(r)
}

func testNames(k *kit) {
	for _, name := range []string{"", "logs", "日本"} {
		s, err := k.a.OpenChannel(ctx, name)
		k.must(err)
		got, r, err := k.b.Accept(ctx)
		if err != nil || got != name {
			k.Fatalf("accepted %q, %v; want %q", got, err, name)
		}
		k.send(s, 1)
		k.expect(r, 1, 0)
	}
}

func testManyChannels(k *kit) {
	const channels, messages = 20, 8
	var all sync.WaitGroup
	for i := range channels {
		all.Go(func() {
			s, err := k.a.OpenChannel(ctx, fmt.Sprint(i))
			for j := 0; j < messages && err == nil; j++ {
				err = s.Send(k.value(i + j))
			}
			if err == nil {
				err = s.Close()
			}
			if err != nil {
				k.Errorf("channel %d: %v", i, err)
			}
		})
	}
	for range channels {
		name, r, err := k.b.Accept(ctx)
		k.must(err)
		var i int
		_, err = fmt.Sscan(name, &i)
		k.must(err)
		all.Go(func() {
			for j := range messages {
				if got, err := k.receive(r); err != nil || got.N != int64(i+j) {
					k.Errorf("channel %d: message %d is %d, %v", i, j, got.N, err)
					return
				}
			}
			if _, err := k.receive(r); err == nil {
				k.Errorf("channel %d: more than was sent", i)
			}
		})
	}
	all.Wait()
}

func testBothWays(k *kit) {
	there, in := k.top()
	back, out := k.topOf(k.b, k.a)
	for i := range 30 {
		k.send(there, i)
		k.expect(in, i, 0)
		k.send(back, -i)
		k.expect(out, -i, 0)
	}
}
