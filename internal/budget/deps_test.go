// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const library = "github.com/containerd/ttrpc"

// granted is what the library may import beside the standard library. What
// these packages import themselves is found out, not listed.
var granted = []string{
	"golang.org/x/sys/unix",
	"google.golang.org/genproto/googleapis/rpc/status",
	"google.golang.org/grpc/codes",
	"google.golang.org/grpc/status",
}

// grantedTrees are modules, and the library's own folder, of which it may import any
// package. What these import is looked at too.
var grantedTrees = []string{"google.golang.org/protobuf/", library + "/internal/"}

// beside are packages of the library that other programs than those which import them must
// not pay for, and that need nothing more than it does.
var beside = []string{library + "/health", library + "/reflection"}

// denied are packages of the standard library that cost every program much,
// and that few need: no way of importing them is allowed.
var denied = []string{"crypto/tls", "log/slog", "net/http"}

// required are the modules that go.mod may ask for: all of them, and what they ask for
// themselves, stand in the module graphs of the library's users.
var required = []string{
	"golang.org/x/sys",
	"google.golang.org/genproto/googleapis/rpc",
	"google.golang.org/grpc",
	"google.golang.org/protobuf",
}

// A pkg is what go list tells about a package.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

// list returns the packages that the named ones consist of and import,
// directly or not, on an operating system.
func list(t *testing.T, goos string, names ...string) map[string]*pkg {
	t.Helper()
	args := append([]string{"list", "-deps", "-json=ImportPath,Standard,Imports"}, names...)
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list for %s: %v", goos, err)
	}
	pkgs := make(map[string]*pkg)
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := new(pkg)
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs[p.ImportPath] = p
	}
}

// chain returns a shortest way of imports from one package to another.
func chain(pkgs map[string]*pkg, from, to string) string {
	importer := map[string]string{from: ""}
	for next := []string{from}; len(next) > 0; next = next[1:] {
		if next[0] == to {
			break
		}
		for _, path := range pkgs[next[0]].Imports {
			if _, seen := importer[path]; !seen && pkgs[path] != nil {
				importer[path] = next[0]
				next = append(next, path)
			}
		}
	}
	way := []string{to}
	for p := importer[to]; p != ""; p = importer[p] {
		way = append(way, p)
	}
	slices.Reverse(way)
	return strings.Join(way, " → ")
}

// TestDependencies holds the library to its budget: importing it must not make
// programs larger, or bring modules into their builds, for what they do not use.
func TestDependencies(t *testing.T) {
	isGranted := func(path string) bool {
		return path == library || slices.Contains(beside, path) || slices.ContainsFunc(grantedTrees, func(tree string) bool { return strings.HasPrefix(path, tree) })
	}
	for _, goos := range []string{"linux", "windows", "darwin"} {
		allowed := list(t, goos, granted...)
		for _, name := range append([]string{library}, beside...) {
			pkgs := list(t, goos, name)
			for path, p := range pkgs {
				switch {
				case slices.Contains(denied, path):
				case name == library && slices.Contains(beside, path):
				case p.Standard, allowed[path] != nil, isGranted(path):
					continue
				}
				t.Errorf("%s: %s is not in the dependency budget: %s", goos, path, chain(pkgs, name, path))
			}
		}
	}
}

// TestRequirements holds go.mod to the modules that the library needs, and keeps out of
// the graph what only code generators and tests need.
func TestRequirements(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json", filepath.Join(root, "go.mod")).Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct{ Require []struct{ Path string } }
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, require := range mod.Require {
		paths = append(paths, require.Path)
	}
	if slices.Sort(paths); !slices.Equal(paths, required) {
		t.Errorf("go.mod requires %q, want %q", paths, required)
	}
	graph, err := exec.Command("go", "-C", root, "mod", "graph").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(graph), "github.com/gogo/protobuf") {
		t.Errorf("gogo/protobuf is in the module graph:\n%s", graph)
	}
}
