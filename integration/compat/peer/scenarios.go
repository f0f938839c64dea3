// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// messageLimit is how long the data of a frame may be.
const messageLimit = 4 << 20

// scenarios are all there are. What they note must not depend on time or luck,
// unless the differences that the test lists say so.
var scenarios = []struct {
	name string
	run  func(*session)
}{
	{"echo of nothing", echo(0)},
	{"echo of 1 B", echo(1)},
	{"echo of 64 KiB", echo(64 << 10)},
	{"echo of 1 MiB", echo(1 << 20)},
	{"request at the limit", requestOver(0)},
	{"request over the limit", requestOver(1)},
	{"response at the limit", responseOver(0)},
	{"response over the limit", responseOver(1)},

	{"plain errors", fail("plain", "empty", "unicode")},
	{"status errors", fail("status", "status with details", "status OK", "status of unknown code", "status called closed")},
	{"wrapped status errors", fail("wrapped status", "wrapped with details", "joined status")},
	{"ttrpc errors", fail("ttrpc.ErrClosed", "ttrpc.ErrServerClosed", "ttrpc.ErrStreamFull", "ttrpc.ErrProtocol", "ttrpc oversized")},
	{"context errors", fail("context.Canceled", "context.DeadlineExceeded", "wrapped canceled", "wrapped deadline")},
	{"os errors", fail("os.ErrInvalid", "os.ErrExist", "os.ErrNotExist", "os.ErrPermission", "os.ErrClosed",
		"os.ErrDeadlineExceeded", "path error", "EEXIST", "EACCES", "EINVAL", "wrapped not exist")},
	{"io errors", fail("io.EOF", "io.ErrClosedPipe", "io.ErrNoProgress", "io.ErrShortBuffer", "io.ErrShortWrite",
		"io.ErrUnexpectedEOF", "wrapped EOF")},
	{"odd answers", oddAnswers},
	{"odd messages", oddMessages},
	{"unimplemented", unimplemented},

	{"metadata", metadata},
	{"interceptor", interceptor},
	{"deadline seen by the handler", deadlineSeen},
	{"deadline passes in the handler", deadlineInHandler},
	{"deadline passes for the caller", deadlineForCaller},
	{"deadline passed before", deadlineBefore},
	{"cancel", cancel},

	{"server stream of none", serverStream("Count", 0)},
	{"server stream of 1", serverStream("Count", 1)},
	{"server stream of 1000", serverStream("Count", 1000)},
	{"server stream of empty messages", serverStream("Empties", 3)},
	{"server stream of nil messages", serverStream("Nils", 3)},
	{"server stream that fails midway", serverStream("CountThenFail", 3)},
	{"server stream that fails at once", serverStream("CountThenFail", 0)},
	{"server stream with a request", serverStreamRequest},
	{"server stream whose request is received twice", serverStreamRequestTwice},
	{"server stream with a nil request", serverStreamNilRequest},
	{"server stream of odd messages", oddStreamMessages},
	{"server stream over the limit", serverStreamOversized},
	{"client stream of none", clientStream("Sum", 0)},
	{"client stream of 1", clientStream("Sum", 1)},
	{"client stream of 1000", clientStream("Sum", 1000)},
	{"client stream that fails midway", clientStreamFails},
	{"client stream to nil", clientStream("SumToNil", 1)},
	{"client stream sent back", clientStream("SendBack", 0)},
	{"client stream over the limit", clientStreamOversized},
	{"bidi ping-pong", pingPong},
	{"bidi pipelined", pipelined},
	{"bidi half-close", halfClose},
	{"bidi that fails midway", bidiFails},
	{"bidi empty and nil messages", bidiEmpty},
	{"bidi with a first message", bidiFirst},
	{"bidi context", bidiContext},
	{"bidi cancel", bidiCancel},
	{"stream that failed is received again", streamErrorTwice},
	{"stream misused", misuse},
	{"stream unimplemented", streamUnimplemented},
	{"stream called as unary and back", crossed},

	{"64 callers", callers},
	{"three clients", threeClients},

	{"shutdown with a call in flight", shutdownInFlight},
	{"server closes mid-call", serverCloses},
	{"server closes mid-stream", serverClosesStream},
	{"client closes mid-call", clientCloses},
	{"client closes mid-stream", clientClosesStream},
}
