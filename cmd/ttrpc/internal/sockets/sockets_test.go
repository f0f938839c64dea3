// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

func TestParse(t *testing.T) {
	got := parse(strings.NewReader(`Num       RefCount Protocol Flags    Type St Inode Path
ffff9f6d: 00000002 00000000 00010000 0001 01 23456 /run/a b.sock
ffff9f6e: 00000003 00000000 00000000 0001 03 23457 /run/connected.sock
ffff9f6f: 00000002 00000000 00000000 0002 01 23458 /run/datagrams.sock
ffff9f70: 00000002 00000000 00010000 0005 01 23459 /run/packets.sock
ffff9f71: 00000002 00000000 00010000 0001 01   460 @abstract
ffff9f72: 00000002 00000000 00010000 0001 01 23461
`))
	if want := []Socket{{"/run/a b.sock", "23456"}, {"@abstract", "460"}}; !slices.Equal(got, want) {
		t.Errorf("B172: %q, want %q", got, want)
	}
}

// TestListening finds a socket of this process.
func TestListening(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all := Listening()
	i := slices.IndexFunc(all, func(s Socket) bool { return s.Path == path })
	if i < 0 {
		t.Fatalf("B172: %s is not among %q", path, all)
	}
	if pid := FindOwners().PID(all[i]); pid != os.Getpid() || all[i].Address() != "unix:"+path {
		t.Errorf("B172: it is of process %d, not %d", pid, os.Getpid())
	}
}

// TestHolder finds who holds a socket, whoever began to listen.
func TestHolder(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, one := range []struct {
		name        string
		began, want int
	}{
		{path, os.Getpid(), os.Getpid()},
		{path, 1 << 30, os.Getpid()}, // which is no process
		{path + "-none", 1 << 30, 1 << 30},
	} {
		if got := Holder(one.name, one.began); got != one.want {
			t.Errorf("B167: %s, where process %d began to listen, is held by %d, want %d", one.name, one.began, got, one.want)
		}
	}
}

func TestReachable(t *testing.T) {
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	there := exec.Command("sleep", "60")
	there.Dir = dir
	if err := there.Start(); err != nil {
		t.Skip("there is no program to stand for a server: ", err)
	}
	defer func() { there.Process.Kill(); there.Wait() }()
	if _, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", there.Process.Pid)); err != nil {
		t.Skip("the system does not tell directories of processes")
	}
	l, err := net.Listen("unix", filepath.Join(dir, "here.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := &Owners{map[string]int{"1": there.Process.Pid, "2": os.Getpid()}}
	for _, test := range []struct {
		socket Socket
		want   string
	}{
		{Socket{"here.sock", "1"}, "unix:" + dir + "/here.sock"},
		{Socket{"./here.sock", "1"}, "unix:" + dir + "/here.sock"},
		{Socket{"gone.sock", "1"}, "unix:gone.sock"},
		{Socket{"here.sock", "2"}, "unix:here.sock"},
		{Socket{"here.sock", "unknown"}, "unix:here.sock"},
		{Socket{"/here.sock", "1"}, "unix:/here.sock"},
		{Socket{"@here.sock", "1"}, "unix:@here.sock"},
	} {
		if got := o.Reachable(test.socket); got != test.want {
			t.Errorf("B172: %v of %s is reachable at %s, want %s", test.socket, dir, got, test.want)
		}
	}
}
