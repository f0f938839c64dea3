// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcotel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc/codes"

	"github.com/containerd/ttrpc"
)

// codeNames are the names of codes as gRPC's documents write them, by number.
var codeNames = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
	"ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
	"OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// codeIndex returns the number of a code. One that gRPC does not have, which a peer can make up, is
// UNKNOWN.
func codeIndex(code codes.Code) int {
	if int(code) >= len(codeNames) {
		return int(codes.Unknown)
	}
	return int(code)
}

// outcomes are the attributes of calls that have ended, at callers and at servers, by code.
var outcomes = func() (all [2][len(codeNames)][]attribute.KeyValue) {
	for i, name := range codeNames {
		for j, served := range []bool{false, true} {
			all[j][i] = []attribute.KeyValue{keyStatusCode.String(name)}
			if isFailure(codes.Code(i), served) {
				all[j][i] = append(all[j][i], keyErrorType.String(name))
			}
		}
	}
	return all
}()

// outcome returns the attributes of a call that has ended. They must not be changed.
func outcome(code codes.Code, served bool) []attribute.KeyValue {
	if served {
		return outcomes[1][codeIndex(code)]
	}
	return outcomes[0][codeIndex(code)]
}

// isFailure tells whether a code counts as an error: at a caller all but OK, at a server
// those that are not the caller's own fault.
func isFailure(code codes.Code, served bool) bool {
	if !served {
		return code != codes.OK
	}
	switch codes.Code(codeIndex(code)) {
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
		return true
	}
	return false
}

// servedCode is the code that a caller gets of a handler's error. One that has gone, connection and
// all, has cancelled the call.
func servedCode(ctx context.Context, err error) (codes.Code, string) {
	switch {
	case err == nil:
		return codes.OK, ""
	case ctx.Err() != nil && errors.Is(err, ttrpc.ErrClosed):
		return codes.Canceled, err.Error()
	}
	st := ttrpc.StatusOf(err)
	return st.Code(), st.Message()
}
