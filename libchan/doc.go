// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package libchan is Go's channels over the network. Messages travel over channels, and
// channels travel in messages. All of it shares a ttrpc connection with ordinary calls.
//
//	type Job struct {
//		Name string
//		Ret  libchan.SendChan[string]
//	}
//
// One side sends a job, with a channel for the answers, and receives these:
//
//	session, err := libchan.NewClient(conn)      // NewServer at the other end
//	jobs, err := session.NewSendChannel()        // WaitReceiveChannel there
//	answers, ret := libchan.Make[string](1)      // as make(chan string, 1)
//	err = jobs.Send(Job{"build", ret})           // ret is the receiver's from now on
//	for answer, err := range answers.All(ctx) {
//		fmt.Println(answer, err)
//	}
//
// The other side receives the job, and answers by the channel in it:
//
//	var job Job
//	err = jobs.Receive(&job)
//	err = job.Ret.Send(ctx, job.Name+" is done")
//	err = job.Ret.Close()                        // ends the range
//
// The package's Example is this program as a whole.
//
// # Channels and messages
//
// [Pipe], [BufferedPipe] and [Make] make a channel in memory, with one end to send and one to
// receive. [Session.NewSendChannel] opens a channel to the peer, which gets its end by
// [Session.WaitReceiveChannel]; [Session.OpenChannel] and [Session.Accept] are the same for
// channels with names. [SendChan] and [RecvChan] are ends whose messages have a type; [Of] and
// [From] give a type to any end.
//
// A message is any Go value that its codec can encode, see below. [Call] and [Serve] are a
// message with a return channel that is made for it. [Select] receives from one of several
// channels. [RecvChan.All] is range, and [RecvChan.Chan] and [SendChan.Chan] are bridges to
// channels of Go's. Methods that end in Context, and those of typed ends, wait no longer than
// their context lasts, and leave the channel good.
//
// Messages of a channel are received in the order in which they were sent, each at most once.
// Between two channels there is no order, but one: nothing is received from a channel before
// the message that has brought it.
//
// # Channels in messages
//
// Either end of a channel can be put into a message, at any depth. A field of type [Sender],
// [Receiver], [SendChan], [RecvChan] or any gets an end that works, wherever the message goes.
//
// What is sent is given away when Send returns nil. Whatever is then done with it at this side
// is [ErrGivenAway]. If Send returns an error that does not wrap [ErrUnconfirmed], nothing was
// sent, and the ends in the message are still good. Of two Sends of one end one succeeds. An
// end cannot be sent over its own channel.
//
// An end that was received may be sent on, over the same session or another one. Whoever passes
// it on decodes nothing and stays in the middle: the channel ends when the middle does. [Copy]
// passes on messages, and [Raw] is one that nobody has decoded.
//
// An end that nobody takes is let go of: the message was dropped, no field wanted it, or the
// garbage collector has found it. The other end then gets [ErrDropped]. In a bubble of
// testing/synctest garbage is not looked for.
//
// # Byte streams and files
//
// [NewByteStream] makes a [ByteStream] in memory: two ends, each a net.Conn with CloseWrite. An
// end can be sent in a message, as both directions or, in a field of type io.Reader or
// io.Writer, as one. It has backpressure, and ends and errors as channels have them.
//
// An io.Reader or io.Writer that is not of this package, a net.Conn, a net.Listener or an
// *os.File is lent, not given away: the peer reads and writes it by way of the sender, and it is
// not closed at their end. What the peer has of it is an io.Closer, in a field of type io.Reader
// or io.Writer too, and lasts until that is closed or read to its end.
//
// Over a unix socket, if both sides allow files ([WithFiles], and of a server with [Register] its
// [ttrpc.Limits]), what the kernel knows goes as a descriptor instead, and the receiver has the
// very thing. Off such a socket an *os.File is copied through a pipe, a net.Conn keeps its
// addresses, and a listener is a channel of connections; a socket of datagrams cannot be sent.
//
// A [Gateway] dials for its peers what its list allows, and hands out the raw connections.
//
// # Ends and errors
//
// Close ends a channel. What was sent before is received, and then io.EOF, or the error of
// CloseWithError. Cancel is the receiver's: it takes no more, and the sender's next Send, or one
// that waits, returns its cause. Over a session both errors travel as statuses of
// google.golang.org/grpc, with code and text; [ErrDropped], [ErrDraining], [ErrSessionEnded] and
// io.ErrUnexpectedEOF are found with errors.Is at the other end.
//
// A message that does not fit its variable is lost. That Receive returns an error that names the
// field, and the next message is received whole.
//
// If a session ends, all that waits anywhere returns an error that wraps [ErrSessionEnded] and
// the cause. What has arrived by then is still received, unless this side has closed the session.
//
// # Backpressure and capacity
//
// A channel whose receiver does not receive stops its own sender and no other. A channel of
// [Make] or [BufferedPipe] counts messages with Go's meaning, wherever its ends are: n may be
// sent that are not received, and with 0 Send returns when its message was received. Any other
// channel counts bytes: in memory it holds 256 KiB, over a session what fits into the window of
// its stream.
//
// # Sessions
//
// [NewClient] and [NewServer] take a connection each: any net.Conn that is a stream of bytes.
// [Over] and [Register] begin sessions beside calls. The client is made with [WithSessions], the
// server with [ttrpc.WithServerExtensions]; Over fails, and names the option, if either is not.
// In a handler [FromContext] is the session with its caller.
//
// [Session.Shutdown] ends a session in order: it opens no more channels, and ends with the last,
// when its receiver has received the end.
// [Session.Draining] tells when either side has begun that. [Session.Close] ends it at once.
//
// [Redial] is the Transport of a client that connects again, made by [ttrpc.Dial]: new channels
// are of its current connection, and a channel ends with its own.
//
// A channel that is idle costs its stream and no goroutine. Each stream takes a share of what
// the connection may hold, [ttrpc.StreamQueue].ConnectionBytes, which by default has room for
// some 2,900 that one side has opened, and of [ttrpc.Limits].Handlers, if that is set, at the side
// that did not open it. Both limits are options of a client for [Over] and a server for [Register].
//
// # After a lost connection
//
// A Send that has returned nil has handed its message over: to the receiver if the capacity is
// 0, else to a queue or to the connection. Sent counts these messages, and Taken those that the
// receiver has certainly received, see [ContextSender]. When the connection is lost, the messages
// between Taken and Sent may or may not have been received. Taken is exact for channels with a
// capacity, and up to 1,024 too low for others beyond a session. [ErrUnconfirmed] is the error of
// a Send that has waited for "received" in vain. Nothing is sent twice by this package.
//
// # Codecs and values
//
// A [Codec] makes bytes of messages: [Msgpack], which is the default, [JSON], [Protobuf] and
// [Gob]. [WithCodec] has a session send by another one; what the peer sends may be encoded by a
// different one. Ends of channels are no bytes. They travel in a table beside these, so each
// codec can carry them; messages of protobuf have them beside themselves, by [With].
//
// With all codecs but Protobuf a message is a struct, map, slice, array, pointer or scalar, a
// time.Time, a protobuf message, or a type that is an encoding.BinaryMarshaler or TextMarshaler
// and the reverse. Fields have the names that they have in Go; a tag `libchan:"name,omitempty"`
// gives another, and `libchan:"-"` leaves the field out. Fields of embedded structs are the
// struct's own, by the rules of encoding/json. Fields that the message does not have are left as
// they are, and those that the variable does not have are skipped. A func, a chan of Go's or a
// complex number is an error that names the field.
//
// # Limits
//
//	ends in one message                                 1,000
//	ends on a channel that nobody has taken             1,000, then its Send waits
//	new channels that wait to be accepted               1,000, then NewSendChannel waits
//	bytes queued for ends that the peer has not taken   4 MiB of a session, then Send waits
//	capacity of a channel                               2³¹ - 1
//	depth of a message                                  500
//	size of a message                                   the connection's, see [ttrpc.Limits].MessageSize
//	time for a session to begin                         10 s
//
// PROTOCOL.md describes what is on the wire.
package libchan
