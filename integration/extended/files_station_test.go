// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// fileName is part of the name of all files that the tests pass.
const fileName = "ttrpc-passed"

// newFile returns a file that is closed when the test ends.
func newFile(t *testing.T, n int) *os.File {
	t.Helper()
	name := fmt.Sprintf("%s-%d", fileName, n)
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { f.Close() })
	return f
}

func newFiles(t *testing.T, n int) []*os.File {
	t.Helper()
	files := make([]*os.File, n)
	for i := range files {
		files[i] = newFile(t, i)
	}
	return files
}

// identities tells which files these are, in any process.
func identities(files []*os.File) (string, error) {
	var all strings.Builder
	for _, f := range files {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return "", err
		}
		fmt.Fprintf(&all, " %d:%d", st.Dev, st.Ino)
	}
	return all.String(), nil
}

func mustIdentify(t *testing.T, files []*os.File) string {
	t.Helper()
	ids, err := identities(files)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// swapFiles tells which files have come, and sends them back in the opposite order.
func swapFiles(ctx context.Context, _ func(any) error) (any, error) {
	files, err := ttrpc.FilesFromContext(ctx)
	if err != nil {
		return nil, err
	}
	got := files.Claim()
	defer closeAll(got)
	for i := range got {
		err = errors.Join(err, files.Attach(got[len(got)-1-i]))
	}
	ids, idErr := identities(got)
	return wrapperspb.String(ids), errors.Join(err, idErr)
}

// swap calls Swap with files, and returns those that come back.
func swap(ctx context.Context, c *ttrpc.Client, method string, files []*os.File) (ids string, back []*os.File, err error) {
	ctx, passed := ttrpc.WithFiles(ctx)
	if err := passed.Attach(files...); err != nil {
		return "", nil, err
	}
	ids, err = ask(ctx, c, method, "")
	return ids, passed.Claim(), err
}

// bounceFiles calls the peer's Swap with the files that have come, and sends back what
// comes from there.
func bounceFiles(ctx context.Context, _ func(any) error) (any, error) {
	files, err := ttrpc.FilesFromContext(ctx)
	if err != nil {
		return nil, err
	}
	c, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	got := files.Claim()
	defer closeAll(got)
	ids, back, err := swap(ctx, c, "Swap", got)
	defer closeAll(back)
	return wrapperspb.String(ids), errors.Join(err, files.Attach(back...))
}

// exec starts a program while it holds the files that have come, and returns which
// files that program has.
func (s *station) exec(ctx context.Context, _ string) (string, error) {
	files, err := ttrpc.FilesFromContext(ctx)
	if err != nil {
		return "", err
	}
	got := files.Claim()
	defer closeAll(got)
	if len(got) == 0 {
		return "", errors.New("no files have come")
	}
	return filesOfProgram()
}

// filesOfProgram starts a program and returns which files that has.
func filesOfProgram(inherited ...*os.File) (string, error) {
	cmd := command(lists, "", "")
	cmd.ExtraFiles = inherited
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// listFiles is such a program.
func listFiles() {
	for target := range openFiles("self") {
		fmt.Println(target)
	}
}

// openFiles returns which files a process has open, and how many of each, except what
// its runtime opens once for itself.
func openFiles(pid any) map[string]int {
	dir := fmt.Sprintf("/proc/%v/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	open := make(map[string]int)
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		switch {
		case err != nil: // that of ReadDir itself
		case target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]":
		default:
			kind, _, _ := strings.Cut(target, ":[") // each socket and pipe has its number
			open[kind]++
		}
	}
	return open
}
