// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
)

// swap answers each message that has files with their content in upper case, in a file.
func swap(s *ttrpc.Server) {
	upper := func(files []*os.File) (all []*os.File, err error) {
		for _, f := range files {
			content, err := io.ReadAll(f)
			if err != nil {
				return nil, err
			}
			r, w, err := os.Pipe()
			if err != nil {
				return nil, err
			}
			io.WriteString(w, strings.ToUpper(string(content)))
			w.Close()
			f.Close()
			all = append(all, r)
		}
		return all, nil
	}
	s.RegisterService("t.Files", &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{"Swap": func(ctx context.Context, unmarshal func(any) error) (any, error) {
			files, err := ttrpc.FilesFromContext(ctx)
			if err != nil {
				return nil, err
			}
			changed, err := upper(files.Claim())
			if err != nil {
				return nil, err
			}
			defer closeAll(changed)
			return new(ttrpc.RawMessage), files.Attach(changed...)
		}, "Regular": func(ctx context.Context, _ func(any) error) (any, error) {
			files, err := ttrpc.FilesFromContext(ctx)
			if err != nil {
				return nil, err
			}
			f, err := os.CreateTemp("", "regular")
			if err != nil {
				return nil, err
			}
			defer f.Close()
			os.Remove(f.Name())
			io.WriteString(f, "its position is at the end")
			return new(ttrpc.RawMessage), files.Attach(f)
		}},
		Streams: map[string]ttrpc.Stream{"Stream": {StreamingClient: true, StreamingServer: true,
			Handler: func(_ context.Context, stream ttrpc.StreamServer) (any, error) {
				for {
					m := &ttrpc.FileMessage{Message: new(ttrpc.RawMessage)}
					if err := stream.RecvMsg(m); errors.Is(err, io.EOF) {
						return nil, nil
					} else if err != nil {
						return nil, err
					}
					changed, err := upper(m.Files)
					if err != nil {
						return nil, err
					}
					err = stream.SendMsg(&ttrpc.FileMessage{Message: new(ttrpc.RawMessage), Files: changed})
					closeAll(changed)
					if err != nil {
						return nil, err
					}
				}
			}}},
	})
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func TestFiles(t *testing.T) { // B174
	address := serveHere(t, swap, ttrpc.WithServerExtensions(), ttrpc.WithServerLimits(ttrpc.Limits{Files: 10}))
	dir := t.TempDir()
	for name, content := range map[string]string{"a": "some text", "b": "other text"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	a, b, saved := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "saved")
	holds := func(name, want string) {
		t.Helper()
		if got, err := os.ReadFile(filepath.Join(saved, name)); err != nil || string(got) != want {
			t.Errorf("B174: %s holds %q, %v; want %q", name, got, err, want)
		}
		os.Remove(filepath.Join(saved, name))
	}
	w := new(world)
	if err := w.run(t.Context(), "call", "--raw", "--file", "1="+a, "--file=1="+b, "--save-files", saved, address, "t.Files/Swap"); err != nil {
		t.Error(err)
	}
	holds("1-1", "SOME TEXT")
	holds("1-2", "OTHER TEXT")
	if err := w.run(t.Context(), "call", "--raw", "--stream=both", "--file", "2="+a, "--file", "1="+b, "--save-files", saved, address, "t.Files/Stream",
		"-d", "0801\n0802\n0803"); err != nil {
		t.Error(err)
	}
	holds("1-1", "OTHER TEXT")
	holds("2-1", "SOME TEXT")
	if err := w.run(t.Context(), "call", "--raw", "--save-files", saved, address, "t.Files/Regular"); err != nil {
		t.Error(err)
	}
	holds("1-1", "its position is at the end")
	for want, args := range map[string][]string{
		"there are only 1 messages": {"--file", "2=" + a, "t.Files/Swap"},
		"does not say with which":   {"--file", a, "t.Files/Swap"},
		"no such file":              {"--file", "1=" + filepath.Join(dir, "none"), "t.Files/Swap"},
		"is not the number of a":    {"--file", "1=fd:x", "t.Files/Swap"},
	} {
		err := w.run(t.Context(), append([]string{"call", "--raw", address}, args...)...)
		if exit := new(cli.Exit); !errors.As(err, &exit) || exit.Code >= cli.ExitStatus || !strings.Contains(err.Error(), want) {
			t.Errorf("B174: %q: %v, want %s", args, err, want)
		}
	}
	classic := serveHere(t, swap)
	if err := w.run(t.Context(), "call", "--raw", "--file", "1="+a, classic, "t.Files/Swap"); err == nil || !errors.Is(err, ttrpc.ErrNoFiles) {
		t.Errorf("B174: files on a classic connection: %v", err)
	}
}
