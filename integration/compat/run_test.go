// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/containerd/ttrpc/integration/compat/report"
)

// processLimit is how long a pair of processes may take. It is far more than any
// needs; who reaches it hangs, and shows its goroutines.
const processLimit = 90 * time.Second

// runPair runs a scenario between two new processes, of which one may be in Rust. Its error
// holds all that they have written.
func runPair(p pair, scenario, socket string) (report.Scenario, error) {
	ctx, cancel := context.WithTimeout(context.Background(), processLimit)
	defer cancel()
	var serverLog, clientOut, clientLog bytes.Buffer

	clientProgram, serverProgram := p.programs()
	server := peer(ctx, serverProgram, &serverLog, "server", socket)
	stopServer, err := startServer(server)
	if err != nil {
		return report.Scenario{}, fmt.Errorf("server: %w\n%s", err, serverLog.Bytes())
	}
	client := peer(ctx, clientProgram, &clientLog, "client", socket, scenario)
	client.Stdout = &clientOut
	clientErr := client.Run()
	serverErr := stopServer()

	var got report.Scenario
	if clientErr == nil {
		got, clientErr = p.read(clientOut.Bytes())
	}
	if got.Killed && ctx.Err() == nil {
		serverErr = wantKilled(serverErr)
	}
	if err := errors.Join(clientErr, serverErr); err != nil {
		return got, fmt.Errorf("client: %v; server: %v\nclient wrote:\n%s%s\nserver wrote:\n%s",
			clientErr, serverErr, clientOut.Bytes(), clientLog.Bytes(), serverLog.Bytes())
	}
	return got, nil
}

// read reads what the pair's client reports.
func (p pair) read(line []byte) (got report.Scenario, err error) {
	if err := json.Unmarshal(line, &got); err != nil {
		return got, err
	}
	if got.Extended != p.agrees() {
		return got, fmt.Errorf("B46: extended %t", got.Extended)
	}
	return got, nil
}

// peer returns a process that shows its goroutines when ctx ends before it does.
func peer(ctx context.Context, version string, log *bytes.Buffer, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, peerPath(version), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = log
	return cmd
}

// startServer returns when the server listens. The function that it returns stops
// the server and waits for its end.
func startServer(server *exec.Cmd) (stop func() error, err error) {
	stdin, err := server.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, err
	}
	stop = func() error {
		stdin.Close()
		return server.Wait()
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// wantKilled returns nil if a process has ended so.
func wantKilled(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return nil
	}
	return fmt.Errorf("should have been killed, but ended with: %v", err)
}
