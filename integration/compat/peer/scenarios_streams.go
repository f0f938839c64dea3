// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !v1.0 && !v1.1

package main

import "github.com/containerd/ttrpc"

var streamErrors = []identity{
	{"ttrpc.ErrProtocol", ttrpc.ErrProtocol},
	{"ttrpc.ErrStreamClosed", ttrpc.ErrStreamClosed},
}

var streamScenarios = []scenario{
	{"stream errors", fail("ttrpc.ErrProtocol", "ttrpc.ErrStreamClosed")},

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
	{"bidi that the server ends", serverEndsStream},
	{"bidi that fails midway", bidiFails},
	{"bidi empty and nil messages", bidiEmpty},
	{"bidi with a first message", bidiFirst},
	{"bidi context", bidiContext},
	{"bidi cancel", bidiCancel},
	{"bidi whose deadline passes", bidiDeadline},
	{"stream that failed is received again", streamErrorTwice},
	{"stream misused", misuse},
	{"stream unimplemented", streamUnimplemented},
	{"stream called as unary and back", crossed},
	{"three clients", threeClients},
	{"server closes mid-stream", serverEndsMidStream("Close")},
	{"server closes after half-close", serverEndsAfterHalfClose("Close")},
	{"server is killed mid-stream", serverEndsMidStream("Kill")},
	{"server is killed after half-close", serverEndsAfterHalfClose("Kill")},
	{"client closes mid-stream", clientClosesStream},
	{"client ends mid-stream", clientEnds("mid-stream")},
	{"client ends after half-close", clientEnds("after half-close")},

	{"stream frames", streamFrames},
	{"stream closed by its request", closedByRequest},
	{"stream closed by a message", messageThatCloses},
	{"id of a running stream", idOfStream},
	{"data after half-close", dataAfterClose},
	{"data after half-close while handled", dataAfterCloseHandled},
	{"stream frame over the limit", streamFrameOver},
	{"stream answers cut", streamAnswersCut},
}

// anyServer are the scenarios with streams for servers that may know none.
var anyServer = []scenario{
	{"streams of a server that may have none", streamsOfAny},
}
