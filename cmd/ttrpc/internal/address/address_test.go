// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package address

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// shortDir returns a directory whose path is short enough for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "a")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestParse(t *testing.T) {
	for text, want := range map[string]Address{
		"unix:///run/a.sock":       {Path: "/run/a.sock", scheme: "unix", rest: "/run/a.sock"},
		"unix:////run/a.sock":      {Path: "/run/a.sock", scheme: "unix", rest: "/run/a.sock"},
		"./a.sock":                 {Path: "./a.sock", scheme: "unix", rest: "./a.sock"},
		"@a":                       {scheme: "unix", rest: "@a"},
		"ttrpc+tcp://host:1":       {scheme: "tcp", rest: "host:1"},
		"vsock://host:1024":        {scheme: "vsock", rest: "2:1024"},
		"hvsock:///run/vm:1024":    {scheme: "hvsock", rest: "/run/vm:1024"},
		`\\.\pipe\a\b`:             {scheme: "npipe", rest: `\\.\pipe\a\b`},
		"npipe:////./pipe/a":       {scheme: "npipe", rest: `\\.\pipe\a`},
		"npipe:a":                  {scheme: "npipe", rest: `\\.\pipe\a`},
		"fd:3":                     {scheme: "fd", rest: "3"},
		"nri:":                     {NRI: true, Path: "/var/run/nri/nri.sock", scheme: "nri"},
		"nri:/run/n.sock":          {NRI: true, Path: "/run/n.sock", scheme: "nri", rest: "/run/n.sock"},
		"containerd:///run/c.sock": {Path: "/run/c.sock", scheme: "containerd", rest: "///run/c.sock"},
	} {
		want.Text = text
		if strings.HasPrefix(text, "@") && runtime.GOOS != "linux" {
			continue
		}
		if a, err := Parse(text); err != nil || *a != want {
			t.Errorf("B170: %q is %+v, %v; want %+v", text, a, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                 "there is no scheme",
		"other:x":          "unix:, unix-abstract:, tcp:, vsock:, hvsock:, containerd:, fd:, npipe:, nri:, shim:",
		"fd:x":             `"x" is no number`,
		"fd:-1":            `"-1" is no number`,
		"npipe:":           "a pipe's path is",
		"npipe://server":   "a pipe's path is",
		"nri:x":            "it has no slash",
		"shim:":            "it is shim:[NAMESPACE/]ID",
		"shim:a/b/c":       "it is shim:[NAMESPACE/]ID",
		"shim:/b":          "it is shim:[NAMESPACE/]ID",
		"grpc+unix:///run": `unknown scheme "grpc+unix"`,
	} {
		if a, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), strconv.Quote(text)) {
			t.Errorf("B170: %q is %+v, %v; want %s", text, a, err, want)
		}
	}
}

// TestContainerd finds containerd's socket in the state directory that has one.
func TestContainerd(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(StateVariable, filepath.Join(dir, "none")+string(filepath.ListSeparator)+dir)
	path := filepath.Join(dir, "containerd.sock.ttrpc")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := Parse("containerd:")
	if err != nil || a.Path != path || a.String() != "containerd: ("+path+")" {
		t.Errorf("B170: %v, %v", a, err)
	}
	if l, err := a.Listen(context.Background()); err == nil {
		l.Close()
		t.Error("B170: containerd: can be listened on")
	}
}

// echo accepts one connection, sends what it gets back, and tells when it has ended.
func echo(t *testing.T, l net.Listener) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.Copy(conn, conn)
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

func wantEcho(t *testing.T, address string) {
	t.Helper()
	a, err := Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := a.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent, got := []byte("hello"), make([]byte, 5)
	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("B170: %s: %q, %v", address, got, err)
	}
}

func TestDialAndListen(t *testing.T) {
	dir := shortDir(t)
	for listen, dial := range map[string]string{
		"unix:" + dir + "/a": dir + "/a",
		dir + "/b":           "containerd:" + dir + "/b",
		"tcp:127.0.0.1:0":    "",
	} {
		a, err := Parse(listen)
		if err != nil {
			t.Fatal(err)
		}
		l, err := a.Listen(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		echo(t, l)
		if dial == "" {
			dial = "ttrpc+tcp:" + l.Addr().String()
		}
		wantEcho(t, dial)
	}
}

// TestTrunk has another connection's pieces between those that are read, and holds how what is
// written is cut.
func TestTrunk(t *testing.T) {
	near, far := net.Pipe()
	conn := newTrunkConn(near, runtimeService)
	defer conn.Close()
	piece := func(number uint32, data string) []byte {
		b := binary.BigEndian.AppendUint32(nil, number)
		return append(binary.BigEndian.AppendUint32(b, uint32(len(data))), data...)
	}
	go func() {
		for _, b := range [][]byte{piece(1, "not ours"), piece(2, "he"), piece(2, ""), piece(7, "x"), piece(2, "llo")} {
			for i := range b { // byte by byte
				far.Write(b[i : i+1])
			}
		}
	}()
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		t.Fatalf("B170: %q, %v", got, err)
	}
	const most = 4096 // what the buffers of others hold
	long := strings.Repeat("x", most+3)
	go func() {
		if n, err := conn.Write([]byte(long)); n != len(long) || err != nil {
			t.Errorf("B170: Write: %d, %v", n, err)
		}
		conn.Close()
	}()
	all, _ := io.ReadAll(far)
	if want := append(piece(2, long[:most]), piece(2, "xxx")...); !bytes.Equal(all, want) {
		t.Errorf("B170: %d bytes are written, want %d", len(all), len(want))
	}
}

// TestNRI dials a trunk by its address.
func TestNRI(t *testing.T) {
	path := filepath.Join(shortDir(t), "n")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	echo(t, l) // of pieces as well
	wantEcho(t, "nri:"+path)
}
