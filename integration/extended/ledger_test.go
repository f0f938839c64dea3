// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/containerd/ttrpc"
)

// A ledger is the service of servers that are restarted: it notes each call that runs.
type ledger struct {
	file *os.File
	ran  atomic.Int64
	gate chan struct{}
}

const (
	heldAfter = 200 // calls that a process answers at once; the next ones
	heldCalls = 16  // have run, and are answered when the gate opens; later ones at once
)

// run notes the call, so that this is known even if the process does not live to answer.
func (l *ledger) run(_ context.Context, arg string) (string, error) {
	id := strings.TrimRight(arg, " ")
	if _, err := l.file.WriteString(id + "\n"); err != nil {
		return "", err
	}
	n := l.ran.Add(1)
	if n == heldAfter+heldCalls {
		fmt.Println("due")
	}
	if n > heldAfter && n <= heldAfter+heldCalls {
		<-l.gate
	}
	return id, nil
}

// runLedger is a server that is restarted: it says when that is due. SIGTERM has it shut
// down, for which it needs its gate to be opened.
func runLedger(address string) {
	file, err := os.OpenFile(ledgerPath(address), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		panic(err)
	}
	book := &ledger{file: file, gate: make(chan struct{})}
	srv, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		panic(err)
	}
	srv.Register(serviceName, map[string]ttrpc.Method{"Run": text(book.run)})
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	go srv.Serve(context.Background(), takeOver(address))
	go func() {
		<-terminated
		fmt.Println("shutdown:", srv.Shutdown(context.Background()))
		os.Exit(0)
	}()
	obey(map[string]func(){"open": func() { close(book.gate) }})
}

// takeOver listens on a path on which another process may still do so, and does until it
// ends: from now on it is found by nobody.
func takeOver(address string) net.Listener {
	own := fmt.Sprint(address, os.Getpid())
	l, err := net.Listen("unix", own)
	if err != nil {
		panic(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // the path may be another one's then
	if err := os.Rename(own, address); err != nil {
		panic(err)
	}
	return l
}

func ledgerPath(address string) string { return address + ".ledger" }

// readLedger returns how often each call has run in any process.
func readLedger(t *testing.T, address string) map[string]int {
	t.Helper()
	all, err := os.ReadFile(ledgerPath(address))
	if err != nil {
		t.Fatal(err)
	}
	runs := make(map[string]int)
	for _, id := range strings.Fields(string(all)) {
		runs[id]++
	}
	return runs
}
