// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"

	"github.com/containerd/ttrpc/integration/compat/report"
)

type steps = []report.Step

var hangs = []hang{
	{
		rule: "B21", why: "the release's client waits for ever when it receives again",
		scenario: "stream that failed is received again", where: theirClient,
		want: steps{
			itIsRunning("received", `["message 0"]`),
			itIsRunning("received again", ""),
			saw("still", "here"),
		},
	},
	{
		rule: "B40", why: "the release's server waits for a second message where the client has but one",
		scenario: "server stream whose request is received twice", where: theirServer,
		want: steps{
			ended("received", `["EOF"]`),
			ended("received again", ""),
		},
	},
}

var differences = []difference{
	{
		rule: "B8", why: "the release drops the connection",
		scenario: "response over the limit", where: ourServer,
		want: steps{
			failed("call", "0 bytes, e3b0c44298fc", "ResourceExhausted", tooLarge(4194305)),
			saw("still", "here"),
		},
	},
	{
		rule: "B6", why: "the release drops the connection",
		scenario: "server stream over the limit", where: ourServer,
		want: steps{
			ended("received", fmt.Sprintf(`["rpc error: code = ResourceExhausted desc = %s"]`, tooLarge(4194310))),
			ended("received again", ""),
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
}

func saw(name, value string) report.Step { return report.Step{Name: name, Value: value} }

// isClosed is a step that found the connection gone.
func isClosed(name string) report.Step {
	return report.Step{Name: name, Error: "ttrpc: closed", Is: []string{"ttrpc.ErrClosed"}}
}

// pastDeadline is a step whose context had ended.
func pastDeadline(name string) report.Step {
	return report.Step{Name: name, Error: "context deadline exceeded", Is: []string{"context.DeadlineExceeded"}}
}

// ended is a step that found the end of a stream.
func ended(name, value string) report.Step {
	return report.Step{Name: name, Value: value, Error: "EOF", Is: []string{"io.EOF"}}
}

// failed is a step that got a status.
func failed(name, value, code, message string) report.Step {
	return report.Step{Name: name, Value: value, Error: "rpc error: code = " + code + " desc = " + message, Code: code}
}

// itIsRunning is a step that got the peer's status with details.
func itIsRunning(name, value string) report.Step {
	step := failed(name, value, "FailedPrecondition", "it is running")
	step.Details = []string{`*wrapperspb.StringValue value:"pid"`, `*wrapperspb.Int64Value value:42`}
	return step
}

func tooLarge(length int) string {
	return fmt.Sprintf("message length %d exceed maximum message size of 4194304", length)
}
