// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package gentest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden packages instead of comparing with them")

// pluginDir is where the plugins are that TestMain has built.
var pluginDir string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gentest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	pluginDir = dir
	build := exec.Command("go", "build", "-o", dir,
		"github.com/containerd/ttrpc/cmd/protoc-gen-go-ttrpc",
		"github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc",
		"google.golang.org/protobuf/cmd/protoc-gen-go")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the plugins: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// pluginPath returns the path of the plugin that protoc calls name.
func pluginPath(name string) string {
	return filepath.Join(pluginDir, "protoc-gen-"+name)
}

// protoc returns the command that compiles files of the directory proto with the
// plugin that protoc calls name.
func protoc(t *testing.T, name, parameter, outDir string, files ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("protoc")
	if err != nil {
		t.Fatalf("protoc is not on PATH (%v): install protobuf-compiler", err)
	}
	args := []string{
		"--proto_path=proto",
		"--plugin=protoc-gen-" + name + "=" + pluginPath(name),
		"--" + name + "_out=" + parameter + ":" + outDir,
	}
	return exec.Command(path, append(args, files...)...)
}
