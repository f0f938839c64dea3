// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package program lets the tests of a command run it in processes of its own. These
// run the binary of the tests, which so is the command as well.
package program

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/internal/leak"
)

// asProgram is set in the environment of processes that are to be the command
// and not its tests.
const asProgram = "TTRPC_TEST_AS_PROGRAM"

// Main runs the tests of m, and looks for what they leave behind, or the command whose
// main function is given. It exits.
//
//	func TestMain(m *testing.M) { program.Main(m, main) }
func Main(m *testing.M, main func()) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(leak.Check(m))
}

// A Process is a command that runs.
type Process struct {
	cmd    *exec.Cmd
	output io.Closer
	lines  *bufio.Scanner
	stderr bytes.Buffer
	seen   strings.Builder
}

// Start runs the command with arguments. It is killed when the test ends, if it still
// runs.
func Start(t testing.TB, args ...string) *Process {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{cmd: exec.Command(os.Args[0], args...), output: r, lines: bufio.NewScanner(r)}
	p.cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0") // a second by default
	p.cmd.Stdout, p.cmd.Stderr = w, &p.stderr
	err = p.cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill()
			p.Wait()
		}
	})
	return p
}

// Await waits until the process prints a line that contains text.
func (p *Process) Await(t testing.TB, text string) {
	t.Helper()
	for p.next() {
		if strings.Contains(p.lines.Text(), text) {
			return
		}
	}
	code := p.Wait()
	t.Fatalf("%q has ended with %d and has not printed %q, but:\n%s%s", p.cmd.Args[1:], code, text, p.Stdout(), p.Stderr())
}

// next reads a line.
func (p *Process) next() bool {
	ok := p.lines.Scan()
	if ok {
		p.seen.WriteString(p.lines.Text() + "\n")
	}
	return ok
}

// Signal sends a signal.
func (p *Process) Signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// PID returns the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Wait waits until the process and all that it has started have ended, and returns what
// it has exited with, -1 if a signal has ended it.
func (p *Process) Wait() (code int) {
	for p.next() {
		// Who prints must not be left waiting.
	}
	p.output.Close()
	p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// Stdout returns what the process has printed, as far as Await and Wait have read it.
func (p *Process) Stdout() string { return p.seen.String() }

// Stderr returns what the process has printed on standard error, once Wait has returned.
func (p *Process) Stderr() string { return p.stderr.String() }
