// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"io"
	"sync"
)

// A Request is a message with a channel for its answer.
type Request[Req, Resp any] struct {
	Data Req
	Ret  SendChan[Resp]
}

// Call sends a request with a return channel that is made for it, and waits for the answer.
// Its error is that of the handler, see [Serve]; that of ctx; or what is wrong with the channel.
func Call[Req, Resp any](ctx context.Context, to Sender, req Req) (resp Resp, err error) {
	c := newChannel(-1) // nobody has to be told that the one answer was taken
	answers, ret := RecvChan[Resp]{&receiver{end{c, receiving, 1}}}, SendChan[Resp]{&sender{end{c, sending, 1}}}
	s := Of[Request[Req, Resp]](to)
	if err := s.Send(ctx, Request[Req, Resp]{req, ret}); err != nil {
		answers.Cancel(err)
		return resp, err
	}
	resp, err = answers.Receive(ctx)
	switch err {
	case nil:
		answers.Cancel(nil)
	case io.EOF:
		err = io.ErrUnexpectedEOF // closed without an answer
	default:
		answers.Cancel(err)
	}
	return resp, err
}

// maxServed is how many handlers of Serve run at once.
const maxServed = 1000

// Serve answers the requests that come from a channel, each on a goroutine of its own, until
// the channel ends, which is success, or ctx does. It returns once all handlers have. An error
// of the handler ends the return channel, and is what Call returns. While 1,000 handlers run it
// receives nothing, so that callers wait. The handler's context is ctx: that a caller has given
// up does not end it.
func Serve[Req, Resp any](ctx context.Context, from Receiver, handle func(context.Context, Req) (Resp, error)) error {
	var running sync.WaitGroup
	defer running.Wait()
	r := From[Request[Req, Resp]](from)
	if r.r == nil {
		_, err := r.Receive(ctx)
		return err
	}
	slots := make(chan struct{}, maxServed)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		req, err := r.Receive(ctx)
		if err != nil {
			<-slots
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil && (ctx.Err() != nil || r.r.Cause() != nil):
			return err
		case err != nil:
			continue // a message that is no such request
		}
		running.Go(func() {
			defer func() { <-slots }()
			resp, err := handle(ctx, req.Data)
			if err == nil {
				err = req.Ret.sendLast(ctx, resp)
			}
			_ = req.Ret.CloseWithError(err)
		})
	}
}
