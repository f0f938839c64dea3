// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/internal/leak"
)

// asProgram is set in the environment of processes that are to be the program
// and not its tests.
const asProgram = "TTRPC_EXAMPLE_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(leak.Check(m))
}

func program(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// runProgram returns what the program prints, and the code that it exits with.
func runProgram(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := program(args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// These differ between runs and machines.
var varying = []struct {
	pattern *regexp.Regexp
	fixed   string
}{
	{regexp.MustCompile(`(?m)listening on .*`), "listening on ADDR"},
	{regexp.MustCompile(`, pid \d+, uid \d+`), ""},
	{regexp.MustCompile(`median round trip \S+`), "median round trip TIME"},
}

// split returns the lines that the server prints when it is called, and the
// others: which of the two sides prints first is not always certain.
func split(output string) (calls, others string) {
	for _, v := range varying {
		output = v.pattern.ReplaceAllString(output, v.fixed)
	}
	for _, line := range strings.SplitAfter(output, "\n") {
		if strings.HasPrefix(line, "  server: ") {
			calls += line
		} else {
			others += line
		}
	}
	return calls, others
}

const wantCalls = `  server: /ttrpc.example.Greenhouse/Measure called by the gardener
  server: /ttrpc.example.Greenhouse/Measure called by the gardener
  server: /ttrpc.example.Greenhouse/Watch called by the gardener
  server: /ttrpc.example.Greenhouse/Record called by the gardener
  server: /ttrpc.example.Greenhouse/Regulate called by the gardener
  server: /ttrpc.example.Greenhouse/Measure called by the gardener
  server: /ttrpc.example.Greenhouse/Measure called by the gardener
`

const wantSteps = `
measure: a unary call: one message each way
  client: calling /ttrpc.example.Greenhouse/Measure
  tomatoes: 21.5 °C

metadata: the same with metadata, which asks for another unit
  client: calling /ttrpc.example.Greenhouse/Measure
  tomatoes: 70.7 °F

watch: a stream from the server
  client: calling /ttrpc.example.Greenhouse/Watch
  orchids: 24.5 °C
  orchids: 25.0 °C
  orchids: 25.5 °C
  the server ended the stream

record: a stream to the server
  client: calling /ttrpc.example.Greenhouse/Record
  3 readings, 22.0 °C on average

regulate: a stream both ways
  client: calling /ttrpc.example.Greenhouse/Regulate
  tomatoes at 15.0 °C: HEAT
  tomatoes at 22.0 °C: NOTHING
  tomatoes at 30.0 °C: AIR
  both sides ended the stream

deadline: a call that takes longer than the caller waits
  client: calling /ttrpc.example.Greenhouse/Measure
  the deadline passed after 50ms

error: a call that fails, and says why in a message
  client: calling /ttrpc.example.Greenhouse/Measure
  NotFound: there is no bed of roses
  there are beds of orchids and tomatoes

bench: the time that a call takes
  10000 calls, one after another: median round trip TIME

`

const (
	wantListening = "server: listening on ADDR\n"
	wantDrained   = "server: draining, calls in flight have 10s; interrupt again to end them now\nserver: drained\n"
)

func TestDemo(t *testing.T) {
	stdout, stderr, code := runProgram(t)
	if code != 0 || stderr != "" {
		t.Errorf("exit code %d, and on standard error %q", code, stderr)
	}
	calls, others := split(stdout)
	if want := wantListening + wantSteps + wantDrained; others != want {
		t.Errorf("printed:\n%s\nwant:\n%s", others, want)
	}
	if calls != wantCalls {
		t.Errorf("the server's interceptor printed:\n%s\nwant:\n%s", calls, wantCalls)
	}
}

func TestArguments(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, tc := range []struct {
		args string
		code int
		want string // on standard error
	}{
		{"elsewhere", 2, `"elsewhere" is neither server nor client`},
		{"server", 2, "server takes one address"},
		{"server a b", 2, "server takes one address"},
		{"client", 2, "client takes an address"},
		{"client a b", 2, `there is no step "b"`},
		{"client " + missing, 1, "no such file"},
		{"server " + filepath.Join(missing, "s"), 1, "no such file"},
	} {
		stdout, stderr, code := runProgram(t, strings.Fields(tc.args)...)
		if code != tc.code || !strings.Contains(stderr, tc.want) || stdout != "" {
			t.Errorf("%s: exit code %d, want %d; on standard error:\n%s\nwant: %s", tc.args, code, tc.code, stderr, tc.want)
		}
		if hasUsage := strings.Contains(stderr, "usage:"); hasUsage != (tc.code == 2) {
			t.Errorf("%s: exit code %d, usage printed: %v", tc.args, code, hasUsage)
		}
	}
	stdout, stderr, code := runProgram(t, "-h")
	if code != 0 || stderr != "" || !strings.Contains(stdout, "usage:") || !strings.Contains(stdout, "bench") {
		t.Errorf("-h: exit code %d, %q, and on standard error %q", code, stdout, stderr)
	}
}

// A process is a running program.
type process struct {
	cmd    *exec.Cmd
	lines  *bufio.Scanner
	stderr bytes.Buffer
}

// startServer returns when the server listens.
func startServer(t *testing.T) (server *process, address string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	address = filepath.Join(dir, "s")
	p := &process{cmd: program("server", address)}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(stdout)
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill() // if the test has not waited for it
		p.cmd.Wait()
	})
	p.await(t, "server: listening on "+address)
	return p, address
}

// await reads up to the line that contains text, and returns that.
func (p *process) await(t *testing.T, text string) string {
	t.Helper()
	for p.lines.Scan() {
		if strings.Contains(p.lines.Text(), text) {
			return p.lines.Text()
		}
	}
	p.cmd.Wait()
	t.Fatalf("the process ended without printing %q; on standard error: %s", text, p.stderr.String())
	return ""
}

// wait returns the code with which the process exits.
func (p *process) wait() int {
	for p.lines.Scan() {
		// Wait closes the pipe, so all must have been read.
	}
	p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}
