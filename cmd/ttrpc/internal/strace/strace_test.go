// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package strace

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/containerd/ttrpc/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// read returns what a text of strace's has, in lines.
func read(r io.Reader) ([]string, error) {
	var got []string
	reader := NewReader(r)
	for {
		s, err := reader.Next()
		if err != nil {
			return got, err
		}
		arrow := "→"
		if s.FromServer {
			arrow = "←"
		}
		line := fmt.Sprintf("%d %s %q", s.Conn, arrow, s.Data)
		if s.Missing > 0 {
			line += fmt.Sprint(" missing ", s.Missing)
		}
		if s.Comment != "" {
			line += " " + s.Comment
		}
		if s.End {
			line += " end"
		}
		if !s.At.IsZero() {
			line += s.At.UTC().Format(" 15:04:05.000000")
		}
		got = append(got, line+" "+reader.Name(s.Conn))
	}
}

// TestLines holds what is understood of the forms that strace has for bytes that pass.
func TestLines(t *testing.T) {
	for text, want := range map[string]string{
		`read(5, "\x00\x41\xff", 4096) = 3`:                                          `0 ← "\x00A\xff" descriptor 5`,
		`write(5, "a\n\t\"\\\0\12\1234", 9) = 9`:                                     `0 → "a\n\t\"\\\x00\nS4" descriptor 5`,
		`write(5, "abcdef", 6) = 4`:                                                  `0 → "abcd" descriptor 5`,
		`read(5, "abc"..., 4096) = 10`:                                               `0 ← "abc" descriptor 5|0 ← "" missing 7 descriptor 5`,
		`read(5, "", 4096) = 0`:                                                      ``,
		`read(5, 0xc000, 4096) = -1 EAGAIN (Resource)`:                               ``,
		`recvfrom(5, "abc", 10, MSG_PEEK, NULL, NULL) = 3`:                           ``,
		`sendto(5, "abc", 3, 0, NULL, 0) = 3 <0.000012>`:                             `0 → "abc" descriptor 5`,
		`[pid  1234] read(5, "a", 4096) = 1`:                                         `0 ← "a" descriptor 5`,
		`1234  1700000000.123456 read(5, "a", 4096) = 1`:                             `0 ← "a" 22:13:20.123456 descriptor 5`,
		`1234 01:02:03.5 read(5, "a", 4096) = 1`:                                     `0 ← "a" 01:02:03.500000 descriptor 5`,
		`[pid 7] 0.000017 read(5, "a", 4096) = 1`:                                    `0 ← "a" 00:00:00.000017 descriptor 5`,
		`read(5<UNIX-STREAM:[12->13, "/run/a b"]>, "a", 1) = 1`:                      `0 ← "a" descriptor 5<UNIX-STREAM:[12->13, "/run/a b"]>`,
		`writev(5, [{iov_base="ab", iov_len=2}, {iov_base="cd", iov_len=2}], 2) = 3`: `0 → "abc" descriptor 5`,
		`recvmsg(5, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="abc", iov_len=4096}], msg_iovlen=1, ` +
			`msg_control=[{cmsg_len=24, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[7, 8]}], msg_controllen=24, msg_flags=MSG_CMSG_CLOEXEC}, MSG_CMSG_CLOEXEC) = 3`: `0 ← "abc" with 2 file descriptors descriptor 5`,
		"connect(5, {sa_family=AF_UNIX, sun_path=\"\\x2f\\x73\"}, 5) = 0\nwrite(5, \"a\", 1) = 1":                                                 `0 → "a" connected to /s`,
		"connect(5<UNIX-STREAM:[12]>, {sa_family=AF_UNIX, sun_path=@\"x\"}, 5) = 0\nwrite(5<UNIX-STREAM:[12->13]>, \"a\", 1) = 1":                 `0 → "a" connected to @x`,
		"accept4(3, NULL, NULL, SOCK_CLOEXEC) = 7\nread(7, \"a\", 1) = 1\nwrite(7, \"b\", 1) = 1":                                                 `0 → "a" accepted as descriptor 7|0 ← "b" accepted as descriptor 7`,
		"accept4(3, NULL, NULL, 0) = 7<UNIX-STREAM:[2->1,\"\\x2f\\x73\"]>\nread(7<UNIX-STREAM:[2->1,\"\\x2f\\x73\"]>, \"a\", 1) = 1":              `0 → "a" accepted on /s`,
		"read(5, \"a\", 1) = 1\nread(5, \"\", 1) = 0\nclose(5) = 0\nread(5, \"b\", 1) = 1":                                                        `0 ← "a" descriptor 5|0 ← "" end descriptor 5|0 → "" end descriptor 5|0 ← "" end descriptor 5|1 ← "b" descriptor 5`,
		"write(5, \"a\", 1) = 1\nshutdown(5, SHUT_WR) = 0":                                                                                        `0 → "a" descriptor 5|0 → "" end descriptor 5`,
		"12 read(5,  <unfinished ...>\n13 write(6, \"x\", 1 <unfinished ...>\n12 <... read resumed>\"a\", 4096) = 1\n13 <... write resumed>) = 1": `0 ← "a" descriptor 5|1 → "x" descriptor 6`,
		"getpid() = 1\n+++ exited with 0 +++\n--- SIGURG {si_signo=SIGURG} ---\nread(5, \"a\", 1) = ?":                                            ``,
	} {
		for name, r := range map[string]io.Reader{"": strings.NewReader(text + "\n"), "byte by byte": iotest.OneByteReader(strings.NewReader(text))} {
			got, err := read(r)
			if err != io.EOF || strings.Join(got, "|") != want {
				t.Errorf("B182: %s %s\nis %s, %v\nnot %s", name, text, strings.Join(got, "|"), err, want)
			}
		}
	}
}

// TestLooks holds what is taken for a file of strace's.
func TestLooks(t *testing.T) {
	long := `1234  1700000000.123456 read(5, "` + strings.Repeat(`\x00`, 1000)
	for text, want := range map[string]bool{
		"read(5, \"a\", 1) = 1\n": true,
		"strace: Process 12 attached with 6 threads\n12 futex(0x1, FUTEX_WAIT) = 0\n": true,
		long:                             true,
		"12 read(5,  <unfinished ...>\n": true,
		"":                               false,
		"a text\nof lines\n":             false,
		"\x00\x00\x00\x19\x00\x00\x00\x01\x01\x00\x0a\x08vec.Echo": false,
	} {
		if Looks([]byte(text)) != want {
			t.Errorf("B182: %.40q is taken for strace's: %v", text, !want)
		}
	}
}

// TestNoStrace holds that what is none is an error.
func TestNoStrace(t *testing.T) {
	if _, err := read(strings.NewReader("a text\nof lines\n")); err == io.EOF || !strings.Contains(err.Error(), "no line is one of strace's") {
		t.Errorf("B182: %v", err)
	}
	r := NewReader(io.MultiReader(strings.NewReader("read(5, "), zeros{}))
	r.limit = 1 << 20
	if _, err := r.Next(); err == nil || !strings.Contains(err.Error(), "line 1 is longer than 1048576 bytes") {
		t.Errorf("B182: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// FuzzStrace holds that nothing that a file may have stops the reader.
func FuzzStrace(f *testing.F) {
	f.Add("12 read(5<UNIX:[1->2]>, \"\\x00\"..., 4096) = 10\n12 <... read resumed>\"a\", 4096) = 1\n")
	f.Add("recvmsg(5, {msg_iov=[{iov_base=\"a\", iov_len=1}], msg_control=[{cmsg_type=SCM_RIGHTS, cmsg_data=[7]}]}, 0) = 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		Looks([]byte(text))
		read(strings.NewReader(text))
	})
}
