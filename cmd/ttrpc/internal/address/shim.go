// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package address

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/ttrpc"
)

// StateVariable is the environment variable that has containerd's state directories, if they
// are not the usual ones, in the form of PATH.
const StateVariable = "TTRPC_STATE"

// A State is a directory where one containerd keeps its state.
type State struct {
	Dir    string
	Socket string // containerd's own, for gRPC; that for ttrpc has .ttrpc behind it
}

// States returns the state directories of containerd, k3s and docker, or those that
// StateVariable has.
func States() []State {
	if dirs := filepath.SplitList(os.Getenv(StateVariable)); len(dirs) > 0 {
		return StatesAt(dirs)
	}
	return []State{
		newState("/run/containerd"),
		newState("/run/k3s/containerd"),
		{"/run/docker/containerd/daemon", "/run/docker/containerd/containerd.sock"},
		{"/var/run/docker/containerd/daemon", "/var/run/docker/containerd/containerd.sock"},
	}
}

// StatesAt returns the states of which these are the directories.
func StatesAt(dirs []string) []State {
	states := make([]State, len(dirs))
	for i, dir := range dirs {
		states[i] = newState(dir)
	}
	return states
}

func newState(dir string) State { return State{dir, filepath.Join(dir, "containerd.sock")} }

// containerdSockets returns where containerd's ttrpc socket may be.
func containerdSockets() []string {
	var paths []string
	for _, s := range States() {
		paths = append(paths, s.Socket+".ttrpc")
	}
	return paths
}

// tasks is where the shims' directories are: tasks/NAMESPACE/ID.
func (s State) tasks() string { return filepath.Join(s.Dir, "io.containerd.runtime.v2.task") }

// computed returns the paths that the runc shim may have chosen, which is not told where its
// bundle is.
func (s State) computed(namespace, id string) []string {
	sum := sha256.Sum256([]byte(filepath.Join(s.Socket, namespace, id)))
	name := hex.EncodeToString(sum[:])
	return slices.Compact([]string{filepath.Join(s.Dir, "s", name), filepath.Join("/run/containerd/s", name)})
}

// A Shim is what containerd's state tells of one.
type Shim struct {
	State         State
	Namespace, ID string
}

// Shims lists the shims of a state, by namespace and id. A directory that cannot be read is an
// error, one that is not there has none.
func (s State) Shims() ([]Shim, error) {
	namespaces, err := os.ReadDir(s.tasks())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var shims []Shim
	for _, namespace := range namespaces {
		ids, failed := os.ReadDir(filepath.Join(s.tasks(), namespace.Name()))
		if failed != nil {
			err = failed
		}
		for _, id := range ids {
			shims = append(shims, Shim{s, namespace.Name(), id.Name()})
		}
	}
	return shims, err
}

// Address returns where the shim listens, as far as that is told: what it has answered to
// containerd, or what the runc shim computes. The error names each place that was looked at.
func (s Shim) Address() (*Address, error) {
	dir := filepath.Join(s.State.tasks(), s.Namespace, s.ID)
	var looked []string
	for _, source := range []struct {
		name string
		read func([]byte) (string, error)
	}{
		{"bootstrap.json", bootstrapAddress},
		{"address", func(b []byte) (string, error) { return strings.TrimSpace(string(b)), nil }},
	} {
		path := filepath.Join(dir, source.name)
		content, err := os.ReadFile(path)
		if err != nil {
			looked = append(looked, place(path, err))
			continue
		}
		text, err := source.read(content)
		if err == nil {
			var a *Address
			if a, err = s.parse(text); err == nil {
				return a, nil
			}
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s.compute(looked)
}

// compute looks at the paths that the runc shim may have chosen.
func (s Shim) compute(looked []string) (*Address, error) {
	for _, path := range s.State.computed(s.Namespace, s.ID) {
		_, err := os.Stat(path)
		if err == nil {
			return s.parse("unix:" + path)
		}
		looked = append(looked, place(path, err))
	}
	return nil, &NotFound{looked}
}

// parse understands what a shim has said. It may be a bare name, then of an abstract socket.
func (s Shim) parse(text string) (*Address, error) {
	switch {
	case strings.HasPrefix(text, "grpc+"):
		return nil, fmt.Errorf("the shim speaks gRPC at %s, not ttrpc", text)
	case strings.HasPrefix(text, "/"):
		text = "@" + text
	}
	scheme, rest, err := ttrpc.ParseAddress(text)
	if err != nil {
		return nil, err
	}
	if scheme == schemeShim {
		return nil, fmt.Errorf("%s is no address of a shim's", text)
	}
	a, err := parse(scheme, rest)
	if err == nil {
		a.Namespace = s.Namespace
	}
	return a, err
}

// bootstrapAddress finds the address in what a shim has answered.
func bootstrapAddress(content []byte) (string, error) {
	var b struct{ Address, Protocol string }
	if err := json.Unmarshal(content, &b); err != nil {
		return "", err
	}
	if b.Address == "" {
		return "", errors.New("it has no address")
	}
	if b.Protocol != "" && b.Protocol != "ttrpc" {
		return "", fmt.Errorf("the shim speaks %s at %s, not ttrpc", b.Protocol, b.Address)
	}
	return b.Address, nil
}

// place names a place that was looked at in vain.
func place(path string, err error) string {
	var in *fs.PathError
	if errors.As(err, &in) {
		err = in.Err
	}
	return fmt.Sprintf("%s: %v", path, err)
}

// A NotFound is the error for a shim that was not found. It names the places that were looked at.
type NotFound struct{ looked []string }

// Error implements error.
func (e *NotFound) Error() string {
	return "nothing tells where it listens; looked at\n  " + strings.Join(e.looked, "\n  ")
}

// findShim finds a shim by [NAMESPACE/]ID. The id may be cut short, if it begins no other.
func findShim(rest string) (*Address, error) {
	namespace, id, ok := strings.Cut(strings.TrimPrefix(rest, "//"), "/")
	if !ok {
		namespace, id = "", namespace
	}
	if id == "" || strings.Contains(id, "/") || ok && namespace == "" {
		return nil, errors.New("it is shim:[NAMESPACE/]ID")
	}
	var exact, begin []Shim
	var looked []string
	for _, state := range States() {
		shims, err := state.Shims()
		if err != nil {
			looked = append(looked, place(state.tasks(), err))
		} else {
			looked = append(looked, fmt.Sprintf("%s: %d shims", state.tasks(), len(shims)))
		}
		for _, s := range shims {
			switch {
			case namespace != "" && s.Namespace != namespace:
			case s.ID == id:
				exact = append(exact, s)
			case strings.HasPrefix(s.ID, id):
				begin = append(begin, s)
			}
		}
	}
	found := uniqueShims(exact)
	if len(found) == 0 {
		found = uniqueShims(begin)
	}
	switch len(found) {
	case 0:
		return computedShim(namespace, id, looked)
	case 1:
		return found[0].Address()
	}
	return nil, fmt.Errorf("there are several:\n  %s", strings.Join(names(found), "\n  "))
}

// uniqueShims leaves out those that stand in two state directories, as /run and /var/run are
// often one.
func uniqueShims(all []Shim) []Shim {
	var unique []Shim
	var seen []fs.FileInfo
	for _, s := range all {
		info, err := os.Stat(filepath.Join(s.State.tasks(), s.Namespace, s.ID))
		if err != nil || slices.ContainsFunc(seen, func(other fs.FileInfo) bool { return os.SameFile(info, other) }) {
			continue
		}
		seen, unique = append(seen, info), append(unique, s)
	}
	return unique
}

func names(shims []Shim) []string {
	var names []string
	for _, s := range shims {
		names = append(names, "shim:"+s.Namespace+"/"+s.ID)
	}
	return names
}

// computedShim looks for a shim of which there is nothing but its socket.
func computedShim(namespace, id string, looked []string) (*Address, error) {
	namespaces := []string{namespace}
	if namespace == "" {
		namespaces = []string{"default", "k8s.io", "moby"}
	}
	for _, state := range States() {
		for _, namespace := range namespaces {
			a, err := Shim{state, namespace, id}.compute(nil)
			if err == nil {
				return a, nil
			}
			var none *NotFound
			if !errors.As(err, &none) {
				return nil, err
			}
			looked = append(looked, none.looked...)
		}
	}
	return nil, &NotFound{looked}
}
