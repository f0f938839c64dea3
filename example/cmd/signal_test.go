// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example"
)

func TestHalvesApart(t *testing.T) {
	server, address := startServer(t)

	client := program("client", address)
	stdout, err := client.Output()
	if err != nil {
		t.Fatalf("the client: %v", err)
	}
	if _, others := split(string(stdout)); others != wantSteps {
		t.Errorf("the client printed:\n%s\nwant:\n%s", others, wantSteps)
	}
	called := server.await(t, "Measure called by the gardener")
	if pid := fmt.Sprintf("pid %d,", client.ProcessState.Pid()); runtime.GOOS == "linux" && !strings.Contains(called, pid) {
		t.Errorf("B30: the server printed %q, want %s", called, pid)
	}

	stdout, err = program("client", address, "record", "measure").Output()
	if err != nil {
		t.Fatalf("the client: %v", err)
	}
	record, measure := strings.Index(string(stdout), "\nrecord:"), strings.Index(string(stdout), "\nmeasure:")
	if n := strings.Count(string(stdout), "client: calling"); n != 2 || record < 0 || measure < record {
		t.Errorf("the client was told to take the steps record and measure, and printed:\n%s", stdout)
	}

	server.interrupt(t)
	server.await(t, "server: drained")
	if code := server.wait(); code != 0 {
		t.Errorf("the server exits with %d, want 0", code)
	}
}

func TestInterruptDrains(t *testing.T) {
	server, address := startServer(t)
	stream := regulateStream(t, address)

	server.interrupt(t)
	server.await(t, "server: draining")
	exchange(t, stream)
	if err := stream.CloseSend(); err != nil {
		t.Fatalf("B25: CloseSend while the server drains: %v", err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("B25: the stream ended with %v, want EOF", err)
	}
	server.await(t, "server: drained")
	if code := server.wait(); code != 0 || server.stderr.Len() > 0 {
		t.Errorf("the server exits with %d, want 0; on standard error: %s", code, server.stderr.String())
	}
}

func TestSecondInterruptCloses(t *testing.T) {
	server, address := startServer(t)
	stream := regulateStream(t, address)

	server.interrupt(t)
	server.await(t, "server: draining")
	server.interrupt(t)
	if _, err := stream.Recv(); err != ttrpc.ErrClosed {
		t.Errorf("B1: the stream ended with %v, want %v", err, ttrpc.ErrClosed)
	}
	if code := server.wait(); code != 1 || !strings.Contains(server.stderr.String(), "calls in flight were ended") {
		t.Errorf("the server exits with %d, want 1; on standard error: %s", code, server.stderr.String())
	}
}

func (p *process) interrupt(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
}

// regulateStream returns a stream that the server is busy with.
func regulateStream(t *testing.T, address string) example.Greenhouse_RegulateClient {
	t.Helper()
	conn, err := net.Dial("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	t.Cleanup(func() { client.Close() })
	stream, err := example.NewGreenhouseClient(client).Regulate(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, stream)
	return stream
}

func exchange(t *testing.T, stream example.Greenhouse_RegulateClient) {
	t.Helper()
	if err := stream.Send(&example.Reading{Degrees: 10}); err != nil {
		t.Fatal(err)
	}
	command, err := stream.Recv()
	if err != nil || command.Action != example.Command_HEAT {
		t.Fatalf("at 10 °C: %v, %v, want to heat", command, err)
	}
}
