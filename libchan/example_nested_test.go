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

// A Subscription has a channel of channels: one for each topic that comes up.
type Subscription struct {
	Prefix string
	Topics libchan.SendChan[Topic]
}

// A Topic has the channel of its news.
type Topic struct {
	Name string
	News libchan.RecvChan[string]
}

// Channels nest: what is received by a channel has channels that work, too.
func Example_nestedChannel() {
	near, far := net.Pipe()
	go publish(far)
	session, err := libchan.NewClient(near)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	subscriptions, err := session.NewSendChannel()
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	topics, announce := libchan.Make[Topic](0)
	if err := subscriptions.Send(Subscription{"go/", announce}); err != nil {
		log.Fatal(err)
	}
	for topic, err := range topics.All(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		for news, err := range topic.News.All(ctx) {
			fmt.Println(topic.Name, news, err)
		}
	}
	// Output:
	// go/release 1.25 is out <nil>
	// go/blog a post <nil>
}

func publish(conn net.Conn) {
	ctx := context.Background()
	session, err := libchan.NewServer(conn)
	if err != nil {
		log.Fatal(err)
	}
	subscriptions, err := session.WaitReceiveChannel()
	if err != nil {
		log.Fatal(err)
	}
	var s Subscription
	if err := subscriptions.Receive(&s); err != nil {
		log.Fatal(err)
	}
	for _, item := range [][2]string{{"release", "1.25 is out"}, {"blog", "a post"}} {
		news, out := libchan.Make[string](1)
		if err := s.Topics.Send(ctx, Topic{s.Prefix + item[0], news}); err != nil {
			log.Fatal(err)
		}
		if err := out.Send(ctx, item[1]); err != nil {
			log.Fatal(err)
		}
		out.Close()
	}
	s.Topics.Close()
}
