// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

var better = []difference{
	{
		rule: "B5", why: "the end within a frame is the connection's end; the release tells now and then",
		scenario: "answers cut", where: where{clients: v12},
		want: cutAnswers(),
	},
	{
		rule: "B5", why: "the end within a frame is the connection's end",
		scenario: "answers cut", where: ourClient,
		want: steps{
			isClosed("after 1 bytes"), isClosed("after 1 bytes, again"),
			isClosed("after 9 bytes"), isClosed("after 9 bytes, again"),
			isClosed("after 11 bytes"), isClosed("after 11 bytes, again"),
			isClosed("after 14 bytes"), isClosed("after 14 bytes, again"),
		},
	},
	{
		rule: "B5", why: "the end within a frame is the connection's end; the release tells now and then",
		scenario: "stream answers cut", where: where{clients: v12},
		want: cutStreams(),
	},
	{
		rule: "B5", why: "the end within a frame is the connection's end",
		scenario: "stream answers cut", where: ourClient,
		want: steps{
			isClosed("1 bytes, then"), isClosed("9 bytes, then"),
			isClosed("11 bytes, then"), isClosed("14 bytes, then"),
		},
	},
	{
		rule: "B5", why: "the end within a frame is the connection's end; the release tells now and then",
		scenario: "server is killed mid-response", where: theirClient,
		want: steps{
			isClosed("call"), cutOff("call", withinData),
			isClosed("still"), cutOff("still", withinData),
		},
	},
	{
		rule: "B5", why: "the end within a frame is the connection's end",
		scenario: "server is killed mid-response", where: ourClient,
		want: steps{isClosed("call"), isClosed("still")},
	},
	{
		rule: "B6", why: "the release drops the connection, or sends what the client refuses",
		scenario: "server stream over the limit", where: ourServer,
		want: steps{
			ended("received", `["`+tooLargeStatus(4194310)+`"]`),
			ended("received again", ""),
		},
	},
	{
		rule: "B6", why: "the release drops the connection",
		scenario: "server stream over the limit", where: where{clients: []string{ours, reference}, servers: []string{ours}},
		want: steps{saw("still", "here")},
	},
	{
		rule: "B8", why: "the release drops the connection, or crashes the client",
		scenario: "response over the limit", where: where{clients: []string{ours, "v1.0.1", "v1.1.0", reference}, servers: []string{ours}},
		want: steps{
			failed("call", "0 bytes, e3b0c44298fc", "ResourceExhausted", tooLarge(4194305)),
			saw("still", "here"),
		},
	},
	{
		rule: "B16", why: "the release sends the request, and now and then gets an answer",
		scenario: "deadline passed before", where: theirClient,
		want: steps{
			pastDeadline("passed"),
			saw("passed", "x"),
		},
	},
	{
		rule: "B16", why: "the call fails without a frame",
		scenario: "deadline passed before", where: ourClient,
		want: steps{pastDeadline("passed")},
	},
	{
		rule: "B17", why: "the release sends neither on streams",
		scenario: "bidi context", where: ourClient,
		want: steps{
			saw("metadata", `key=["value" "second"]`),
			saw("deadline", "a deadline within the hour: true"),
		},
	},
	{
		rule: "B19", why: "the release drops an answer now and then",
		scenario: "answer and then the end", where: theirClient,
		want: steps{
			saw("call", "x"),
			isClosed("call"),
		},
	},
	{
		rule: "B19", why: "the answer that arrived is delivered",
		scenario: "answer and then the end", where: ourClient,
		want: steps{saw("call", "x")},
	},
	{
		rule: "B20", why: "a server that does not stream refuses to send, as such a client does",
		scenario: "client stream sent back", where: ourServer,
		want: steps{saw("result", "protocol error: cannot send data from non-streaming server; ErrProtocol: true")},
	},
	{
		rule: "B25", why: "the release loses the only call of a connection now and then",
		scenario: "shutdown with a call in flight", where: theirServer,
		want: steps{
			isClosed("call"),
			saw("call", "held"),
		},
	},
	{
		rule: "B25", why: "the call that was received finishes",
		scenario: "shutdown with a call in flight", where: ourServer,
		want: steps{saw("call", "held")},
	},
	{
		rule: "B37", why: "any odd id that is not active is taken",
		scenario: "ids that do not rise", where: where{clients: append(v12, ours), servers: []string{ours}},
		want: steps{
			saw("call 1", success(3, `\n\x01x`)),
			saw("call 3", success(5, `\n\x01x`)),
		},
	},
	{
		rule: "B37", why: "the release refuses the second request, and now and then forgets the first with it",
		scenario: "id of a running stream", where: where{servers: []string{reference}},
		want: steps{
			saw("request", `type 2 on 1, flags 0: status 3 "StreamID cannot be re-used and must increment", payload ""; type 2 on 1, flags 0: status 3 "StreamID is no longer active", payload ""`),
			saw("request", `type 2 on 1, flags 0: status 3 "StreamID cannot be re-used and must increment", payload ""; `+success(1, `\n\x02[]`)),
		},
	},
	{
		rule: "B37", why: "the first goes on",
		scenario: "id of a running stream", where: where{clients: []string{ours, reference}, servers: []string{ours}},
		want: steps{saw("request", `type 2 on 1, flags 0: status 3 "StreamID cannot be re-used and must increment", payload ""; `+success(1, `\n\x02[]`))},
	},
	{
		rule: "B39", why: "the release refuses the message, and now and then delivers it as well",
		scenario: "stream closed by a message", where: where{servers: v12},
		want: steps{
			saw("message", `type 2 on 1, flags 0: status 3 "data close message cannot include data", payload ""`),
			saw("message", `type 2 on 1, flags 0: status 3 "data close message cannot include data", payload ""; `+success(1, `\n\a[\"one\"]`)),
		},
	},
	{
		rule: "B39", why: "the message is delivered, and there is one terminal frame",
		scenario: "stream closed by a message", where: ourServer,
		want: steps{saw("message", success(1, `\n\a[\"one\"]`))},
	},
}

// asReference are the differences from old releases that the reference has in our
// place as well. Of their steps only the names matter.
var asReference = []difference{
	{
		rule: "B6", why: "errors tell the lengths since v1.2.10",
		scenario: "request over the limit", where: where{clients: []string{ours}, servers: before1210},
		want: named("call"),
	},
	{
		rule: "B9", why: "statuses are found in what wraps them",
		scenario: "wrapped status errors", where: where{clients: before12, servers: []string{ours}},
		want: named("wrapped status", "wrapped with details", "joined status"),
	},
	{
		rule: "B9", why: "statuses are found in what wraps them",
		scenario: "interceptor", where: where{clients: before12, servers: []string{ours}},
		want: named("failure"),
	},
	{
		rule: "B10", why: "the code is Unimplemented since v1.1",
		scenario: "unimplemented", where: where{clients: []string{"v1.0.1"}, servers: []string{ours}},
		want: named("service", "method", "no names"),
	},
	{
		rule: "B10", why: "the code is Unimplemented since v1.1",
		scenario: "odd frames", where: where{clients: []string{"v1.0.1"}, servers: []string{ours}},
		want: named("request without anything"),
	},
	{
		rule: "B10", why: "the text after the colon is the message library's",
		scenario: "odd frames", where: where{clients: before12, servers: []string{ours}},
		want: named("request that does not parse"),
	},
	{
		rule: "B10", why: "gogo's messages hold strings that are not UTF-8, which others refuse",
		scenario: "odd messages", where: where{clients: before12, servers: []string{ours}},
		want: named("request that does not parse", "request that does not encode", "response that does not encode"),
	},
	{
		rule: "B10", why: "gogo's messages hold strings that are not UTF-8, which others refuse",
		scenario: "odd messages", where: where{clients: []string{ours}, servers: before12},
		want: named("request that does not parse", "response that does not parse",
			"request that does not encode", "response that does not encode"),
	},
	{
		rule: "B37", why: "an active id is refused since v1.2",
		scenario: "id of a running call", where: where{clients: before12, servers: []string{ours}},
		want: named("request"),
	},
}
