// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"

	"github.com/containerd/ttrpc/integration/compat/report"
)

// Releases by what they have.
var (
	before12   = []string{"v1.0.1", "v1.1.0"} // no streams
	before1210 = []string{"v1.0.1", "v1.1.0", "v1.2.2"}
	v12        = []string{"v1.2.2", "v1.2.10"}
)

// The sets of pairs that are needed more than once.
var (
	ourClient   = where{clients: []string{ours}}
	ourServer   = where{servers: []string{ours}}
	theirClient = where{clients: versions()[1:]}
	theirServer = where{servers: versions()[1:]}
)

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
	step.Details = []string{
		`type.googleapis.com/google.protobuf.StringValue "\n\x03pid"`,
		`type.googleapis.com/google.protobuf.Int64Value "\b*"`,
	}
	return step
}

func tooLarge(length int) string {
	return fmt.Sprintf("message length %d exceed maximum message size of 4194304", length)
}

func tooLargeStatus(length int) string {
	return "rpc error: code = ResourceExhausted desc = " + tooLarge(length)
}

// What releases say of the end within a frame.
const (
	withinHeader = "unexpected EOF"
	withinData   = "failed reading message: unexpected EOF"
)

func cutOff(name, text string) report.Step { return report.Step{Name: name, Error: text} }

// cutAnswers are what v1.2 makes of answers that are cut.
func cutAnswers() (list steps) {
	for n, text := range map[int]string{1: withinHeader, 9: withinHeader, 11: withinData, 14: withinData} {
		name := fmt.Sprintf("after %d bytes", n)
		list = append(list, isClosed(name), cutOff(name, text))
		name += ", again"
		list = append(list, isClosed(name), cutOff(name, text))
	}
	return list
}

// cutStreams are what v1.2 makes of messages that are cut. It may also lose the
// message before.
func cutStreams() (list steps) {
	for n, text := range map[int]string{0: "", 1: withinHeader, 9: withinHeader, 10: withinData, 11: withinData, 14: withinData, 15: ""} {
		first, then := fmt.Sprintf("%d bytes, first", n), fmt.Sprintf("%d bytes, then", n)
		lost := isClosed(first)
		lost.Value = "[]"
		list = append(list, saw(first, `["one"]`), lost)
		if text != "" {
			lost = cutOff(first, text)
			lost.Value = "[]"
			list = append(list, lost, isClosed(then), cutOff(then, text))
		}
	}
	return list
}

// refusal is a response, written by hand, that refuses a frame.
func refusal(id int, text string) string {
	return fmt.Sprintf(`type 2 on %d, flags 0: status 3 "%s", payload ""`, id, text)
}

func success(id int, payload string) string {
	return fmt.Sprintf(`type 2 on %d, flags 0: status 0 "", payload "%s"`, id, payload)
}

func named(names ...string) (list steps) {
	for _, name := range names {
		list = append(list, report.Step{Name: name})
	}
	return list
}
