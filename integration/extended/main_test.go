// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package extended tests the extended mode against a second process, over unix
// sockets. The test binary starts itself again for that: see peer_test.go for the
// process, and station_test.go for the service that both ends have.
package extended

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/ttrpc/internal/leak"
)

// In a process with these in its environment the test binary is a peer.
const (
	envRole    = "TTRPC_EXTENDED_ROLE"
	envKind    = "TTRPC_EXTENDED_KIND"
	envAddress = "TTRPC_EXTENDED_ADDRESS"
)

func TestMain(m *testing.M) {
	switch role(os.Getenv(envRole)) {
	case accepts:
		runServer(kinds[os.Getenv(envKind)], os.Getenv(envAddress))
	case dials:
		runClient(kinds[os.Getenv(envKind)], os.Getenv(envAddress))
	case lists:
		listFiles()
	case notes:
		runLedger(os.Getenv(envAddress))
	default:
		os.Exit(leak.Check(m))
	}
	os.Exit(0)
}

// A role is what a process that a test starts does.
type role string

const (
	accepts role = "accepts" // it is the server
	dials   role = "dials"   // it is the client, and offers services
	lists   role = "lists"   // it prints which files it has
	notes   role = "notes"   // it is a server that is restarted, and notes which calls ran
)

// A process is a peer that runs. It reads commands from its standard input, and ends
// when that does.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan string // what it prints; closed at the end
	stderr bytes.Buffer
}

func command(r role, kind, address string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envRole+"="+string(r), envKind+"="+kind, envAddress+"="+address)
	return cmd
}

func startProcess(t *testing.T, r role, kind, address string) *process {
	t.Helper()
	p := &process{cmd: command(r, kind, address), lines: make(chan string, 1024)}
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(p.kill)
	return p
}

// kill ends the process without giving it a chance.
func (p *process) kill() {
	p.cmd.Process.Kill()
	for range p.lines {
	}
	p.cmd.Wait()
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// tell gives the process a command.
func (p *process) tell(t *testing.T, command string) {
	t.Helper()
	if _, err := io.WriteString(p.stdin, command+"\n"); err != nil {
		t.Fatal(err)
	}
}

// await waits for a line that the process prints.
func (p *process) await(t *testing.T, want string) {
	t.Helper()
	if line, ok := <-p.lines; !ok || line != want {
		p.kill()
		t.Fatalf("the process printed %q, want %q; and on standard error: %s", line, want, p.stderr.String())
	}
}

// stop has the process stand still, until resume.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await(t, "the process to stop", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid()))
		return err == nil && strings.HasPrefix(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " T ")
	})
}

func (p *process) resume(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// await waits for what the kernel does not tell of by itself.
func await(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s for %v", what, patience)
		}
	}
}

// patience bounds waits that end early unless something is wrong.
const patience = time.Minute

// memory returns a number of /proc/PID/status in bytes: VmRSS is what the process
// holds, VmHWM the most that it has held.
func memory(t *testing.T, pid int, what string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), what+":")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// A memoryWatch tells how much more a process holds than at first.
type memoryWatch struct {
	pid, before int
}

func watchMemory(t *testing.T, pid int) memoryWatch {
	t.Helper()
	if pid == os.Getpid() {
		debug.FreeOSMemory() // large messages have left room for much garbage
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil { // forgets VmHWM
		t.Fatal(err)
	}
	return memoryWatch{pid, memory(t, pid, "VmRSS")}
}

// mustStayBelow fails the test if the process has held that much more at any time.
func (w memoryWatch) mustStayBelow(t *testing.T, rule string, limit int) {
	t.Helper()
	grown := memory(t, w.pid, "VmHWM") - w.before
	t.Logf("process %d: %d KiB more than before", w.pid, grown>>10)
	if grown > limit {
		t.Errorf("%s: process %d has taken %d MiB more, and %d are allowed", rule, w.pid, grown>>20, limit>>20)
	}
}

// socketPath returns a path for a socket: that of a test's own directory may be too
// long for one.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	nc, err := net.Dial("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	return nc
}
