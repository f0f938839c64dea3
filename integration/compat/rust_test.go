// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/containerd/ttrpc/integration/compat/report"
)

// The peers in the directory rust are programs that speak through the crate ttrpc
// 0.5.2, as Debian packages it. Cargo builds them of Debian's crates alone.
const (
	rustSync  = "rust-sync"
	rustAsync = "rust-async"

	// rustRelease is the release whose results with these peers are expected of
	// this library, too.
	rustRelease = "v1.2.10"

	rustCrate    = "/usr/share/cargo/registry/ttrpc-0.5.2"
	rustPackages = "cargo librust-async-trait-dev librust-protobuf-dev librust-serde-json-dev librust-tokio-dev librust-ttrpc-dev"
)

var rustPeers = []string{rustSync, rustAsync}

// buildRust puts the peers beside those written in Go. What cargo compiles is kept
// in the user's cache, for the crates alone take it many seconds.
var buildRust = sync.OnceValue(func() error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	target := filepath.Join(cache, "ttrpc-compat-rust")
	build := exec.Command("cargo", "build", "--locked", "--target-dir", target)
	build.Dir = "rust"
	build.Env = append(os.Environ(), "RUSTFLAGS=--deny warnings")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the peers in Rust: %v\n%s", err, out)
	}
	for _, name := range rustPeers {
		if err := os.Symlink(filepath.Join(target, "debug", name), peerPath(name)); err != nil {
			return err
		}
	}
	return nil
})

// needRust builds the peers. Where that is impossible it skips the test; but not in
// continuous integration, which has to install what is needed.
func needRust(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("cargo")
	if err == nil {
		_, err = os.Stat(rustCrate)
	}
	if err != nil {
		complain := t.Skipf
		if os.Getenv("CI") == "true" {
			complain = t.Fatalf
		}
		complain("NOT TESTED against peers in Rust: %v; on Debian: apt-get install %s", err, rustPackages)
	}
	if err := buildRust(); err != nil {
		t.Fatal(err)
	}
}

// A rustScenario is a scenario between a peer in Rust and one in Go.
type rustScenario struct {
	name string
	peer string // the one in Rust, or "" for both

	// rule and why tell what makes a difference, or what keeps the release away.
	rule, why string

	// oursAlone says that the release is not run, because it hangs; luck that it
	// is, but that what it reports is luck and only told. With either, better is
	// all that this library reports.
	oursAlone, luck bool

	// better are the steps of this library that differ from the release's.
	better steps
}

// butFor says what differs from the release, if anything may.
func (sc rustScenario) butFor() string {
	if sc.rule == "" {
		return ""
	}
	return fmt.Sprintf(" but for %s (%s)", sc.rule, sc.why)
}

// testRust runs scenarios with the release and with this library, also told to use the
// extended mode, each in a pair with a peer in Rust, and compares what the pairs report.
func testRust(t *testing.T, rust string, scenarios []rustScenario, with func(version string) pair) {
	for i, sc := range scenarios {
		if sc.peer != "" && sc.peer != rust {
			continue
		}
		socket := filepath.Join(t.TempDir(), fmt.Sprint(i)) // t.Run's name is too long for a socket's
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			var want steps
			switch {
			case sc.luck:
				tellRust(t, with(rustRelease), sc.name, socket+"r")
			case !sc.oursAlone:
				want = runRust(t, with(rustRelease), sc.name, socket+"r")
			}
			for _, better := range sc.better {
				at := slices.IndexFunc(want, func(step report.Step) bool { return step.Name == better.Name })
				switch {
				case at < 0:
					want = append(want, better)
				case reflect.DeepEqual(want[at], better):
					t.Errorf("%s: step %q does not differ any more", sc.rule, better.Name)
				default:
					want[at] = better
				}
			}
			for _, version := range []string{ours, extended} {
				got := runRust(t, with(version), sc.name, socket+version)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%v: got%s\nwant, as the release%s:%s", with(version), format(got), sc.butFor(), format(want))
				}
			}
		})
	}
}

func runRust(t *testing.T, p pair, scenario, socket string) steps {
	t.Helper()
	got, err := runPair(p, scenario, socket)
	if err != nil {
		t.Fatalf("%v: %v", p, err)
	}
	t.Logf("%v:%s", p, format(got.Steps))
	return got.Steps
}

// tellRust runs a scenario of which nothing is asked.
func tellRust(t *testing.T, p pair, scenario, socket string) {
	t.Helper()
	got, err := runPair(p, scenario, socket)
	if err != nil {
		t.Logf("%v, which may fail, did: %v", p, err)
		return
	}
	t.Logf("%v, this time:%s", p, format(got.Steps))
}

// rustClientScenarios are those of the peers in Rust. The asynchronous client does
// not watch deadlines itself, and its calls never end if the connection does.
var rustClientScenarios = []rustScenario{
	{name: "echo of nothing"},
	{name: "echo of 1 B"},
	{name: "echo of 64 KiB"},
	{name: "request at the limit"},
	{name: "request over the limit"},
	{name: "response at the limit"},
	{
		name: "response over the limit", peer: rustSync,
		rule: "B8", why: "the release drops the connection",
		better: steps{rustTooLarge, saw("still", "here")},
	},
	{
		name: "response over the limit", peer: rustAsync, oursAlone: true,
		rule: "B8", why: "the release drops the connection, and the call never ends",
		better: steps{rustTooLarge, saw("still", "here")},
	},
	{name: "errors"},
	{name: "unimplemented"},
	{name: "metadata"},
	{name: "deadline seen by the handler"},
	{name: "deadline passes in the handler", peer: rustAsync},
	{name: "deadline passes for the caller", peer: rustSync},
	{name: "64 callers"},
	{
		name: "32000 calls", luck: true,
		rule: "B37", why: "the release may refuse ids that do not rise",
		better: steps{saw("good", "32000"), saw("still", "here")},
	},
	{
		name: "shutdown with a call in flight", peer: rustSync, luck: true,
		rule: "B25", why: "the release may lose the call",
		better: steps{saw("call", "held")},
	},
	{
		name: "shutdown with a call in flight", peer: rustAsync, oursAlone: true,
		rule: "B25", why: "the release may lose the call, which then never ends",
		better: steps{saw("call", "held")},
	},
	{name: "server closes mid-call", peer: rustSync},
}

var rustTooLarge = report.Step{Name: "call", Error: tooLarge(4194305), Code: "RESOURCE_EXHAUSTED"}

// TestRustClients has clients in Rust call servers in Go.
func TestRustClients(t *testing.T) {
	needRust(t)
	for _, rust := range rustPeers {
		t.Run(rust, func(t *testing.T) {
			testRust(t, rust, rustClientScenarios, func(version string) pair { return pair{client: rust, server: version} })
		})
	}
}

// rustServerScenarios are those of the peer in Go that a server of unary calls can
// answer: streams too must end with an error there, and leave the connection good.
// The asynchronous server answers itself when a deadline has passed, or its handler
// does before it.
var rustServerScenarios = []rustScenario{
	{name: "echo of nothing"},
	{name: "echo of 1 B"},
	{name: "echo of 64 KiB"},
	{name: "echo of 1 MiB"},
	{name: "request at the limit"},
	{name: "request over the limit"},
	{name: "response at the limit"},
	{name: "response over the limit"},
	{name: "plain errors"},
	{name: "status errors"},
	{name: "unimplemented"},
	{name: "metadata"},
	{name: "interceptor"},
	{name: "deadline seen by the handler"},
	{name: "deadline passes in the handler", peer: rustSync},
	{name: "deadline passes for the caller", peer: rustSync},
	{
		name: "deadline passed before", luck: true,
		rule: "B16", why: "the release sends the request, and now and then gets an answer",
		better: steps{
			pastDeadline("passed"),
			{Name: "canceled", Error: "context canceled", Is: []string{"context.Canceled"}},
			saw("still", "here"),
		},
	},
	{name: "cancel"},
	{name: "64 callers"},
	{name: "shutdown with a call in flight"},
	{name: "server closes mid-call"},

	{name: "server stream of none"},
	{name: "server stream of 1000"},
	{name: "server stream with a request"},
	{name: "client stream of none"},
	{name: "client stream of 1000"},
	{name: "client stream that fails midway"},
	{name: "client stream over the limit"},
	{name: "bidi half-close"},
	{name: "bidi with a first message"},
	{
		name: "bidi cancel",
		rule: "B21", why: "a stream that has ended keeps its status",
		better: steps{noSuchMethod("received", "", "Relay")},
	},
	{
		name: "bidi that fails midway", oursAlone: true,
		rule: "B21", why: "the release's client waits for ever when it receives again",
		better: steps{
			noSuchMethod("first", "[]", "RelayThenFail"),
			noSuchMethod("second", "[]", "RelayThenFail"),
			noSuchMethod("received", "[]", "RelayThenFail"),
			saw("still", "here"),
		},
	},
	{name: "stream unimplemented"},
	{name: "stream called as unary and back"},
}

// noSuchMethod is a step that got what servers in Rust say of methods that they do
// not have.
func noSuchMethod(name, value, method string) report.Step {
	return failed(name, value, "InvalidArgument", "/compat.Peer/"+method+" does not exist")
}

// TestRustServers has clients in Go call servers in Rust.
func TestRustServers(t *testing.T) {
	needRust(t)
	for _, rust := range rustPeers {
		t.Run(rust, func(t *testing.T) {
			testRust(t, rust, rustServerScenarios, func(version string) pair { return pair{client: version, server: rust} })
		})
	}
}
