// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package address

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// state makes a state directory with files by their paths below the tasks, and has shims looked
// for there alone.
func state(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv(StateVariable, dir)
	for name, content := range files {
		path := filepath.Join(dir, "io.containerd.runtime.v2.task", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestShim(t *testing.T) {
	state(t, map[string]string{
		"k8s.io/pod/bootstrap.json":    `{"version":3,"address":"unix:///run/pod","protocol":"ttrpc"}`,
		"k8s.io/pod/address":           "unix:///run/older",
		"k8s.io/both/address":          "unix:///run/both\n",
		"default/both/address":         "unix:///run/other",
		"default/plus/bootstrap.json":  `{"version":4,"address":"ttrpc+vsock://3:1024"}`,
		"default/hybrid/address":       "hvsock:///run/vm:1024",
		"default/abstract/address":     "/containerd-shim/default/abstract/shim.sock",
		"default/pipe/address":         `\\.\pipe\containerd-shim-default`,
		"default/abcdef/address":       "unix:///run/long",
		"default/grpc/bootstrap.json":  `{"address":"unix:///run/x","protocol":"grpc"}`,
		"default/grpc2/bootstrap.json": `{"address":"grpc+vsock://3:1"}`,
		"default/bad/bootstrap.json":   `{`,
		"default/none/bootstrap.json":  `{}`,
		"default/self/address":         "shim:default/self",
		"default/odd/address":          "nonsense",
	})
	for text, want := range map[string]Address{
		"shim:k8s.io/pod":        {Path: "/run/pod", Namespace: "k8s.io", scheme: "unix", rest: "/run/pod"},
		"ttrpc+shim://k8s.io/po": {Path: "/run/pod", Namespace: "k8s.io", scheme: "unix", rest: "/run/pod"},
		"shim:k8s.io/both":       {Path: "/run/both", Namespace: "k8s.io", scheme: "unix", rest: "/run/both"},
		"shim:plus":              {Namespace: "default", scheme: "vsock", rest: "3:1024"},
		"shim:hybrid":            {Namespace: "default", scheme: "hvsock", rest: "/run/vm:1024"},
		"shim:abstract":          {Namespace: "default", scheme: "unix", rest: "@/containerd-shim/default/abstract/shim.sock"},
		"shim:pipe":              {Namespace: "default", scheme: "npipe", rest: `\\.\pipe\containerd-shim-default`},
		"shim:abc":               {Path: "/run/long", Namespace: "default", scheme: "unix", rest: "/run/long"},
	} {
		if want.scheme == "unix" && want.Path == "" && runtime.GOOS != "linux" {
			continue
		}
		want.Text = text
		if a, err := Parse(text); err != nil || *a != want {
			t.Errorf("B170: %q is %+v, %v; want %+v", text, a, err, want)
		}
	}
	for text, want := range map[string]string{
		"shim:both":  "there are several:\n  shim:default/both\n  shim:k8s.io/both",
		"shim:p":     "there are several:",
		"shim:grpc":  "bootstrap.json: the shim speaks grpc at unix:///run/x, not ttrpc",
		"shim:grpc2": "the shim speaks gRPC at grpc+vsock://3:1",
		"shim:bad":   "bootstrap.json: unexpected end of JSON input",
		"shim:none":  "bootstrap.json: it has no address",
		"shim:self":  "shim:default/self is no address of a shim's",
		"shim:odd":   "there is no scheme",
	} {
		if a, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("B170: %q is %+v, %v; want %s", text, a, err, want)
		}
	}
}

// TestComputed is of the shim of runc, whose socket's name is a hash.
func TestComputed(t *testing.T) {
	dir := state(t, map[string]string{"moby/bundle/config.json": "{}"})
	socket := func(namespace, id string) string {
		// As containerd has it: of the path of its socket for gRPC, with the others joined to it.
		name := sha256.Sum256([]byte(dir + "/containerd.sock/" + namespace + "/" + id))
		return filepath.Join(dir, "s", fmt.Sprintf("%x", name))
	}
	if err := os.Mkdir(filepath.Join(dir, "s"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, at := range [][2]string{{"moby", "bundle"}, {"k8s.io", "alone"}, {"own", "other"}} {
		path := socket(at[0], at[1])
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"shim:" + at[0] + "/" + at[1], "shim:" + at[1]} {
			a, err := Parse(text)
			if text == "shim:other" { // of a namespace that nobody guesses
				if err == nil {
					t.Errorf("B170: %s is %+v", text, a)
				}
				continue
			}
			if err != nil || a.Path != path || a.Namespace != at[0] {
				t.Errorf("B170: %s is %+v, %v; want %s", text, a, err, path)
			}
		}
	}
	_, err := Parse("shim:none")
	for _, place := range []string{dir + "/io.containerd.runtime.v2.task: 1 shims", socket("default", "none"), socket("k8s.io", "none"), socket("moby", "none"), "/run/containerd/s/"} {
		if err == nil || !strings.Contains(err.Error(), place) {
			t.Errorf("B170: the error does not name %s: %v", place, err)
		}
	}
	if strings.Count(fmt.Sprint(err), "\n") != 7 {
		t.Errorf("B170: %v", err)
	}
}

// TestUsualStates holds where containerd's, k3s' and docker's states are looked for.
func TestUsualStates(t *testing.T) {
	t.Setenv(StateVariable, "")
	var dirs []string
	for _, s := range States() {
		dirs = append(dirs, s.Dir+" "+s.Socket)
	}
	want := "/run/containerd /run/containerd/containerd.sock\n" +
		"/run/k3s/containerd /run/k3s/containerd/containerd.sock\n" +
		"/run/docker/containerd/daemon /run/docker/containerd/containerd.sock\n" +
		"/var/run/docker/containerd/daemon /var/run/docker/containerd/containerd.sock"
	if got := filepath.ToSlash(strings.Join(dirs, "\n")); got != want {
		t.Errorf("B170: %s", got)
	}
}
