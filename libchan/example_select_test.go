// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/containerd/ttrpc/libchan"
)

// Select receives from whichever channel has something. A case that is nil is never taken,
// so one whose channel has ended can be switched off.
func ExampleSelect() {
	numbers, n := libchan.BufferedPipe(1)
	words, w := libchan.BufferedPipe(1)
	go func() {
		n.Send(1)
		n.Close()
	}()
	go func() {
		w.Send("one")
		w.Close()
	}()

	var number int
	var word string
	cases := []*libchan.Case{libchan.OnReceive(numbers, &number), libchan.OnReceive(words, &word)}
	for ends := 0; ends < len(cases); {
		switch i, err := libchan.Select(context.Background(), cases...); {
		case err == io.EOF:
			cases[i] = nil
			ends++
		case err != nil:
			log.Fatal(err)
		case i == 0:
			fmt.Println("a number:", number)
		case i == 1:
			fmt.Println("a word:", word)
		}
	}
	// Unordered output:
	// a number: 1
	// a word: one
}
