// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package spdy speaks with peers that have an old libchan, over SPDY/3: docker/libchan, which
// was for Go, and jschan, which is for node.js.
//
//	peer, err := spdy.NewClient(conn)        // NewServer if the peer has dialled
//	jobs, err := peer.NewSendChannel()       // as of libchan v0.1.0
//	err = jobs.Send(Job{"build", ret})       // with channels and byte streams in it
//
// All ends of channels and byte streams are those of package libchan, so all that they can do
// works as far as the peer lets it: typed channels, contexts, Select, sending ends on, and
// [libchan.Copy] between an old peer and a session over ttrpc.
//
// # Dialects
//
// There are two, and nothing on the wire tells which one a peer speaks. A program has to know:
//
//   - [Released]: docker/libchan v0.1.0, the only release, and the SPDY sessions of jschan. A
//     message is a map or a struct there. It cannot have a time: Send of one ends the channel
//     with an error. An io.Reader or io.Writer arrives as a byte stream both ways.
//   - [Main], by [WithDialect]: programs built from the last commits of docker/libchan.
//
// A peer that speaks the other one gets plain messages of [Released] in Main, and nothing else.
//
// # What old peers cannot do
//
//   - They know no error of a channel: CloseWithError, and Cancel, reset it. What was not received
//     by then may be lost at an old peer; at this side all that has arrived is received, and then
//     a [ResetError].
//   - They acknowledge nothing. Taken of a Sender counts what has left for the peer, Send returns
//     before that, and an error of a message, as that it is too long, is the next Send's.
//   - docker/libchan gives no room and takes none: it reads on until its memory is full, and with a
//     channel that nobody reads there, most others stop. This side honours the windows of a peer
//     from its first window update on, and sends updates, without which jschan stops after 64 KiB.
//     A peer that does not heed them is not read from while more than [Limits].Buffer waits.
//   - jschan takes a chunk that it reads for a message: longer ones than 16,300 bytes fail there.
//     No message is longer than a frame, 16,777,215 bytes.
//   - A file, a connection or a socket travels as a copy of its bytes, and a listener not at all.
//     The dialect v0.1.0 had a form for sockets that both sides knew; it is an error for who
//     receives it into a field.
//   - docker/libchan stops reading when it hears a goodbye. So [Transport.Shutdown] says it last.
//
// A message may come before the channels that it names, or after them. Those that no message
// names are released with their parent where the dialect tells it, else with the session; there
// is a cap on them, see [Limits].
package spdy
