// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/containerd/ttrpc"
)

var _ ttrpc.Logger = (*slog.Logger)(nil)

// A testLog is a ttrpc.Logger whose lines can be waited for.
type testLog chan string

func newLog() testLog { return make(testLog, 100) }

func (l testLog) log(level, msg string, args []any) {
	select {
	case l <- level + ": " + msg + " " + fmt.Sprint(args...):
	default: // the test does not look at that many
	}
}

func (l testLog) Debug(msg string, args ...any) { l.log("debug", msg, args) }
func (l testLog) Info(msg string, args ...any)  { l.log("info", msg, args) }
func (l testLog) Warn(msg string, args ...any)  { l.log("warn", msg, args) }
func (l testLog) Error(msg string, args ...any) { l.log("error", msg, args) }

// await returns the next line of a level.
func (l testLog) await(t *testing.T, level string) string {
	t.Helper()
	for line := range l {
		if strings.HasPrefix(line, level+": ") {
			return line
		}
	}
	return ""
}

// noErrors checks what was logged up to now.
func (l testLog) noErrors(t *testing.T, rule string) {
	t.Helper()
	for {
		select {
		case line := <-l:
			if strings.HasPrefix(line, "error: ") {
				t.Errorf("%s: logged %q", rule, line)
			}
		default:
			return
		}
	}
}
