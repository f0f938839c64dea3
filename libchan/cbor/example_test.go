// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package cbor_test

import (
	"fmt"
	"log"
	"net"

	"github.com/containerd/ttrpc/libchan"
	"github.com/containerd/ttrpc/libchan/cbor"
)

// A session whose messages are CBOR.
func Example() {
	near, far := net.Pipe()
	go func() {
		session, err := libchan.NewServer(far, libchan.WithCodec(cbor.Codec))
		if err != nil {
			log.Fatal(err)
		}
		greetings, err := session.WaitReceiveChannel()
		if err != nil {
			log.Fatal(err)
		}
		var req libchan.Request[string, string]
		if err := greetings.Receive(&req); err != nil {
			log.Fatal(err)
		}
		if err := req.Ret.Sender().Send("hello, " + req.Data); err != nil {
			log.Fatal(err)
		}
	}()
	session, err := libchan.NewClient(near, libchan.WithCodec(cbor.Codec))
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	greetings, err := session.NewSendChannel()
	if err != nil {
		log.Fatal(err)
	}
	answers, ret := libchan.Make[string](1)
	if err := greetings.Send(libchan.Request[string, string]{Data: "Ada", Ret: ret}); err != nil {
		log.Fatal(err)
	}
	var answer string
	fmt.Println(answers.Receiver().Receive(&answer), answer)
	// Output: <nil> hello, Ada
}
