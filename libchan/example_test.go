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

// A Job is a message that has a channel in it: the answers come by that.
type Job struct {
	Name string
	Ret  libchan.SendChan[string]
}

func Example() {
	conn, other := net.Pipe() // a unix socket, TCP or TLS, elsewhere
	go worker(other)
	ctx := context.Background()

	session, err := libchan.NewClient(conn)
	check(err)
	jobs, err := session.NewSendChannel()
	check(err)
	answers, ret := libchan.Make[string](1)
	err = jobs.Send(Job{"build", ret})
	check(err)
	for answer, err := range answers.All(ctx) {
		fmt.Println(answer, err)
	}
	err = session.Close()
	check(err)
	// Output:
	// build is begun <nil>
	// build is done <nil>
}

// worker is the other end.
func worker(conn net.Conn) {
	ctx := context.Background()
	session, err := libchan.NewServer(conn)
	check(err)
	jobs, err := session.WaitReceiveChannel()
	check(err)
	var job Job
	err = jobs.Receive(&job)
	check(err)
	err = job.Ret.Send(ctx, job.Name+" is begun")
	check(err)
	err = job.Ret.Send(ctx, job.Name+" is done")
	check(err)
	err = job.Ret.Close()
	check(err)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
