// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// TestErrorsToHandlers holds which statuses ttrpc's errors are to handlers, and that they are
// still found.
func TestErrorsToHandlers(t *testing.T) {
	for _, c := range []struct {
		err  error
		want codes.Code
	}{
		{context.Canceled, codes.Canceled},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{fmt.Errorf("wrapped: %w", context.Canceled), codes.Canceled},
		{ttrpc.ErrClosed, codes.Unavailable},
		{ttrpc.ErrStreamFull, codes.ResourceExhausted},
		{ttrpc.OversizedMessageError(10 << 20), codes.ResourceExhausted},
		{ttrpc.ErrNoResponseMetadata, codes.Unimplemented},
		{fmt.Errorf("%w: the peer takes none", ttrpc.ErrNoFiles), codes.FailedPrecondition},
		{fmt.Errorf("%w: data", ttrpc.ErrProtocol), codes.Internal},
		{errors.New("anything"), codes.Internal},
		{status.Error(codes.NotFound, "status"), codes.NotFound},
	} {
		got := failure(nil, c.err)
		st, ok := status.FromError(got)
		if !ok || st.Code() != c.want {
			t.Errorf("B123: %v is %v, not %v", c.err, got, c.want)
		}
		if isContext := c.want == codes.Canceled || c.want == codes.DeadlineExceeded; !isContext && !errors.Is(got, c.err) {
			t.Errorf("B123: %v is not found in %v", c.err, got)
		}
	}
}
