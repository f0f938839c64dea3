// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/containerd/ttrpc/libchan"
)

// A typed channel counts messages as Go's do, wherever its ends are.
func ExampleMake() {
	ctx := context.Background()
	numbers, out := libchan.Make[int](2) // as make(chan int, 2)
	for i := range 2 {
		if err := out.Send(ctx, i); err != nil { // nobody needs to receive yet
			log.Fatal(err)
		}
	}
	full, cancel := context.WithCancel(ctx)
	cancel()
	fmt.Println(out.Send(full, 2)) // a third would have to wait
	out.Close()

	for n, err := range numbers.All(ctx) {
		fmt.Println(n, err)
	}
	// Output:
	// context canceled
	// 0 <nil>
	// 1 <nil>
}

// The channels of a session can be typed as well.
func ExampleOf() {
	type point struct{ X, Y int }
	near, far := net.Pipe()
	go func() {
		session, err := libchan.NewServer(far)
		if err != nil {
			log.Fatal(err)
		}
		s, err := session.NewSendChannel()
		if err != nil {
			log.Fatal(err)
		}
		points := libchan.Of[point](s)
		for i := range 3 {
			if err := points.Send(context.Background(), point{i, i * i}); err != nil {
				log.Fatal(err)
			}
		}
		points.Close()
	}()

	session, err := libchan.NewClient(near)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	r, err := session.WaitReceiveChannel()
	if err != nil {
		log.Fatal(err)
	}
	for p, err := range libchan.From[point](r).All(context.Background()) {
		fmt.Println(p.X, p.Y, err)
	}
	// Output:
	// 0 0 <nil>
	// 1 1 <nil>
	// 2 4 <nil>
}

// Bridges lead to and from channels of Go's.
func ExampleRecvChan_Chan() {
	ctx := context.Background()
	r, s := libchan.Make[string](0)
	in, out := s.Chan(ctx), r.Chan(ctx)
	go func() {
		in <- "one"
		in <- "two"
		close(in) // closes s, too
	}()
	for text := range out {
		fmt.Println(text)
	}
	fmt.Println(r.Receiver().Cause())
	// Output:
	// one
	// two
	// EOF
}
