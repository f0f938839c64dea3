// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan_test

import (
	"fmt"
	"log"
	"net"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/libchan"
)

// What a session sends can be JSON, for those who read along.
func ExampleWithCodec() {
	near, far := net.Pipe()
	go func() {
		session, err := libchan.NewServer(far, libchan.WithCodec(libchan.JSON))
		if err != nil {
			log.Fatal(err)
		}
		s, err := session.NewSendChannel()
		if err != nil {
			log.Fatal(err)
		}
		type task struct {
			Name string `libchan:"name"`
			Ret  libchan.Sender
		}
		_, ret := libchan.Pipe()
		if err := s.Send(task{"build", ret}); err != nil {
			log.Fatal(err)
		}
	}()
	session, err := libchan.NewClient(near) // need not be told
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	r, err := session.WaitReceiveChannel()
	if err != nil {
		log.Fatal(err)
	}
	var raw libchan.Raw
	if err := r.Receive(&raw); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", raw.Codec, raw.Body)
	// Output: json: {"name":"build","Ret":{"$libchan":0}}
}

// Messages of protobuf have no fields for channels. These go beside them.
func ExampleWith() {
	near, far := net.Pipe()
	go func() {
		session, err := libchan.NewServer(far)
		if err != nil {
			log.Fatal(err)
		}
		r, err := session.WaitReceiveChannel()
		if err != nil {
			log.Fatal(err)
		}
		var name wrapperspb.StringValue
		var ret libchan.Sender
		if err := r.Receive(libchan.With(&name, &ret)); err != nil {
			log.Fatal(err)
		}
		if err := ret.Send("hello, " + name.Value); err != nil {
			log.Fatal(err)
		}
	}()
	session, err := libchan.NewClient(near, libchan.WithCodec(libchan.Protobuf))
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	s, err := session.NewSendChannel()
	if err != nil {
		log.Fatal(err)
	}
	answers, ret := libchan.Pipe()
	if err := s.Send(libchan.With(wrapperspb.String("Ada"), ret)); err != nil {
		log.Fatal(err)
	}
	var answer string
	fmt.Println(answers.Receive(&answer), answer)
	// Output: <nil> hello, Ada
}
