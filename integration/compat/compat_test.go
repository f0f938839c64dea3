// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ours is what this library is called among the versions.
const ours = "ours"

// This library with ends that are told to use the extended mode, and with servers that
// are told not to. A race in classic mode shows in the pairs with ours, so that only the
// ends which agree on the extended one are watched for races: that takes four times as
// long.
const (
	extended  = "extended"
	declining = "declining"
	agreeing  = "agreeing" // extended, when it meets its like
)

// reference is the release whose callers must not notice the change.
const reference = "v1.2.10"

// releases are the versions that are tested, each with a mod file in released. The
// tags are those of the peer, which leave out what a release lacks.
var releases = []struct{ version, tags string }{
	{"v1.0.1", "v1.0"},
	{"v1.1.0", "v1.1"},
	{"v1.2.2", "v1.2.2"},
	{reference, ""},
}

// versions are all, this library first.
func versions() []string {
	all := []string{ours}
	for _, r := range releases {
		all = append(all, r.version)
	}
	return all
}

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
	for _, b := range []struct {
		name, tags string
		flags      []string
	}{
		{ours, "", buildFlags},
		{agreeing, extended, buildFlags},
		{extended, extended, nil},
		{declining, declining, nil},
	} {
		if err := buildPeer(b.name, append(b.flags, "-tags="+b.tags)...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	for _, r := range releases {
		if err := buildPeer(r.version, "-modfile="+modFile(r.version), "-tags="+r.tags); err != nil {
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

// TestPairs runs every scenario with every pair of versions, and shows how many of
// their steps are equal.
func TestPairs(t *testing.T) {
	known := knownScenarios(t)
	sockets := t.TempDir()
	sums := newSummary()
	t.Run("scenario", func(t *testing.T) {
		for i, name := range known.names() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				x := &experiment{t, name, known, filepath.Join(sockets, strconv.Itoa(i)), map[pair]steps{}, uses{}}
				x.runAll()
				x.checkAll(sums)
				x.checkUsed()
			})
		}
	})
	t.Logf("\n%v", sums)
}

// TestLists sees to it that what is listed is about scenarios that exist.
func TestLists(t *testing.T) {
	names := knownScenarios(t).names()
	check := func(rule, scenario string) {
		if !slices.Contains(names, scenario) {
			t.Errorf("%s: there is no scenario %q", rule, scenario)
		}
	}
	for _, d := range slices.Concat(better, asReference) {
		check(d.rule, d.scenario)
	}
	for _, h := range slices.Concat(hangs, nowAndThen) {
		check(h.rule, h.scenario)
	}
}

// scenarios are those that a version has, and those of them that suit servers of
// versions that lack them.
type scenarios map[string]struct{ all, anyServer []string }

func knownScenarios(t *testing.T) scenarios {
	t.Helper()
	list := func(version string, args ...string) []string {
		out, err := exec.Command(peerPath(version), append([]string{"list"}, args...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(out)), "\n")
	}
	s := scenarios{}
	for _, version := range versions() {
		s[version] = struct{ all, anyServer []string }{list(version), list(version, "any")}
	}
	return s
}

// names are those of this library, which has all.
func (s scenarios) names() []string { return s[ours].all }

func (s scenarios) has(p pair, name string) bool {
	p = p.classic()
	return slices.Contains(s[p.client].all, name) &&
		(slices.Contains(s[p.server].all, name) || slices.Contains(s[p.client].anyServer, name))
}
