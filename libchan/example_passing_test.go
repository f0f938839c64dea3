// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/containerd/ttrpc/libchan"
)

// A Line is a message whose channel is passed on by somebody in the middle.
type Line struct {
	Text string
	Ack  libchan.Sender
}

// Copy between two sessions passes messages on, with the channels in them. Nothing is
// decoded, and how fast the last one receives is felt by the first that sends.
func ExampleCopy() {
	front, toRelay := net.Pipe()
	fromRelay, back := net.Pipe()
	go relay(toRelay, fromRelay)
	go acknowledge(back)
	session, err := libchan.NewClient(front)
	if err != nil {
		log.Fatal(err)
	}
	lines, err := session.NewSendChannel()
	if err != nil {
		log.Fatal(err)
	}
	acks, ack := libchan.Pipe()
	if err := lines.Send(Line{"hello", ack}); err != nil {
		log.Fatal(err)
	}
	if err := lines.Close(); err != nil {
		log.Fatal(err)
	}
	var text string
	fmt.Println(acks.Receive(&text), text)
	fmt.Println(acks.Receive(&text) == io.EOF)
	if err := session.Shutdown(context.Background()); err != nil { // once all channels have ended
		log.Fatal(err)
	}
	// Output:
	// <nil> hello has come
	// true
}

// relay passes on what comes by one connection to another.
func relay(from, to net.Conn) {
	in, err := libchan.NewServer(from)
	if err != nil {
		log.Fatal(err)
	}
	out, err := libchan.NewClient(to)
	if err != nil {
		log.Fatal(err)
	}
	r, err := in.WaitReceiveChannel()
	if err != nil {
		log.Fatal(err)
	}
	w, err := out.NewSendChannel()
	if err != nil {
		log.Fatal(err)
	}
	if _, err := libchan.Copy(w, r); err != nil {
		log.Fatal(err)
	}
	w.Close()
	<-in.Done() // channels in messages go through here until then
	out.Close()
}

func acknowledge(conn net.Conn) {
	session, err := libchan.NewServer(conn)
	if err != nil {
		log.Fatal(err)
	}
	lines, err := session.WaitReceiveChannel()
	if err != nil {
		log.Fatal(err)
	}
	for {
		var line Line
		if err := lines.Receive(&line); err != nil {
			return
		}
		if err := line.Ack.Send(line.Text + " has come"); err != nil {
			log.Print(err)
		}
		line.Ack.Close()
	}
}

// A Raw is a message that is not decoded: whoever passes it on need not know its type.
func ExampleRaw() {
	in, sender := libchan.Pipe()
	receiver, out := libchan.Pipe()
	acks, ack := libchan.Pipe()
	if err := sender.Send(Line{"hello", ack}); err != nil {
		log.Fatal(err)
	}

	var raw libchan.Raw
	if err := in.Receive(&raw); err != nil {
		log.Fatal(err)
	}
	fmt.Println(raw.Codec, len(raw.Body), "bytes, and beside them:", raw.Len())
	if err := out.Send(&raw); err != nil {
		log.Fatal(err)
	}

	var line Line
	if err := receiver.Receive(&line); err != nil {
		log.Fatal(err)
	}
	go line.Ack.Send("got " + line.Text)
	var text string
	fmt.Println(acks.Receive(&text), text)
	// Output:
	// msgpack 19 bytes, and beside them: 1
	// <nil> got hello
}
