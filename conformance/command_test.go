// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/conformance/internal/report"
	"github.com/containerd/ttrpc/conformance/internal/runner"
	"github.com/containerd/ttrpc/conformance/internal/vector"
)

// command runs the command.
func command(t *testing.T, args ...string) (stdout string, failed bool, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	failed, err = run(args, &out, &errOut)
	return out.String(), failed, err
}

// TestMistakes holds that a mistake of who calls the command is an error that tells what is wrong
// (B189).
func TestMistakes(t *testing.T) {
	known := filepath.Join(t.TempDir(), "known")
	for _, test := range []struct {
		args  string
		known string // what is in the file of known failures
		want  string
	}{
		{"", "", "say who is to be driven: --server ADDRESS, --start COMMAND or --client COMMAND"},
		{"--server x --client y", "", "exclude each other"},
		{"--server unix:/no/such/socket", "", "is it running, and is the address as it has printed it?"},
		{"--start /no/such/program", "", "no such file"},
		{"--client no-such-program", "", "executable file not found in $PATH"},
		{"--server x rest", "", `"rest" is not expected`},
		{"--list --level unary", "", `there is no level "unary"; there are classic-unary, `},
		{"--list --run [", "", "--run: "},
		{"--list --run no-such-case", "", "no case is left by --level and --run; --list shows all"},
		{"--client x --jobs 0", "", "at least one case is played at once"},
		{"--client x --timeout 0s", "", "it has to be longer"},
		{"--client x --known /no/such/file", "", "no such file"},
		{"--client x --known " + known, "no/such/case # why", "there is no case no/such/case"},
		{"--client x --known " + known, "ping/server/answered", "say after # why"},
		{"--client x --known " + known, "ping/server/answered # a\nping/server/answered # b", "known:2: ping/server/answered stands in the file before"},
	} {
		if err := os.WriteFile(known, []byte(test.known), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := command(t, strings.Fields(test.args)...)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("B189: %s: %v, want %s", test.args, err, test.want)
		}
	}
}

// TestList lists cases, all and some (B189).
func TestList(t *testing.T) {
	out, _, err := command(t, "--list", "--level", "ping,goodbye", "--run", "client/(answered|raised)$")
	if lines := strings.Split(out, "\n"); err != nil || len(lines) != 3 || !strings.HasPrefix(lines[0], "ping/client/answered") {
		t.Errorf("B189: %v\n%s", err, out)
	}
}

// TestPrograms holds that a program under test that does not do its part fails cases, and says why
// (B189).
func TestPrograms(t *testing.T) {
	for _, test := range []struct{ flag, program, want string }{
		{"--start", "echo y", `at "y", the address that "echo y" has printed`},
		{"--start", "false", "the program under test has ended: exit status 1"},
		{"--client", "false", "the program under test has ended: exit status 1"},
		{"--client", "cat", "the client has not connected in time"},
		{"--client", "echo y", `"y"`},
	} {
		out, failed, err := command(t, test.flag, test.program, "--run", "classic-unary/.*/echo", "--timeout", "200ms")
		if err != nil || !failed || !strings.Contains(out, test.want) {
			t.Errorf("B189: %s %s: %v, %v, want %s\n%s", test.flag, test.program, failed, err, test.want, out)
		}
	}
}

// verdicts are one of each outcome.
func verdicts() *report.Report {
	wrong := errors.New("it says <nothing> & \"ends\"\nat once")
	one := func(name, force, skipped string, err error) runner.Verdict {
		c := &vector.Case{Name: "ping/server/" + name, Level: "ping", Peer: "server", Rule: "#pings", Force: force}
		return runner.Verdict{Case: c, Skipped: skipped, Err: err}
	}
	return &report.Report{
		Peer:  "mine",
		Known: report.Known{"ping/server/known": "it is old", "ping/server/mended": "it is old"},
		Verdicts: []runner.Verdict{
			one("passed", "must", "", nil), one("skipped", "must", "no # pings", nil), one("may", "may", "", wrong),
			one("known", "must", "", wrong), one("failed", "must", "", wrong), one("mended", "must", "", nil),
		},
	}
}

// TestFailed holds which outcomes fail a run: a case that must pass, and one that was known to
// fail and passes (B189).
func TestFailed(t *testing.T) {
	all := verdicts()
	for i, v := range all.Verdicts {
		one := report.Report{Known: all.Known, Verdicts: []runner.Verdict{v}}
		if got, want := one.Failed(), i >= 4; got != want {
			t.Errorf("B189: %s: fails is %v", v.Case.Name, got)
		}
	}
}

const tap = `TAP version 13
1..6
ok 1 - ping/server/passed
ok 2 - ping/server/skipped # SKIP no # pings
not ok 3 - ping/server/may # TODO may: it says <nothing> & "ends" at once
not ok 4 - ping/server/known # TODO known: it is old: it says <nothing> & "ends" at once
not ok 5 - ping/server/failed
  ---
  message: "it says <nothing> & \"ends\"\nat once"
  rule: "#pings"
  ...
not ok 6 - ping/server/mended
  ---
  message: "it passes, and is known to fail: take it out of the file of known failures"
  rule: "#pings"
  ...
`

// TestFormats compares reports with what they should be (B189).
func TestFormats(t *testing.T) {
	var out strings.Builder
	if verdicts().TAP(&out); out.String() != tap {
		t.Errorf("B189: TAP:\n%s\nwant\n%s", &out, tap)
	}
	out.Reset()
	if err := verdicts().JUnit(&out); err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Suites []struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Skipped  int    `xml:"skipped,attr"`
			Cases    []struct {
				Failure *struct {
					Message string `xml:"message,attr"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(out.String()), &parsed); err != nil {
		t.Fatalf("B189: JUnit: %v\n%s", err, &out)
	}
	s := parsed.Suites[0]
	if s.Name != "mine.ping" || s.Tests != 6 || s.Failures != 2 || s.Skipped != 3 || s.Cases[4].Failure.Message != "it says <nothing> & \"ends\"\nat once" {
		t.Errorf("B189: JUnit:\n%s", &out)
	}
	const row = "| ping | 2/4, and not 1 that it may |"
	if got := report.Table([]*report.Report{verdicts()}); !strings.Contains(got, row) {
		t.Errorf("B189: the table has no row %s:\n%s", row, got)
	}
	out.Reset()
	const counts = "1 passed, 2 failed, 1 do what they may, 1 known failures, 1 skipped\n"
	if verdicts().Text(&out); !strings.HasSuffix(out.String(), counts) || !strings.Contains(out.String(), "FAIL ping/server/failed (#pings)") {
		t.Errorf("B189: as text:\n%s", &out)
	}
}

// TestFiles writes all reports of a run (B189).
func TestFiles(t *testing.T) {
	server, _ := peers[0].need(t)
	dir := t.TempDir()
	junit, table := filepath.Join(dir, "junit.xml"), filepath.Join(dir, "table.md")
	out, failed, err := command(t, "--start", server, "--level", "ping", "--name", "mine", "--tap", "-", "--junit", junit, "--markdown", table)
	if err != nil || failed || !strings.HasPrefix(out, "TAP version 13\n1..7\nok 1 - ping/server/answered\n") {
		t.Errorf("B189: %v, %v\n%s", failed, err, out)
	}
	for path, want := range map[string]string{junit: `<testsuite name="mine.ping" tests="7" failures="0" skipped="0">`, table: "| ping | 7/7 |"} {
		if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("B189: %v, want %s in\n%s", err, want, text)
		}
	}
}
