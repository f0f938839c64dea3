// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/integration/compat/report"
)

// releases are the versions that are tested, each with a mod file in released.
var releases = []string{"v1.2.10"}

// ours is what this library is called among the versions.
const ours = "ours"

// peerDir holds the peers that TestMain has built, by version.
var peerDir string

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "compat")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	peerDir = dir
	if err := buildPeer(ours, buildFlags...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, version := range releases {
		if err := buildPeer(version, "-modfile="+modFile(version)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

func modFile(version string) string { return filepath.Join("released", version+".mod") }

func peerPath(version string) string { return filepath.Join(peerDir, version) }

func buildPeer(version string, flags ...string) error {
	args := append([]string{"build", "-o", peerPath(version)}, flags...)
	build := exec.Command("go", append(args, "./peer")...)
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the peer of %s: %v\n%s", version, err, out)
	}
	return nil
}

// TestPairs runs every scenario with every pairing of this library and a release.
func TestPairs(t *testing.T) {
	names := scenarioNames(t)
	sockets := t.TempDir()
	for _, release := range releases {
		for i, name := range names {
			socket := filepath.Join(sockets, fmt.Sprintf("%s-%d", release, i))
			t.Run(release+"/"+name, func(t *testing.T) {
				t.Parallel()
				testScenario(t, release, name, socket)
			})
		}
	}
}

// TestLists sees to it that what is listed is about scenarios that exist.
func TestLists(t *testing.T) {
	names := scenarioNames(t)
	for _, d := range differences {
		if !slices.Contains(names, d.scenario) {
			t.Errorf("%s: there is no scenario %q", d.rule, d.scenario)
		}
	}
	for _, h := range hangs {
		if !slices.Contains(names, h.scenario) {
			t.Errorf("%s: there is no scenario %q", h.rule, h.scenario)
		}
	}
}

func scenarioNames(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command(peerPath(ours), "list").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// testScenario runs all pairs, that of the release with itself first.
func testScenario(t *testing.T, release, scenario, socket string) {
	var baseline []report.Step
	var hanging where
	for _, h := range hangs {
		if h.scenario == scenario {
			baseline, hanging = h.want, h.where
		}
	}
	for i, p := range []pair{{release, release}, {release, ours}, {ours, release}, {ours, ours}} {
		if hanging&p.where() != 0 {
			continue
		}
		got, err := runPair(p, scenario, fmt.Sprintf("%s-%d", socket, i))
		if err != nil {
			t.Errorf("%v: %v", p, err)
			continue
		}
		if baseline == nil {
			baseline = got.Steps
			t.Logf("%s:%s", release, format(baseline))
		}
		check(t, p, scenario, baseline, got.Steps)
	}
}
