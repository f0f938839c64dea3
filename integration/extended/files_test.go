// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// mostFiles is how many files may come with one message.
const mostFiles = 253

func TestFilesOfCalls(t *testing.T) {
	inBothRoles(t, "plain", "plain", func(t *testing.T, p *peer) {
		all := newFiles(t, mostFiles)
		for _, method := range []string{"Swap", "Bounce"} {
			for _, n := range []int{0, 1, 2, 100, mostFiles} {
				files := all[:n]
				ids, back, err := swap(context.Background(), p.Client, method, files)
				if want := mustIdentify(t, files); err != nil || ids != want {
					t.Fatalf("B51: %s: %d files have arrived as %q, %v, want %q", method, n, ids, err, want)
				}
				if method == "Swap" {
					slices.Reverse(back)
				}
				if got := mustIdentify(t, back); method == "Swap" && got != ids || len(back) != n {
					t.Errorf("B51: %s: %d files came back as %q, want %q", method, n, got, ids)
				}
				closeAll(back)
			}
		}
	})
}

func TestFilesOfStreams(t *testing.T) {
	const messages, most = 300, 100_000
	inBothRoles(t, "plain", "plain", func(t *testing.T, p *peer) {
		files := newFiles(t, 10)
		of := func(i int) []*os.File { return files[i%7 : i%7+i%4] }
		length := func(i int) int { return i * most / messages } // the later ones leave in parts
		s := p.mustStream(t, context.Background(), bothStream, "Echoes", nil)
		go func() {
			for i := range messages {
				m := wrapperspb.String(strings.Repeat("x", length(i)))
				if err := s.SendMsg(&ttrpc.FileMessage{Message: m, Files: of(i)}); err != nil {
					t.Errorf("B51: message %d: %v", i, err)
				}
			}
			s.CloseSend()
		}()
		for i := range messages {
			text := new(wrapperspb.StringValue)
			m := &ttrpc.FileMessage{Message: text}
			if err := s.RecvMsg(m); err != nil || len(text.Value) != length(i) {
				t.Fatalf("B51: message %d: %d bytes, %v", i, len(text.Value), err)
			}
			if got, want := mustIdentify(t, m.Files), mustIdentify(t, of(i)); got != want {
				t.Fatalf("B51: message %d came with %q, want %q", i, got, want)
			}
			closeAll(m.Files)
		}
		if err := s.RecvMsg(new(wrapperspb.StringValue)); err != io.EOF {
			t.Errorf("B51: the end of the stream: %v", err)
		}
	})
}

// TestFilesAreNotInherited has both processes start programs while they hold files that
// have come, and receive more.
func TestFilesAreNotInherited(t *testing.T) {
	inBothRoles(t, "plain", "plain", func(t *testing.T, p *peer) {
		files := newFiles(t, 10)
		if got, err := filesOfProgram(files[0]); err != nil || !strings.Contains(got, fileName) {
			t.Fatalf("a program that inherits a file lists %q, %v", got, err)
		}
		_, held, err := swap(context.Background(), p.Client, "Swap", files)
		if err != nil {
			t.Fatal(err)
		}
		defer closeAll(held)
		ctx, cancel := context.WithCancel(context.Background())
		stopped := make(chan struct{})
		go func() { // more arrive all the time
			defer close(stopped)
			for ctx.Err() == nil {
				_, back, _ := swap(ctx, p.Client, "Swap", files)
				closeAll(back)
			}
		}()
		for range 2 {
			if got, err := filesOfProgram(); err != nil || strings.Contains(got, fileName) {
				t.Errorf("B51: a program of this process has %q, %v", got, err)
			}
			if got, _, err := swap(context.Background(), p.Client, "Exec", files); err != nil || strings.Contains(got, fileName) {
				t.Errorf("B51: a program of the other process has %q, %v", got, err)
			}
		}
		cancel()
		<-stopped
	})
}
