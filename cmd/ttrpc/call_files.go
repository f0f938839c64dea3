// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
)

// mostFiles is how many open files the command has at once of the server's.
const mostFiles = 253

// attachments are the files that go with messages, by the messages' numbers from 1.
type attachments map[int][]*os.File

// openAttachments opens what --file names.
func openAttachments(flags []string) (attachments, error) {
	a := attachments{}
	for _, flag := range flags {
		number, path, ok := strings.Cut(flag, "=")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 1 || path == "" {
			a.close()
			return nil, cli.Usage("Write it as 1=PATH, or 1=fd:3 for a descriptor that the shell has opened.", "--file %q does not say with which message a file comes", flag)
		}
		f, err := openAttachment(path)
		if err != nil {
			a.close()
			return nil, cli.Input("", "--file: %w", err)
		}
		a[n] = append(a[n], f)
	}
	return a, nil
}

func openAttachment(path string) (*os.File, error) {
	number, isDescriptor := strings.CutPrefix(path, "fd:")
	if !isDescriptor {
		return os.Open(path)
	}
	fd, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%s: %q is not the number of a descriptor", path, number)
	}
	f := os.NewFile(uintptr(fd), path)
	if _, err := f.Stat(); err != nil {
		return nil, err
	}
	return f, nil
}

// most is an error if there are files for a message behind the last.
func (a attachments) most(last int) error {
	for _, n := range slices.Sorted(maps.Keys(a)) {
		if n > last {
			return cli.Input("", "--file %d=%s: there are only %d messages", n, a[n][0].Name(), last)
		}
	}
	return nil
}

func (a attachments) close() {
	for _, files := range a {
		for _, f := range files {
			f.Close()
		}
	}
}

// savedFiles copies what comes in open files to files of its own.
type savedFiles struct {
	dir string
	err io.Writer
	wg  sync.WaitGroup

	mu     sync.Mutex
	open   []*os.File
	failed error
}

func newSavedFiles(dir string, stderr io.Writer) (*savedFiles, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, cli.Input("", "--save-files: %w", err)
	}
	return &savedFiles{dir: dir, err: stderr}, nil
}

// save begins to copy the files of one message. A regular file is read from its beginning, and
// its position is left alone; anything else is read to its end.
func (s *savedFiles) save(number int, files []*os.File) {
	for i, f := range files {
		path := filepath.Join(s.dir, fmt.Sprintf("%d-%d", number, i+1))
		s.mu.Lock()
		s.open = append(s.open, f)
		s.mu.Unlock()
		s.wg.Go(func() {
			defer f.Close()
			n, err := copyFile(path, f)
			s.mu.Lock()
			defer s.mu.Unlock()
			if err != nil {
				s.failed = errors.Join(s.failed, err)
				return
			}
			fmt.Fprintf(s.err, "* file %d of message %d: %d bytes saved as %s\n", i+1, number, n, path)
		})
	}
}

func copyFile(path string, from *os.File) (int64, error) {
	info, err := from.Stat()
	if err != nil {
		return 0, err
	}
	to, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	var content io.Reader = from
	if info.Mode().IsRegular() {
		content = io.NewSectionReader(from, 0, info.Size())
	}
	n, err := io.Copy(to, content)
	return n, errors.Join(err, to.Close())
}

// wait waits until all is copied. The end of ctx ends the copies.
func (s *savedFiles) wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, f := range s.open {
			f.Close()
		}
	})
	defer stop()
	s.wg.Wait()
	if s.failed != nil {
		return cli.Input("", "--save-files: %w", s.failed)
	}
	return nil
}
