// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan_test

import (
	"fmt"
	"io"
	"log"

	"github.com/containerd/ttrpc/libchan"
)

// A Message is the one that libchan has always been shown with.
type Message struct {
	Data []byte
	Ret  libchan.Sender
}

// The same by hand: a message with a return channel. Its channels are in memory here. The
// Sender of a [libchan.Session]'s NewSendChannel takes the same message.
func Example_returnChannel() {
	receiver, sender := libchan.Pipe()
	go echo(receiver)

	answers, ret := libchan.Pipe()
	if err := sender.Send(&Message{Data: []byte("hello"), Ret: ret}); err != nil {
		log.Fatal(err)
	}
	answer := new(Message)
	if err := answers.Receive(answer); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, with a return channel: %t\n", answer.Data, answer.Ret != nil)
	fmt.Println(answers.Receive(answer) == io.EOF)
	sender.Close()
	// Output:
	// hello, with a return channel: false
	// true
}

// echo answers each message by its return channel.
func echo(receiver libchan.Receiver) {
	for {
		m := new(Message)
		if err := receiver.Receive(m); err != nil {
			return
		}
		if err := m.Ret.Send(&Message{Data: m.Data}); err != nil {
			log.Print(err)
		}
		m.Ret.Close()
	}
}
