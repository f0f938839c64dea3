// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"bytes"
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/internal/wire"
)

// TestCancelWithDetails holds that what a cancel says costs what it is worth: a code, and a
// bounded text. 32,000 empty details take up 45 times as much as was sent.
func TestCancelWithDetails(t *testing.T) {
	onExtendedServer(t, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		p.request(3, 0, "Wait", nil)
		ctx := <-ts.contexts
		p.send(3, messageTypeCancel, 0, append([]byte("\x08\x0a\x12\x03why"), bytes.Repeat([]byte{0x1a, 0}, 32_000)...))
		p.wantStatus("B47", 3, codes.Aborted, "why")
		cause := status.Convert(context.Cause(ctx))
		if cause.Code() != codes.Aborted || cause.Message() != "why" || len(cause.Proto().Details) != 0 {
			t.Errorf("B47: the cause is %v", cause)
		}
		ts.answers <- nil
		p.request(5, 0, "Wait", nil)
		ctx = <-ts.contexts
		p.send(5, messageTypeCancel, 0, append([]byte("\x08\x0a\x12\x80\xe0\x03"), make([]byte, 0xf000)...))
		if f := p.next("B47"); len(f.data) > 2*wire.MaxReason || len(status.Convert(context.Cause(ctx)).Message()) > wire.MaxReason {
			t.Errorf("B47: a text of 60 KiB comes back in %d bytes", len(f.data))
		}
		ts.answers <- nil
	})
}
