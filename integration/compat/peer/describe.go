// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/compat/report"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// identities are the errors that callers compare with.
var identities = slices.Concat(unaryErrors, streamErrors, newErrors)

// An identity is an error by its name.
type identity struct {
	name string
	err  error
}

var unaryErrors = []identity{
	{"ttrpc.ErrClosed", ttrpc.ErrClosed},
	{"ttrpc.ErrServerClosed", ttrpc.ErrServerClosed},
	{"context.Canceled", context.Canceled},
	{"context.DeadlineExceeded", context.DeadlineExceeded},
	{"io.EOF", io.EOF},
}

// describe makes a step of an error.
func describe(name string, err error) report.Step {
	step := report.Step{Name: name}
	if err == nil {
		return step
	}
	// protobuf writes either a space or one that does not break, by the build.
	step.Error = strings.ReplaceAll(err.Error(), "\u00a0", " ")
	for _, id := range identities {
		switch {
		case err == id.err:
			step.Is = append(step.Is, id.name)
		case errors.Is(err, id.err):
			step.Is = append(step.Is, "wraps "+id.name)
		}
	}
	step.Is = append(step.Is, lengths(err)...)
	if st, ok := status.FromError(err); ok && st.Code() != codes.OK {
		step.Code = st.Code().String()
		for _, detail := range st.Proto().Details {
			step.Details = append(step.Details, fmt.Sprintf("%s %q", detail.TypeUrl, detail.Value))
		}
	}
	return step
}

// pattern returns n bytes that are valid UTF-8 and no two stretches of which are
// the same.
func pattern(n int) []byte {
	b := make([]byte, 0, n+16)
	for i := 0; len(b) < n; i++ {
		b = append(strconv.AppendInt(b, int64(i), 10), ' ')
	}
	return b[:n]
}

func digest(b []byte) string {
	return fmt.Sprintf("%d bytes, %.6x", len(b), sha256.Sum256(b))
}

// summary describes messages, by their text if they are few.
func summary(messages []string) string {
	if len(messages) <= 4 {
		return fmt.Sprintf("%q", messages)
	}
	return fmt.Sprintf("%d messages, %s", len(messages), digest([]byte(strings.Join(messages, "\n"))))
}

func metadataOf(ctx context.Context) string {
	md, ok := ttrpc.GetMetadata(ctx)
	if !ok {
		return "no metadata"
	}
	var lines []string
	for key, values := range md {
		lines = append(lines, fmt.Sprintf("%s=%q", key, values))
	}
	slices.Sort(lines)
	return strings.Join(lines, " ")
}

// deadlineOf says whether the deadline is what callHour asks for.
func deadlineOf(ctx context.Context) string {
	deadline, ok := ctx.Deadline()
	if !ok {
		return "no deadline"
	}
	left := time.Until(deadline)
	return fmt.Sprintf("a deadline within the hour: %t", left > 0 && left <= time.Hour)
}
