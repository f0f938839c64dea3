// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

// In a process with these in its environment the test binary is a peer.
const (
	peerRole    = "TTRPC_INTEGRATION_PEER"
	peerAddress = "TTRPC_INTEGRATION_ADDRESS"
)

// peers are what such a process does. It prints a line when its peer is at
// the point that the test waits for.
var peers = map[string]func(address string){
	"hanging server":   hangingServer,
	"panicking server": panickingServer,
	"calling client":   callingClient,
}

func hangingServer(address string) {
	runServer(address, service{echo: func(ctx context.Context, _ *streaming.EchoPayload) (*streaming.EchoPayload, error) {
		fmt.Println("called")
		<-ctx.Done()
		return nil, ctx.Err()
	}})
}

func panickingServer(address string) {
	runServer(address, service{echo: func(context.Context, *streaming.EchoPayload) (*streaming.EchoPayload, error) {
		panic("a handler's fault")
	}})
}

func runServer(address string, svc streaming.StreamingService) {
	s, err := ttrpc.NewServer()
	if err != nil {
		panic(err)
	}
	streaming.RegisterStreamingService(s, svc)
	l, err := net.Listen("unix", address)
	if err != nil {
		panic(err)
	}
	fmt.Println("listening")
	panic(s.Serve(context.Background(), l))
}

func callingClient(address string) {
	conn, err := net.Dial("unix", address)
	if err != nil {
		panic(err)
	}
	_, err = streaming.NewStreamingClient(ttrpc.NewClient(conn)).Echo(context.Background(), new(streaming.EchoPayload))
	panic(err)
}

// A process is a peer that runs.
type process struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr bytes.Buffer
}

func startProcess(t *testing.T, role, address string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), peerRole+"="+role, peerAddress+"="+address)
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewReader(stdout)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// kill ends the process without giving it a chance, with SIGKILL on Unix.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

func (p *process) await(t *testing.T, want string) {
	t.Helper()
	if line, err := p.stdout.ReadString('\n'); line != want+"\n" {
		p.kill()
		t.Fatalf("the process printed %q, want %q: %v, and on standard error: %s", line, want, err, p.stderr.String())
	}
}

// connectTo returns a client of the server that the process is.
func (p *process) connectTo(t *testing.T, address string, opts ...ttrpc.ClientOpts) *client {
	t.Helper()
	p.await(t, "listening")
	conn, err := net.Dial("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn, opts...)
}

func TestKilledServer(t *testing.T) {
	address := socketPath(t)
	p := startProcess(t, "hanging server", address)
	closed := make(chan struct{}, 2)
	c := p.connectTo(t, address, ttrpc.WithOnClose(func() { closed <- struct{}{} }))
	done := c.echoing(context.Background())
	stream, err := c.EchoStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(new(streaming.EchoPayload)); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	p.await(t, "called")
	p.kill()
	if err := <-done; err != ttrpc.ErrClosed {
		t.Errorf("B5: Echo when the peer is killed: %v, want %v", err, ttrpc.ErrClosed)
	}
	if _, err := stream.Recv(); err != ttrpc.ErrClosed {
		t.Errorf("B5: Recv when the peer is killed: %v, want %v", err, ttrpc.ErrClosed)
	}
	<-closed
	if cause := c.raw.Cause(); cause == nil || cause == ttrpc.ErrClosed {
		t.Errorf("B1: the cause is %v, want what the socket said", cause)
	}
	if err := <-c.echoing(context.Background()); err != ttrpc.ErrClosed {
		t.Errorf("B1: Echo after that: %v, want %v", err, ttrpc.ErrClosed)
	}
	if len(closed) > 0 {
		t.Error("B12: OnClose's function ran twice")
	}
}

func TestKilledClient(t *testing.T) {
	g := newGate()
	s := start(t, service{echo: g.echo})
	p := startProcess(t, "calling client", s.address)
	ctx := <-g.entered
	p.kill()
	<-ctx.Done()
	if err := ctx.Err(); err != context.Canceled {
		t.Errorf("B26: the handler's context ended with %v, want %v", err, context.Canceled)
	}
	close(g.release)
	s.connect(t).mustStream(t, "B26")
	if err := s.Shutdown(context.Background()); err != nil {
		t.Errorf("B25: Shutdown: %v", err)
	}
}

// TestPanic: without the option a handler's panic is the program's.
func TestPanic(t *testing.T) {
	address := socketPath(t)
	p := startProcess(t, "panicking server", address)
	c := p.connectTo(t, address)
	if err := <-c.echoing(context.Background()); err == nil {
		t.Error("B31: the call whose handler panics succeeds")
	}
	io.Copy(io.Discard, p.stdout)
	p.cmd.Wait()
	if err := <-c.echoing(context.Background()); err != ttrpc.ErrClosed {
		t.Errorf("B31: Echo after the process has ended: %v, want %v", err, ttrpc.ErrClosed)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(p.stderr.String(), "panic: a handler's fault") {
		t.Errorf("B31: the process ended with %d, and on standard error: %s", code, p.stderr.String())
	}
}
