// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containerd/ttrpc/conformance/internal/vector"
	"github.com/containerd/ttrpc/internal/leak"
)

// built is where the peers under test are.
var built string

func TestMain(m *testing.M) {
	// Programs that are built with the race detector wait for a second when they end.
	os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	var err error
	if built, err = os.MkdirTemp("", "peers"); err != nil {
		panic(err)
	}
	os.Setenv("TMPDIR", built) // a program that crashes leaves its directory
	code := leak.Check(m)
	os.RemoveAll(built)
	os.Exit(code)
}

// A peer is an implementation under test.
type peer struct {
	name string // also that of its file of known failures
	// commands returns how its server and its client are started, or why it cannot be.
	commands func() (server, client string, err error)
}

var peers = []peer{
	{"ttrpc", once(func() (string, string, error) {
		return build("ours", append([]string{"build"}, raceFlags...)...)
	})},
	{"v1.2.10", once(func() (string, string, error) {
		return build("released", "build", "-modfile=released.mod", "-tags=released")
	})},
	{"rust-0.5.2", once(buildRust)},
	{"python", once(func() (string, string, error) {
		_, err := exec.LookPath("python3")
		return "python3 -B python/conformance.py server", "python3 -B python/conformance.py client", err
	})},
}

func build(name string, args ...string) (server, client string, err error) {
	path := filepath.Join(built, name)
	cmd := exec.Command("go", append(args, "-o", path, "./peer")...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", errors.Join(err, errors.New(string(out)))
	}
	return path + " server", path + " client", nil
}

// rustCrate is the crate that the peer in Rust is built with, as Debian packages it. The peer is a
// program of integration/compat/rust, and shares what is compiled with the others there.
const rustCrate = "/usr/share/cargo/registry/ttrpc-0.5.2"

func buildRust() (server, client string, err error) {
	if _, err := os.Stat(rustCrate); err != nil {
		return "", "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", err
	}
	target := filepath.Join(cache, "ttrpc-compat-rust")
	cmd := exec.Command("cargo", "build", "--locked", "--target-dir", target, "--bin", "rust-conformance")
	cmd.Dir = "../integration/compat/rust"
	cmd.Env = append(os.Environ(), "RUSTFLAGS=--deny warnings")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", errors.Join(err, errors.New(string(out)))
	}
	path := filepath.Join(target, "debug", "rust-conformance")
	return path + " server", path + " client", nil
}

// need returns the commands of a peer. Where it cannot be built the test is skipped; but not in
// continuous integration, which has to install what is needed.
func (p peer) need(t *testing.T) (server, client string) {
	t.Helper()
	server, client, err := p.commands()
	if err != nil {
		complain := t.Skipf
		if os.Getenv("CI") == "true" {
			complain = t.Fatalf
		}
		complain("NOT TESTED: %s: %v", p.name, err)
	}
	return server, client
}

func load(t *testing.T) []vector.Case {
	t.Helper()
	cases, err := vector.Load()
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// once runs a function once, and returns what it has returned each time.
func once(build func() (server, client string, err error)) func() (string, string, error) {
	type commands struct{ server, client string }
	get := sync.OnceValues(func() (commands, error) {
		server, client, err := build()
		return commands{server, client}, err
	})
	return func() (string, string, error) {
		c, err := get()
		return c.server, c.client, err
	}
}
