// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

var hangs = []hang{
	{
		rule: "B8", why: "they send what is over the limit, and end their processes when they get it",
		scenario: "response over the limit", where: where{clients: before12, servers: before1210},
	},
	{
		rule: "B18", why: "both write and neither reads, now and then",
		scenario: "64 callers", where: where{clients: []string{"v1.0.1", "v1.2.2"}, servers: before12},
	},
	{
		rule: "B25", why: "Close leaves connections with calls open",
		scenario: "server closes mid-call", where: where{servers: before12},
	},
	{
		rule: "B25", why: "Close leaves a connection open on which an answer is half written",
		scenario: "server closes mid-response", where: where{clients: before12, servers: theirServer.servers},
		want: steps{
			cutOff("call", withinData),
			saw("UserOnCloseWait", ""),
			cutOff("still", withinData),
		},
	},
	{
		rule: "B25", why: "Close leaves a connection open on which an answer is half written",
		scenario: "server closes mid-response", where: theirServer,
		want: steps{
			isClosed("call"),
			saw("UserOnCloseWait", ""),
			isClosed("still"),
		},
	},
	{
		rule: "B5", why: "half a frame and the end leave the connection open",
		scenario: "client ends mid-request", where: where{servers: before12},
	},
	{
		rule: "B5", why: "half a frame and the end leave the connection open",
		scenario: "requests cut", where: where{servers: before12},
	},
	{
		rule: "B37", why: "only requests are answered",
		scenario: "other frames on even ids", where: where{servers: before12},
	},
	{
		rule: "B38", why: "data is not answered",
		scenario: "data on an idle id", where: where{servers: before12},
	},
	{
		rule: "B38", why: "the server's process crashes",
		scenario: "data on an idle id", where: where{servers: []string{"v1.2.2"}},
	},
	{
		rule: "B38", why: "data is not answered, or the server's process crashes",
		scenario: "data on a running call", where: theirServer,
		want: steps{
			saw("data", refusal(1, "StreamID is no longer active")),
			saw("call", success(1, `\n\x04held`)),
			saw("still", "here"),
		},
	},
	{
		rule: "B7", why: "the server waits for all that is promised",
		scenario: "no frame", where: theirServer,
		want: steps{
			saw("HTTP", "EOF"),
			saw("still", "here"),
		},
	},
	{
		rule: "B21", why: "the release's client waits for ever when it receives again",
		scenario: "stream that failed is received again", where: where{clients: v12},
		want: steps{
			itIsRunning("received", `["message 0"]`),
			itIsRunning("received again", ""),
			saw("still", "here"),
		},
	},
	{
		rule: "B40", why: "the release's server waits for a second message where the client has but one",
		scenario: "server stream whose request is received twice", where: where{servers: v12},
		want: steps{
			ended("received", `["EOF"]`),
			ended("received again", ""),
		},
	},
	{
		rule: "B40", why: "an empty request is no message to the release's server, and it waits for one",
		scenario: "server stream of none", where: where{servers: []string{"v1.2.2"}},
	},
	{
		rule: "B40", why: "an empty request is no message to the release's server, and it waits for one",
		scenario: "server stream that fails at once", where: where{servers: []string{"v1.2.2"}},
	},
	{
		rule: "B40", why: "an empty request is no message to the release's server, and it waits for one",
		scenario: "server stream with a nil request", where: where{servers: []string{"v1.2.2"}},
	},
	{
		rule: "B40", why: "an empty request is no message to the release's server, and it waits for one",
		scenario: "stream called as unary and back", where: where{servers: []string{"v1.2.2"}},
	},
	{
		rule: "B40", why: "the release's server waits for more than the request",
		scenario: "stream closed by its request", where: where{servers: v12},
		want: steps{
			saw("request", success(1, `\n\a[\"one\"]`)),
			saw("still", "here"),
		},
	},
	{
		rule: "B38", why: "the server's process crashes when data comes after the end of the stream",
		scenario: "bidi that the server ends", where: where{servers: []string{"v1.2.2"}},
	},
	{
		rule: "B37", why: "the server's process crashes now and then when data comes after a request that it has refused",
		scenario: "id of a running stream", where: where{servers: []string{"v1.2.2"}},
	},
	{
		rule: "B6", why: "the client sends what is over the limit, and hangs now and then or crashes servers like it",
		scenario: "client stream over the limit", where: where{clients: []string{"v1.2.2"}},
	},
	{
		rule: "B38", why: "the stream ends for the client, but the handler runs on",
		scenario: "data after half-close while handled", where: where{servers: v12},
		want: steps{
			saw("client", refusal(1, "data handling error: ttrpc: stream closed")),
			saw("handler", "RecvMsg: EOF; context: context canceled"),
			saw("still", "here"),
		},
	},
	{
		rule: "B7", why: "the stream ends for the client, but the handler runs on",
		scenario: "stream frame over the limit", where: where{servers: v12},
		want: steps{
			saw("client", `type 2 on 1, flags 0: status 8 "`+tooLarge(4194305)+`", payload ""`),
			saw("handler", "RecvMsg: "+tooLargeStatus(4194305)+"; context: context canceled"),
			saw("still", "here"),
		},
	},
}
