// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/lines"
	"github.com/containerd/ttrpc/internal/pcapng"
	"github.com/containerd/ttrpc/internal/wire"
)

// dumpOf returns what "ttrpc dump" prints of a file's content, and how it ends.
func dumpOf(t testing.TB, content []byte, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return runCommand(append([]string{"dump", path}, args...)...)
}

// call and answer are a call and its answer.
func call(id uint32) []byte {
	return wire.AppendFrame(nil, id, wire.TypeRequest, 0, wire.Request{Service: "demo.Greeter", Method: "Greet", Payload: []byte("\n\x03Ada")}.Append(nil))
}

func answer(id uint32) []byte {
	return wire.AppendFrame(nil, id, wire.TypeResponse, 0, wire.Response{Payload: []byte("\n\x0bHello, Ada!")}.Append(nil))
}

// sockdump makes a capture as sockdump does: what was sent, by which process to which.
func sockdump(segments ...string) []byte {
	number := func(n uint64, size int) (b []byte) {
		for i := range size {
			b = append(b, byte(n>>(8*(size-1-i))))
		}
		return b
	}
	b := append(number(0xa1b2c3d4, 4), 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0)
	b = append(b, number(147, 4)...)
	for i, s := range segments {
		from, to := uint64(10), uint64(20)
		if s[0] == '<' {
			from, to = to, from
		}
		data := append(append(number(to, 8), number(from, 8)...), s[1:]...)
		for _, n := range []uint64{1_700_000_000, uint64(i) * 1000, uint64(len(data)), uint64(len(data))} {
			b = append(b, number(n, 4)...)
		}
		b = append(b, data...)
	}
	return b
}

// TestDumpSockdump shows what sockdump records, also if the server is the first that was seen to
// send, and if the capture begins within a frame.
func TestDumpSockdump(t *testing.T) {
	c, a := string(call(1)), string(answer(1))
	begin, finish := "→ 1 /demo.Greeter/Greet {1: \"Ada\"}\n", " {1: \"Hello, Ada!\"}\n"
	for name, test := range map[string]struct {
		segments []string
		want     []string
	}{
		"a call":       {[]string{">" + c, "<" + a}, []string{"[1] " + begin, "[1] ← 1 OK 1ms" + finish}},
		"server first": {[]string{"<" + a, ">" + string(call(3)), "<" + string(answer(3))}, []string{"[1] ← 1 OK" + finish, "[1] → 3 /demo", "[1] ← 3 OK 1ms" + finish}},
		"in a frame": {[]string{">" + c[20:], ">" + string(call(3)), "<" + string(answer(3))}, []string{
			fmt.Sprintf("note: the first %d bytes belong to a frame that began before", len(c)-20), "[1] → 3 /demo", "[1] ← 3 OK"}},
	} {
		code, stdout, stderr := dumpOf(t, sockdump(test.segments...))
		for _, want := range test.want {
			if code != 0 || !strings.Contains(stdout, want) {
				t.Errorf("B182: %s: %d, %s; there is no %q in\n%s", name, code, stderr, want, stdout)
			}
		}
	}
}

// TestDumpRaw shows what one side has sent, of either side.
func TestDumpRaw(t *testing.T) {
	for want, content := range map[string][]byte{
		"[1] → 1 /demo.Greeter/Greet {1: \"Ada\"}\n[1] → 3 /demo.Greeter/Greet": append(call(1), call(3)...),
		"[1] ← 1 OK {1: \"Hello, Ada!\"}\n[1] ← 3 OK {1: \"Hello, Ada!\"}\n":    append(answer(1), answer(3)...),
	} {
		if code, stdout, stderr := dumpOf(t, content); code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("B182: %d, %s; there is no %q in\n%s", code, stderr, want, stdout)
		}
	}
}

// TestDumpAnyFile gives captures of all formats, cut and broken at each byte, and holds that each
// ends with success or with an error that says what can be read.
func TestDumpAnyFile(t *testing.T) {
	var capture bytes.Buffer
	w, err := pcapng.NewWriter(&capture)
	if err != nil {
		t.Fatal(err)
	}
	s := w.Conn(pcapng.Conn{Comment: "process 1", Start: time.Unix(1, 0)})
	s.Write(false, time.Unix(1, 0), call(1), "")
	s.Write(true, time.Unix(1, 0), answer(1), "with 2 file descriptors")
	s.Close(time.Unix(1, 0))
	for _, whole := range [][]byte{capture.Bytes(), sockdump(">"+string(call(1)), "<"+string(answer(1))), append(call(1), call(3)...),
		[]byte("12 read(5, \"\\x00\\x00\", 4096) = 2\n")} {
		for n := 0; n < len(whole); n++ {
			broken := bytes.Clone(whole)
			broken[n] ^= 0xff
			for _, content := range [][]byte{whole[:n], broken} {
				for _, trunk := range []bool{false, true} {
					printer := &lines.Printer{Out: io.Discard, Verbose: 2}
					err := newDump(printer, new(lines.Filter), trunk).read(bufio.NewReader(bytes.NewReader(content)), "", "file")
					var exit *cli.Exit
					if err != nil && (!errors.As(err, &exit) || exit.Code != cli.ExitInput || !strings.Contains(exit.Hint, "ttrpc dump --help")) {
						t.Fatalf("B182: %x: %v", content, err)
					}
				}
			}
		}
	}
}
