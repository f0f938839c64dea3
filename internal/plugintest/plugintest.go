// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugintest tests plugins of protoc: it builds them, runs protoc with them, and
// compares what they write with the golden packages that a test keeps. Input stands in
// the directory proto of the test's package, output below golden.
package plugintest

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

const golden = "golden"

var update = flag.Bool("update", false, "write the golden packages instead of comparing with them")

// pluginDir is where the plugins are that Main has built.
var pluginDir string

// Main builds the plugins of those packages, runs a package's tests, and exits.
func Main(m *testing.M, packages ...string) {
	flag.Parse()
	os.Exit(runTests(m, packages))
}

func runTests(m *testing.M, packages []string) int {
	dir, err := os.MkdirTemp("", "plugintest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	pluginDir = dir
	build := exec.Command("go", append([]string{"build", "-o", dir}, packages...)...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the plugins: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// Path returns the path of the plugin that protoc calls name.
func Path(name string) string {
	return filepath.Join(pluginDir, "protoc-gen-"+name)
}

// Protoc returns the command that compiles files of the directory proto with the
// plugin that protoc calls name.
func Protoc(t *testing.T, name, parameter, outDir string, files ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("protoc")
	if err != nil {
		t.Fatalf("protoc is not on PATH (%v): install protobuf-compiler", err)
	}
	args := []string{
		"--proto_path=proto",
		"--plugin=protoc-gen-" + name + "=" + Path(name),
		"--" + name + "_out=" + parameter + ":" + outDir,
	}
	return exec.Command(path, append(args, files...)...)
}

// CheckGolden compares the files in dir with the golden packages, or replaces these if
// the test runs with -update.
func CheckGolden(t *testing.T, dir string) {
	t.Helper()
	if *update {
		if err := os.RemoveAll(golden); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(golden, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, want := ReadTree(t, dir), ReadTree(t, golden)
	for name, content := range got {
		switch kept, ok := want[name]; {
		case !ok:
			t.Errorf("golden/%s is missing", name)
		case !bytes.Equal(content, kept):
			t.Errorf("golden/%s differs from what is generated:\n%s", name, firstDifference(content, kept))
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("golden/%s is not generated any more", name)
		}
	}
	if t.Failed() {
		t.Log("to write the golden packages run: go generate .")
	}
}

// CheckSame compares the files in two directories that were generated from the same.
func CheckSame(t *testing.T, firstDir, secondDir string) {
	t.Helper()
	first, second := ReadTree(t, firstDir), ReadTree(t, secondDir)
	for name, content := range first {
		if !bytes.Equal(content, second[name]) {
			t.Errorf("%s differs between two runs:\n%s", name, firstDifference(content, second[name]))
		}
	}
}

// CheckVersion checks the flag that plugins have for people.
func CheckVersion(t *testing.T, name string) {
	t.Helper()
	for _, flag := range []string{"-version", "--version"} {
		out, err := exec.Command(Path(name), flag).Output()
		if err != nil || !bytes.HasPrefix(out, []byte("protoc-gen-"+name+" ")) {
			t.Errorf("protoc-gen-%s %s says %q, %v", name, flag, out, err)
		}
	}
}

// protocVersion is what protoc-gen-go writes about who called it.
var protocVersion = regexp.MustCompile(`(?m)^(//\s+protoc\s+).*$`)

// ReplaceProtocVersion makes the files in dir independent of protoc's version.
func ReplaceProtocVersion(t *testing.T, dir string) {
	t.Helper()
	for name, content := range ReadTree(t, dir) {
		content = protocVersion.ReplaceAll(content, []byte("${1}(any)"))
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// ReadTree returns the contents of the files in dir by their names.
func ReadTree(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// ReadGolden returns the content of a file below golden.
func ReadGolden(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(golden, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// firstDifference describes where two files begin to differ.
func firstDifference(got, want []byte) string {
	gotLines, wantLines := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for len(gotLines) > 0 && len(wantLines) > 0 && bytes.Equal(gotLines[0], wantLines[0]) {
		gotLines, wantLines = gotLines[1:], wantLines[1:]
	}
	show := func(lines [][]byte) []byte {
		return bytes.Join(slices.Clip(lines[:min(3, len(lines))]), []byte("\n\t"))
	}
	return "got\n\t" + string(show(gotLines)) + "\nwant\n\t" + string(show(wantLines))
}
