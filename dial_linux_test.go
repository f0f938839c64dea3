// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A call that is made again has its files with it.
func TestDialMakesCallsWithFilesAgain(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(WithServerExtensions(), WithServerLimits(Limits{Files: 10}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.RegisterService("test", &ServiceDesc{Methods: map[string]Method{
		"Count": func(ctx context.Context, _ func(any) error) (any, error) {
			files, err := FilesFromContext(ctx)
			if err != nil {
				return nil, err
			}
			claimed := files.Claim()
			closeFiles(claimed)
			return wrapperspb.Int64(int64(len(claimed))), nil
		},
	}})
	go s.Serve(t.Context(), l)

	c, err := Dial("unix:"+l.Addr().String(), WithExtensions(), WithClientLimits(Limits{Files: 10}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if is, err := c.Extended(t.Context()); !is || err != nil {
		t.Fatalf("B54: extended mode: %v, %v", is, err)
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	before := openFiles(t)
	ctx, files := WithFiles(t.Context())
	if err := files.Attach(file, file); err != nil {
		t.Fatal(err)
	}
	first := dialOf(c).current
	conn := first.conn
	conn.mu.Lock()
	conn.draining = true // it takes no more calls
	conn.mu.Unlock()
	var n wrapperspb.Int64Value
	if err := c.Call(ctx, "test", "Count", new(emptypb.Empty), &n); err != nil || n.Value != 2 {
		t.Errorf("B54: %d files came with the second attempt, %v", n.Value, err)
	}
	if dialOf(c).current == first {
		t.Error("there was but one attempt")
	}
	ctx, files = WithFiles(t.Context())
	if err := files.Attach(file); err != nil {
		t.Fatal(err)
	}
	if err := c.Call(ctx, "test", "Count", wrapperspb.Bytes(make([]byte, messageLengthMax)), &n); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("B6: %v", err)
	}
	if err := files.Attach(file); err != errFilesLeft {
		t.Errorf("B95: a file is attached after the call: %v", err)
	}
	first.conn.close(ErrClosed)
	wantNoMoreFiles(t, "B54", before)
}
