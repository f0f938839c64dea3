// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// messageLimit is how long the data of a frame may be.
const messageLimit = 4 << 20

// scenarios are all there are. What they note must not depend on time or luck,
// unless the differences that the test lists say so.
var scenarios = slices.Concat(unaryScenarios, streamScenarios, anyServer, newScenarios)

// A scenario is what a client does, and notes.
type scenario struct {
	name string
	run  func(*session)
}

var unaryScenarios = []scenario{
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
	{"ttrpc errors", fail("ttrpc.ErrClosed", "ttrpc.ErrServerClosed")},
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

	{"64 callers", callers},

	{"shutdown with a call in flight", shutdownInFlight},
	{"server closes before a request", serverEndsIdle("Close")},
	{"server closes mid-request", serverEndsMidRequest("Close")},
	{"server closes mid-call", serverEndsMidCall("Close")},
	{"server closes mid-response", serverEndsMidResponse("Close")},
	{"server is killed before a request", serverEndsIdle("Kill")},
	{"server is killed mid-request", serverEndsMidRequest("Kill")},
	{"server is killed mid-call", serverEndsMidCall("Kill")},
	{"server is killed mid-response", serverEndsMidResponse("Kill")},
	{"client closes mid-call", clientCloses},
	{"client ends before a request", clientEnds("before a request")},
	{"client ends mid-request", clientEnds("mid-request")},
	{"client ends mid-call", clientEnds("mid-call")},
	{"client ends mid-response", clientEnds("mid-response")},

	{"requests cut", requestsCut},
	{"odd frames", oddFrames},
	{"other frames on even ids", otherOnEven},
	{"ids that do not rise", idsDoNotRise},
	{"id of a running call", idActive},
	{"data on a running call", dataOnCall},
	{"data on an idle id", dataOnIdle},
	{"request frame over the limit", requestFrameOver},
	{"data frame over the limit", dataFrameOver},
	{"no frame", noFrame},
	{"answers cut", answersCut},
	{"answer and then the end", answerThenEnd},
}
