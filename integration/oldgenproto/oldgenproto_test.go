// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package oldgenproto

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const library = "github.com/containerd/ttrpc"

// limit is how long a process of a test may live, which is far more than any needs.
const limit = time.Minute

// TestPairs builds the program peer with the old versions and with the new ones, and
// runs each pair of server and client of which one is old.
func TestPairs(t *testing.T) {
	dir := t.TempDir()
	peers := map[string]string{
		"old": build(t, filepath.Join(dir, "old"), "-modfile="+pin(t, dir)),
		"new": build(t, filepath.Join(dir, "new")),
	}
	checkPins(t, peers["old"])
	for _, pair := range [][2]string{{"old", "old"}, {"old", "new"}, {"new", "old"}} {
		t.Run(fmt.Sprintf("%s server, %s client", pair[0], pair[1]), func(t *testing.T) {
			socket := serve(t, peers[pair[0]])
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			if out, err := exec.CommandContext(ctx, peers[pair[1]], "call", socket).CombinedOutput(); err != nil {
				t.Errorf("B9: %v\n%s", err, out)
			}
		})
	}
}

// checkPins checks that the old program is linked with what pins.mod is about.
func checkPins(t *testing.T, peer string) {
	t.Helper()
	linked := command(t, ".", "go", "version", "-m", peer)
	for _, want := range []string{
		"google.golang.org/grpc\tv1.59.0\t",
		"google.golang.org/protobuf\tv1.33.0\t",
		"google.golang.org/genproto\tv0.0.0-20200224152610-e50cd9704f63\t",
	} {
		if !strings.Contains(linked, want) {
			t.Errorf("the old peer is linked with\n%swithout %s", linked, want)
		}
	}
}

// pin copies the library into dir, without the requirements of its go.mod, and returns
// the path of a mod file there that is pins.mod with the copy in the library's place.
func pin(t *testing.T, dir string) string {
	t.Helper()
	copied := filepath.Join(dir, "ttrpc")
	copyLibrary(t, copied)
	mod, err := os.ReadFile("pins.mod")
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile("pins.sum")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "pins.mod")
	write(t, path, fmt.Appendf(mod, "\nreplace %s => %s\n", library, copied))
	write(t, filepath.Join(dir, "pins.sum"), sum)
	return path
}

// copyLibrary copies the library's package, and what it imports of its own module.
func copyLibrary(t *testing.T, dir string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	list := command(t, root, "go", "list", "-deps", "-json=Dir,GoFiles,Module", ".")
	for d := json.NewDecoder(strings.NewReader(list)); ; {
		var pkg struct {
			Dir     string
			GoFiles []string
			Module  *struct{ Path, GoVersion string }
		}
		if err := d.Decode(&pkg); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if pkg.Module == nil || pkg.Module.Path != library {
			continue
		}
		rel, err := filepath.Rel(root, pkg.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range pkg.GoFiles {
			src, err := os.ReadFile(filepath.Join(pkg.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, rel, name), src)
		}
		write(t, filepath.Join(dir, "go.mod"), fmt.Appendf(nil, "module %s\n\ngo %s\n", library, pkg.Module.GoVersion))
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// build builds the program peer at path, which it returns.
func build(t *testing.T, path string, flags ...string) string {
	t.Helper()
	path = filepath.Join(path, "peer")
	command(t, ".", "go", append(append([]string{"build", "-o", path}, flags...), "./peer")...)
	return path
}

// command runs a command in dir and returns what it writes.
func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	var errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Stderr = dir, &errOut
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, errOut.Bytes())
	}
	return string(out)
}

// serve runs a server until the test ends, and returns its socket.
func serve(t *testing.T, peer string) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	var errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, peer, "serve", socket)
	cmd.Stderr = &errOut
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, started := bufio.NewReader(stdout).ReadString('\n')
	t.Cleanup(func() {
		if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
			t.Errorf("the server failed: %v\n%s", err, errOut.Bytes())
		}
	})
	if started != nil {
		t.Fatalf("the server does not start: %v", started)
	}
	return socket
}
