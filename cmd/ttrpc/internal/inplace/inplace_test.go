// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package inplace

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/containerd/ttrpc/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// shortDir returns a directory whose path leaves room for sockets.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serve has a server say its name to whoever connects to a path. It returns how it is ended, which
// leaves the socket where it is, as a server does that is killed.
func serve(t *testing.T, path, name string) (end func()) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	answer(l, name)
	t.Cleanup(func() { l.Close() })
	return func() { l.Close() }
}

func answer(l net.Listener, name string) {
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, name)
			conn.Close()
		}
	}()
}

// ask tells who answers on a path.
func ask(path string) string {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	name, _ := io.ReadAll(conn)
	return string(name)
}

func take(t *testing.T, path string) *Place {
	t.Helper()
	p, err := Take(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	answer(p.Listener, "proxy")
	t.Cleanup(func() { p.Listener.Close() })
	return p
}

func wantAnswer(t *testing.T, path, who string) {
	t.Helper()
	if got := ask(path); got != who {
		t.Errorf("B181: on %s answers %q, not %s", filepath.Base(path), got, who)
	}
}

func wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, e := range entries {
		there = append(there, e.Name())
	}
	if strings.Join(there, " ") != strings.Join(names, " ") {
		t.Errorf("B181: there are %v, not %v", there, names)
	}
}

// TestTakeAndRestore holds that the place is taken with the mode and owner of the server's
// socket, and given back, and that a second Restore does nothing.
func TestTakeAndRestore(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "s")
	serve(t, path, "server")
	if err := os.Chmod(path, 0o705); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(path, 12, 34); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link") // as /var/run is one
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	p := take(t, link)
	wantAnswer(t, path, "proxy")
	wantAnswer(t, link, "proxy")
	wantAnswer(t, p.Aside, "server")
	now, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	was, is := before.Sys().(*syscall.Stat_t), now.Sys().(*syscall.Stat_t)
	if now.Mode() != before.Mode() || is.Uid != was.Uid || is.Gid != was.Gid || p.Stale {
		t.Errorf("B181: the socket has %v of %d:%d, not %v of %d:%d", now.Mode(), is.Uid, is.Gid, before.Mode(), was.Uid, was.Gid)
	}
	for range 2 {
		if err := p.Restore(); err != nil {
			t.Errorf("B181: %v", err)
		}
	}
	wantAnswer(t, path, "server")
	wantOnly(t, dir, "link", "s")
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("B181: another socket is at the path: %v", err)
	}
}

// TestNobodyFindsNothing connects without pause while the place is taken and given back. All are
// answered.
func TestNobodyFindsNothing(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	serve(t, path, "server")
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				if who := ask(path); who != "server" && who != "proxy" {
					t.Errorf("B181: %q", who)
					return
				}
			}
		})
	}
	for range 100 {
		p := take(t, path)
		wantAnswer(t, path, "proxy")
		if err := p.Restore(); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	wg.Wait()
}

// TestSecondName holds that the server's socket keeps its first name until the other is renamed to
// it, which is one step.
func TestSecondName(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	serve(t, path, "server")
	if err := second(path, path+asideSuffix); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, path, "server")
	wantAnswer(t, path+asideSuffix, "server")
}

// TestDial reaches the server before and after Restore, never the listener itself.
func TestDial(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	serve(t, path, "server")
	p := take(t, path)
	for range 2 {
		conn, err := p.Dial(context.Background())
		if err != nil {
			t.Fatalf("B181: %v", err)
		}
		if name, _ := io.ReadAll(conn); string(name) != "server" {
			t.Errorf("B181: dialled was %q", name)
		}
		conn.Close()
		p.Restore()
	}
}

// TestRest holds that connections that wait to be accepted at the end are.
func TestRest(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	serve(t, path, "server")
	p, err := Take(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Listener.Close()
	for range 3 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	p.Restore()
	p.Interrupt()
	if conn, err := p.Listener.Accept(); err == nil {
		conn.Close()
		t.Error("B181: Accept is not interrupted")
	}
	rest := 0
	p.Rest(func(conn net.Conn) { rest++; conn.Close() })
	if rest != 3 {
		t.Errorf("B181: %d of 3 that waited were accepted", rest)
	}
}

// kill leaves things as a process does that is killed in the place.
func kill(p *Place) { p.Listener.Close() }

// TestLeftBehind goes through what may be found of others.
func TestLeftBehind(t *testing.T) {
	path := func(t *testing.T) (string, string) { dir := shortDir(t); return filepath.Join(dir, "s"), dir }
	t.Run("killed", func(t *testing.T) {
		path, dir := path(t)
		serve(t, path, "server")
		kill(take(t, path))
		p := take(t, path)
		if !p.Stale {
			t.Error("B181: nothing is said of the one that was killed")
		}
		wantAnswer(t, path, "proxy")
		wantAnswer(t, p.Aside, "server")
		if err := p.Restore(); err != nil {
			t.Error(err)
		}
		wantAnswer(t, path, "server")
		wantOnly(t, dir, "s")
	})
	t.Run("killed before it was in the place", func(t *testing.T) {
		path, dir := path(t)
		serve(t, path, "server")
		serve(t, path+newSuffix, "proxy")()
		if err := os.Link(path, path+asideSuffix); err != nil {
			t.Fatal(err)
		}
		if err := take(t, path).Restore(); err != nil {
			t.Error(err)
		}
		wantAnswer(t, path, "server")
		wantOnly(t, dir, "s")
	})
	t.Run("killed between two names", func(t *testing.T) { // where there are no links
		path, dir := path(t)
		serve(t, path+asideSuffix, "server")
		if err := take(t, path).Restore(); err != nil {
			t.Error(err)
		}
		wantAnswer(t, path, "server")
		wantOnly(t, dir, "s")
	})
	t.Run("still there", func(t *testing.T) {
		path, _ := path(t)
		serve(t, path, "server")
		p := take(t, path)
		if _, err := Take(context.Background(), path); !errors.Is(err, ErrTaken) {
			t.Errorf("B181: %v", err)
		}
		wantAnswer(t, path, "proxy")
		wantAnswer(t, p.Aside, "server")
	})
	t.Run("killed, and the server has begun anew", func(t *testing.T) {
		path, dir := path(t)
		end := serve(t, path, "server")
		kill(take(t, path))
		end()
		os.Remove(path)
		serve(t, path, "another")
		if err := take(t, path).Restore(); err != nil {
			t.Error(err)
		}
		wantAnswer(t, path, "another")
		wantOnly(t, dir, "s")
	})
	t.Run("the server begins anew meanwhile", func(t *testing.T) {
		path, dir := path(t)
		serve(t, path, "server")
		p := take(t, path)
		os.Remove(path)
		serve(t, path, "another")
		if err := p.Restore(); err != nil {
			t.Error(err)
		}
		wantAnswer(t, path, "another")
		wantOnly(t, dir, "s")
	})
}

// TestRefused holds that nothing is changed where there is no place to take.
func TestRefused(t *testing.T) {
	dir := shortDir(t)
	dead := filepath.Join(dir, "dead")
	serve(t, dead, "server")()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(dir, strings.Repeat("x", maxPath-len(dir)-3))
	for path, text := range map[string]string{
		filepath.Join(dir, "nothing"): "no such file",
		file:                          "is no socket",
		dead:                          "nobody listens on",
		long:                          "are the most of a socket's path",
	} {
		if p, err := Take(context.Background(), path); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("B181: %v, %v; want %q", p, err, text)
		}
	}
	wantOnly(t, dir, "dead", "file")
}
