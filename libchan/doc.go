// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package libchan is Go's channels over the network: messages over channels that can be sent
// in messages themselves, on a ttrpc connection, beside its calls.
//
//	type Job struct {
//		Name string
//		Ret  libchan.SendChan[string] // a channel, in a message
//	}
//
//	session, err := libchan.NewClient(conn)          // NewServer at the other end
//	jobs, err := session.NewSendChannel()            // WaitReceiveChannel there
//	answers, ret := libchan.Make[string](1)          // as make(chan string, 1)
//	err = jobs.Send(Job{"build", ret})               // ret is the receiver's now,
//	for answer, err := range answers.All(ctx) {      // who answers by job.Ret.Send
//		...
//	}
//
// # Channels
//
// [Pipe], [BufferedPipe] and [Make] make a channel in memory, with one end to send and one to
// receive. Either can be put into a message, at any depth: a field of type [Sender],
// [Receiver], [SendChan], [RecvChan] or any gets one that works, wherever the message goes. A
// [Session] opens the first channel to a peer. [Call] and [Serve] are a message with a return
// channel that is made for it. [Select] waits for one of several.
//
// What is sent is given away when Send returns nil: the end it was sent by is void, and
// whatever is done with it is [ErrGivenAway]. If Send returns an error that does not wrap
// [ErrUnconfirmed], nothing was sent, and the ends in the message are good. An end that is
// received may be sent on, over the same session or another: who passes it on decodes nothing
// and stays in the middle, and the channel ends if the middle does.
//
// # Ends and errors
//
// Close ends a channel after all that was sent: the receiver gets io.EOF then, or the error of
// CloseWithError. Cancel takes no more: the sender's next Send returns its cause. Both arrive as
// statuses of google.golang.org/grpc with code and text, and [ErrDropped] as itself, which is
// what a channel ends with whose other end nobody holds any more: its message was never
// received, no field took it, or the garbage collector has found it. If the session ends all
// that waits returns, with an error that wraps [ErrSessionEnded] and the cause; what has
// arrived by then is still received, unless this side has closed the session.
//
// # Order and backpressure
//
// Messages of a channel are received in the order in which they were sent, each at most once.
// Of two channels no order holds, but that nothing is received from a channel before the
// message that has brought it. A channel whose receiver does not receive stops its own sender
// and no other. A channel of [Make] or [BufferedPipe] counts messages, with Go's meaning; any
// other holds what fits into the window of its stream.
//
// # Sessions
//
// [NewClient] and [NewServer] take a connection each. [Over] and [Register] share one with
// calls: the client is made with [WithSessions], the server with [ttrpc.WithServerExtensions].
// Over fails if either is not. A side that shuts down finishes the channels that there are, and
// opens no more, see [Session.Shutdown].
//
// A channel that is idle costs its stream and no goroutine. Each stream takes a share of what
// the connection may hold, [ttrpc.StreamQueue].ConnectionBytes, which by default has room for
// 4,096 of them, and of [ttrpc.Limits].Handlers, if that is set, at the side that did not open it.
//
// # Codecs
//
// A [Codec] makes bytes of messages. Ends of channels are no bytes: they travel in a table
// beside these, so any codec can carry them, and who passes messages on need not know it, see
// [Raw]. PROTOCOL.md describes what is on the wire.
package libchan
