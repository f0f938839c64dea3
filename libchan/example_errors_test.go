// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/libchan"
)

// A sender can end its channel with an error. It comes after all that was sent.
func ExampleSendChan_CloseWithError() {
	ctx := context.Background()
	lines, out := libchan.Make[string](1)
	if err := out.Send(ctx, "the first line"); err != nil {
		log.Fatal(err)
	}
	out.CloseWithError(status.Error(codes.DataLoss, "the disk is gone"))

	for line, err := range lines.All(ctx) {
		fmt.Printf("%q %v %v\n", line, status.Code(err), err)
	}
	// Output:
	// "the first line" OK <nil>
	// "" DataLoss rpc error: code = DataLoss desc = the disk is gone
}

// A receiver can take no more, and say why.
func ExampleRecvChan_Cancel() {
	ctx := context.Background()
	numbers, out := libchan.Make[int](1)
	go func() {
		n, _ := numbers.Receive(ctx)
		numbers.Cancel(fmt.Errorf("%d is enough", n))
	}()
	var err error
	for i := 7; err == nil; i++ {
		err = out.Send(ctx, i)
	}
	fmt.Println(err)
	// Output: 7 is enough
}

// The errors of the package tell what has become of an end, or of a message.
func ExampleContextSender() {
	ctx := context.Background()
	orders, out := libchan.Pipe()
	sender := out.(libchan.ContextSender)

	_, ret := libchan.Pipe()
	fmt.Println(sender.SendContext(ctx, ret))
	fmt.Println(ret.Send("too late") == libchan.ErrGivenAway)

	var answer libchan.Sender
	fmt.Println(orders.Receive(&answer))
	fmt.Println(sender.Sent(), "sent, of which the receiver has taken", sender.Taken())

	sender.Close()
	fmt.Println(sender.Send("too late") == libchan.ErrClosed, orders.Receive(&answer) == io.EOF)

	_, rendezvous := libchan.BufferedPipe(0)
	short, cancel := context.WithCancel(ctx)
	cancel()
	err := rendezvous.(libchan.ContextSender).SendContext(short, "is anybody there?")
	fmt.Println(errors.Is(err, context.Canceled), errors.Is(err, libchan.ErrUnconfirmed))
	// Output:
	// <nil>
	// true
	// <nil>
	// 1 sent, of which the receiver has taken 1
	// true true
	// true true
}
