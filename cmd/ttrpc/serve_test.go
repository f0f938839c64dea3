// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
)

// TestServePort has the system choose a port, which is told, and interrupts the server while a
// call hangs.
func TestServePort(t *testing.T) { // B155
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	addresses := make(chan string, 1)
	told := &lineWriter{func(line string) {
		_, address, _ := strings.Cut(strings.TrimSpace(line), "serving on ")
		addresses <- address
	}}
	script := strings.NewReader(`{"demo.Greeter/Greet": [{"times": 1, "answer": {}}, {"wait": "1h", "answer": {}}]}`)
	cmd := newServeCommand(&cli.Env{Stdin: script, Stdout: io.Discard, Stderr: told})
	cmd.SetArgs([]string{"tcp://127.0.0.1:0", "--proto", "testdata/proto/demo.proto", "--script", "-"})
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	conn, err := ttrpc.DialAddress(ctx, <-addresses)
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	call := func() error {
		return client.Call(t.Context(), "demo.Greeter", "Greet", wrapperspb.String("Ada"), new(wrapperspb.StringValue))
	}
	if err := call(); err != nil {
		t.Errorf("B155: a call: %v", err)
	}
	hung := make(chan error, 1)
	go func() { hung <- call() }()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("B155: the server ends with %v", err)
	}
	if err := <-hung; err == nil {
		t.Error("B155: a call that hung was answered")
	}
}
