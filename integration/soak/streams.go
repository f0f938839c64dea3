// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// streamOrder returns the order of a stream: of few messages mostly, now and then of
// many small or some large ones.
func (a *attempt) streamOrder() *order {
	o := a.order()
	o.Count, o.Size = uint32(a.rng.IntN(20)), 512
	switch p := a.rng.IntN(100); {
	case p < 2:
		o.Count, o.Size = uint32(a.rng.IntN(8)), 1<<20
	case p < 8:
		o.Count = uint32(a.rng.IntN(1000))
	case p < 20:
		o.Count, o.Size = uint32(a.rng.IntN(64)), 32<<10
	}
	if a.rng.IntN(10) == 0 {
		o.Failure = uint8(1 + a.rng.IntN(len(failures)-1))
		o.FailAfter = uint32(a.rng.IntN(int(o.Count) + 1))
	}
	return o
}

// outcome is what the order of a stream that is not given up leads to.
func outcome(o *order) expectation {
	if o.Failure != 0 {
		return failed(o)
	}
	return answered
}

// upload streams from the client.
func upload(a *attempt) (string, error) {
	o := a.streamOrder()
	if o.Failure != 0 && o.FailAfter == o.Count {
		o.FailAfter++ // has come to the end before
		o.Failure = 0
	}
	t, err := a.open(context.Background(), "Upload", uploads, o)
	if err == nil {
		// The stream may end before all is sent; RecvMsg tells how.
		sendErr := t.send(0, int(o.Count))
		m := new(wrapperspb.BytesValue)
		switch err = t.RecvMsg(m); {
		case err != nil:
			err = t.ended(err, nil)
		case sendErr != nil:
			err = sendErr
		default:
			err = o.answer().check(m.Value)
		}
	}
	return a.judge(o, err, outcome(o))
}

// download streams from the server.
func download(a *attempt) (string, error) {
	o := a.streamOrder()
	if o.FailAfter == o.Count {
		o.Failure = 0 // has come to the end before
	}
	t, err := a.open(context.Background(), "Download", downloads, o)
	if err == nil {
		err = t.receive(0, o.messages())
	}
	if err == nil {
		err = t.end(io.EOF)
	}
	return a.judge(o, err, outcome(o))
}

// lateDownload takes what the server sends after a pause, now and then one that is longer
// than a classic stream may stay full. In extended mode the server waits.
func lateDownload(a *attempt) (string, error) {
	o := a.order()
	o.Count, o.Size = 200, 8<<10 // more than a queue or a window holds
	pause, want := time.Duration(a.rng.IntN(2000))*time.Microsecond, answered
	if a.rng.IntN(100) == 0 {
		pause = 3 * time.Second
		if a.mode == classic {
			o.Must, want = false, isExactly("stream full", ttrpc.ErrStreamFull)
		}
	}
	o.Linger = uint32(pause.Microseconds()) // a stream that has ended is not too full
	t, err := a.open(context.Background(), "Download", downloads, o)
	if err == nil { // the pause is a call, for a connection is read while somebody waits
		err = a.call(context.Background(), &order{Call: o.Call, Delay: o.Linger}, 0)
		if a.mode.refused(err) {
			err = nil // by a server that is shut down, and waits for the stream
		}
	}
	if err == nil {
		err = t.receive(0, int(o.Count))
	}
	if err == nil {
		err = t.end(io.EOF)
	}
	return a.judge(o, err, want)
}

// messages returns how many messages come from the server.
func (o *order) messages() int {
	if o.Failure != 0 {
		return int(o.FailAfter)
	}
	return int(o.Count)
}

// pingPong streams both ways, in turns.
func pingPong(a *attempt) (string, error) {
	o := a.streamOrder()
	o.Count = min(o.Count, 100)
	o.FailAfter = min(o.FailAfter, o.Count)
	t, err := a.open(context.Background(), "Chat", chats, o)
	for i := 0; i < o.messages() && err == nil; i++ {
		if err = t.because(t.SendMsg(o.sent(i).message())); err == nil {
			err = t.receive(i, i+1)
		}
	}
	if err == nil && o.Failure == 0 {
		err = t.because(t.CloseSend())
	}
	if err == nil {
		err = t.end(io.EOF)
	}
	return a.judge(o, err, outcome(o))
}

// pipeline streams both ways at once.
func pipeline(a *attempt) (string, error) {
	o := a.streamOrder()
	t, err := a.open(context.Background(), "Chat", chats, o)
	if err == nil {
		sent := make(chan error, 1)
		go func() { sent <- t.send(0, int(o.Count)) }()
		if err = t.receive(0, o.messages()); err == nil {
			err = t.end(io.EOF)
		}
		if sendErr := <-sent; err == nil && o.Failure == 0 {
			err = sendErr
		}
	}
	return a.judge(o, err, outcome(o))
}

// oversizedMessage has messages refused on the client's side of a stream, which goes
// on.
func oversizedMessage(a *attempt) (string, error) {
	o := a.order()
	o.Count, o.Size = 2, 512
	t, err := a.open(context.Background(), "Chat", chats, o)
	if err == nil {
		if refused := t.SendMsg(content{o.Seed, messageLimit}.message()); !oversized.is(refused) {
			err = t.because(refused)
			if err == nil {
				err = &mismatch{"B6: a message over the limit was sent"}
			}
		}
	}
	if err == nil {
		err = t.because(t.send(0, 2))
	}
	if err == nil {
		err = t.receive(0, 2)
	}
	if err == nil {
		err = t.end(io.EOF)
	}
	return a.judge(o, err, answered)
}

// oversizedFromServer has a message of the server's refused, with which its handler
// then fails.
func oversizedFromServer(a *attempt) (string, error) {
	o := a.order()
	o.Count, o.Size = 1, 64<<20
	for o.received(0).size <= messageLimit || o.received(0).size > 2*messageLimit {
		o.Seed = a.rng.Uint64()
	}
	t, err := a.open(context.Background(), "Download", downloads, o)
	if err == nil {
		err = t.end(io.EOF)
	}
	if err == nil {
		err = &mismatch{"the stream has ended with success"}
	}
	return a.judge(o, err, exhausted)
}

// canceledDownload is given up while the server sends.
func canceledDownload(a *attempt) (string, error) {
	o := a.streamOrder()
	o.Must, o.Failure = false, 0
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	t, err := a.open(ctx, "Download", downloads, o)
	taken := a.rng.IntN(int(o.Count) + 1)
	if err == nil {
		err = t.receive(0, taken)
	}
	cancel()
	return a.leave(t, taken, err)
}

// leave receives what is left of a stream whose context has ended: messages in
// order, then the end.
func (a *attempt) leave(t *talk, next int, err error) (string, error) {
	for ; err == nil; next++ {
		err = t.receive(next, next+1)
	}
	var wrong *mismatch
	if t.ClientStream != nil && !errors.As(err, &wrong) {
		err = t.ended(err, io.EOF)
	}
	return a.judge(t.order, err, canceled, answered)
}

// canceledChat is given up when some messages were exchanged. In classic mode the
// server's handler waits on. In extended mode sending may wait for answers to be taken,
// and then the end of the context ends that.
func canceledChat(a *attempt) (string, error) {
	o := a.streamOrder()
	o.Must, o.Failure = false, 0
	o.Count = min(o.Count, 20) + 1
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	t, err := a.open(ctx, "Chat", chats, o)
	if err != nil {
		return a.judge(o, err)
	}
	if a.mode == extended {
		timer := time.AfterFunc(time.Duration(a.rng.IntN(20_000))*time.Microsecond, cancel)
		defer timer.Stop()
	}
	some := a.rng.IntN(int(o.Count))
	if err = t.because(t.send(0, some)); err == nil && a.rng.IntN(2) == 0 {
		err = t.receive(0, some)
	} else {
		some = 0
	}
	cancel()
	return a.leave(t, some, err)
}

// lateChat goes on until its deadline passes.
func lateChat(a *attempt) (string, error) {
	o := a.order()
	o.Must, o.Count, o.Size = false, 1<<30, 256
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+a.rng.IntN(20))*time.Millisecond)
	defer cancel()
	t, err := a.open(ctx, "Chat", chats, o)
	for i := 0; err == nil; i++ {
		if err = t.because(t.send(i, i+1)); err == nil {
			err = t.receive(i, i+1)
		}
	}
	return a.judge(o, err, late)
}

// abandoned is left as it is, with messages that nobody takes. In extended mode it sends little,
// so that it does not have to wait for credit.
func abandoned(a *attempt) (string, error) {
	o := a.streamOrder()
	o.Must, o.Failure = false, 0
	o.Count++
	done := isExactly("abandoned", nil)
	if a.rng.IntN(2) == 0 {
		t, err := a.open(context.Background(), "Download", downloads, o)
		if err == nil {
			err = t.receive(0, a.rng.IntN(int(o.Count)))
		}
		return a.judge(o, err, done)
	}
	if a.mode == extended {
		o.Size = min(o.Size, 512)
	}
	t, err := a.open(context.Background(), "Chat", chats, o)
	if err == nil {
		err = t.because(t.send(0, a.rng.IntN(int(min(o.Count, 50)))))
	}
	return a.judge(o, err, done)
}
