// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestParseAddress(t *testing.T) {
	path107, path108 := "/"+strings.Repeat("x", 106), "/"+strings.Repeat("x", 107)
	onLinux := func(a *address) *address {
		if runtime.GOOS != "linux" {
			return nil
		}
		return a
	}
	unixAt := func(rest string) *address { return &address{scheme: "unix", rest: rest} }
	for text, want := range map[string]*address{
		"unix:///run/a.sock":           unixAt("/run/a.sock"),
		"unix:/run/a.sock":             unixAt("/run/a.sock"),
		"unix:run/a.sock":              unixAt("run/a.sock"),
		"unix:./@a":                    unixAt("./@a"),
		"unix:/odd/tcp://a:1":          unixAt("/odd/tcp://a:1"),
		"unix:" + path107:              onLinux(unixAt(path107)),
		"unix-abstract:a/b:c":          onLinux(unixAt("@a/b:c")),
		"@a":                           onLinux(unixAt("@a")),
		"@" + path107:                  onLinux(unixAt("@" + path107)),
		"unix:@a":                      onLinux(unixAt("@a")),
		"unix://@/a":                   onLinux(unixAt("@/a")),
		"/run/a.sock":                  unixAt("/run/a.sock"),
		"/odd/a:1":                     unixAt("/odd/a:1"),
		"./a.sock":                     unixAt("./a.sock"),
		"run/a.sock":                   unixAt("run/a.sock"),
		"ttrpc+unix:///run/a.sock":     unixAt("/run/a.sock"),
		"ttrpc+/run/a.sock":            unixAt("/run/a.sock"),
		"ttrpc+vsock://3:1024":         {scheme: "vsock", rest: "3", vsock: VsockAddr{3, 1024}},
		"tcp:host:1":                   {scheme: "tcp", rest: "host:1"},
		"tcp://host:1":                 {scheme: "tcp", rest: "host:1"},
		"tcp:[::1]:http":               {scheme: "tcp", rest: "[::1]:http"},
		"tcp::1":                       {scheme: "tcp", rest: ":1"},
		"vsock:3:1024":                 {scheme: "vsock", rest: "3", vsock: VsockAddr{3, 1024}},
		"vsock://3:1024":               {scheme: "vsock", rest: "3", vsock: VsockAddr{3, 1024}},
		"vsock:0:0":                    {scheme: "vsock", rest: "0"},
		"vsock:4294967294:4294967294":  {scheme: "vsock", rest: "4294967294", vsock: VsockAddr{1<<32 - 2, 1<<32 - 2}},
		"vsock::1024":                  {scheme: "vsock", vsock: VsockAddr{anyCID, 1024}},
		"vsock://host:1024":            {scheme: "vsock", rest: "host", vsock: VsockAddr{2, 1024}},
		"vsock:local:1024":             {scheme: "vsock", rest: "local", vsock: VsockAddr{1, 1024}},
		"vsock://any:1024":             {scheme: "vsock", rest: "any", vsock: VsockAddr{anyCID, 1024}},
		"hvsock:/run/vm.sock:1024":     {scheme: "hvsock", rest: "/run/vm.sock", vsock: VsockAddr{0, 1024}},
		"hvsock:///run/vm:1.sock:1024": {scheme: "hvsock", rest: "/run/vm:1.sock", vsock: VsockAddr{0, 1024}},
		"hvsock:vm.sock:1024":          {scheme: "hvsock", rest: "vm.sock", vsock: VsockAddr{0, 1024}},

		"":                         nil,
		"ttrpc+":                   nil,
		"grpc+unix:///run/a.sock":  nil,
		`\\.\pipe\a`:               nil, // not registered here
		"a.sock":                   nil,
		"localhost:50051":          nil,
		"unix":                     nil,
		"unix:":                    nil,
		"unix://":                  nil,
		"unix://relative":          nil,
		"unix:@":                   nil,
		"unix:a\x00b":              nil,
		"unix:" + path108:          nil,
		"UNIX:/run/a.sock":         nil,
		"@":                        nil,
		"unix-abstract:":           nil,
		"@" + path108:              nil,
		"tcp:":                     nil,
		"tcp://":                   nil,
		"tcp:host":                 nil,
		"tcp:host:":                nil,
		"vsock:":                   nil,
		"vsock:3":                  nil,
		"vsock:3:":                 nil,
		"vsock:-1:1":               nil,
		"vsock:4294967295:1":       nil,
		"vsock:3:4294967295":       nil,
		"vsock:guest:1":            nil,
		"hvsock:/run/vm.sock":      nil,
		"hvsock::1024":             nil,
		"hvsock://vm.sock:1":       nil,
		"hvsock:" + path108 + ":1": nil,
		"dns:///example.org":       nil,
		"://nothing":               nil,
	} {
		a, err := parseAddress(text)
		if (err == nil) != (want != nil) || err == nil && (a.scheme != want.scheme || a.rest != want.rest || a.vsock != want.vsock || a.text != text) {
			t.Errorf("B54: %q is %+v, %v; want %+v", text, a, err, want)
		}
		if err == nil {
			continue
		}
		if !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) {
			t.Errorf("B54: the error does not say for which address it is: %v", err)
		}
		if c, err := Dial(text); c != nil || err == nil {
			t.Errorf("B54: Dial takes %q", text)
		}
		if _, err := DialAddress(context.Background(), text); err == nil {
			t.Errorf("B54: DialAddress takes %q", text)
		}
	}
}

// TestAddressErrors holds what is said of mistakes that are easily made.
func TestAddressErrors(t *testing.T) {
	const known = "an address begins with unix:, unix-abstract:, tcp:, vsock:, hvsock:"
	for text, want := range map[string]string{
		"localhost:50051":                  `unknown scheme "localhost": ` + known,
		"localhost:99":                     "; is tcp:localhost:99 meant?",
		"[::1]:http":                       "; is tcp:[::1]:http meant?",
		"a.sock":                           "; is ./a.sock meant, a unix socket?",
		"tcp:localhost:0":                  "nobody can be reached at port 0",
		"localhost:99999":                  `unknown scheme "localhost": ` + known,
		"tcp:localhost:99999":              `"99999" is no port`,
		"tcp:localhost:-1":                 `"-1" is no port`,
		"tcp:localhost:no-such-service":    `"no-such-service" is no port`,
		"":                                 "there is no scheme: " + known,
		"unix:" + strings.Repeat("x", 108): "the path has 108 bytes, and " + fmt.Sprint(maxUnixPath()-1) + " are the most",
		`\\.\pipe\a`:                       `unknown scheme "npipe": ` + known,
	} {
		if _, err := Dial(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("B54: Dial of %q: %v, want %s", text, err, want)
		}
	}
	if c, err := Dial("vsock::1"); err == nil || !strings.Contains(err.Error(), "there is no cid") {
		t.Errorf("B54: Dial of no cid: %v, %v", c, err)
	}
	for _, text := range []string{"hvsock:/a:1", "localhost:1"} {
		if l, err := ListenAddress(context.Background(), text); err == nil {
			l.Close()
			t.Errorf("%s can be listened on", text)
		}
	}
}

func TestParseAddressParts(t *testing.T) {
	for text, want := range map[string][2]string{
		"unix:///run/a.sock":           {"unix", "/run/a.sock"},
		"/run/a.sock":                  {"unix", "/run/a.sock"},
		"ttrpc+tcp://host:1":           {"tcp", "host:1"},
		"vsock://host:1024":            {"vsock", "2:1024"},
		"hvsock:///run/vm:1.sock:1024": {"hvsock", "/run/vm:1.sock:1024"},
		"sandbox:one":                  {"sandbox", "one"}, // of the examples
	} {
		scheme, rest, err := ParseAddress(text)
		if err != nil || scheme != want[0] || rest != want[1] {
			t.Errorf("B170: %q is %q, %q, %v; want %q", text, scheme, rest, err, want)
		}
	}
	if _, _, err := ParseAddress("other:x"); err == nil || !strings.Contains(err.Error(), `unknown scheme "other"`) {
		t.Errorf("B170: an unknown scheme: %v", err)
	}
}

// shortDir returns a directory with a name that is short enough for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "t")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// callOver serves on l and makes a call through what address leads to.
func callOver(t *testing.T, l net.Listener, address string) {
	t.Helper()
	srv := benchServer(t)
	go srv.Serve(context.Background(), l)
	client, err := Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, size := range []int{1, 300 << 10} {
		if err := echo(ctx, client, "test", wrapperspb.String(text(size))); err != nil {
			t.Errorf("B54: a call over %s: %v", address, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	addresses := []string{"unix:" + filepath.Join(shortDir(t), "s"), "tcp:127.0.0.1:0"}
	if runtime.GOOS == "linux" {
		addresses = append(addresses, fmt.Sprintf("unix-abstract:ttrpc/test/%d", os.Getpid()))
	}
	for _, address := range addresses {
		l, err := ListenAddress(context.Background(), address)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(address, "tcp") {
			address = "tcp:" + l.Addr().String()
		}
		callOver(t, l, address)
	}
}

// hvsockMonitor is a virtual machine's monitor, with a server behind port 1024. It answers
// as it is told to on other ports.
func hvsockMonitor(t *testing.T, answers map[string]string) (path string, behind net.Listener) {
	t.Helper()
	path = filepath.Join(shortDir(t), "vm")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ports := &connListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	var open sync.WaitGroup
	t.Cleanup(func() { l.Close(); open.Wait() })
	open.Add(1)
	go func() {
		defer open.Done()
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			open.Add(1)
			go func() {
				defer open.Done()
				line, err := bufio.NewReaderSize(nc, 16).ReadString('\n')
				switch answer, ok := answers[line]; {
				case err != nil || !ok:
					nc.Close()
				case line == "CONNECT 1024\n":
					io.WriteString(nc, answer)
					ports.conns <- nc
				default:
					io.WriteString(nc, answer)
					io.Copy(io.Discard, nc) // until the caller goes
					nc.Close()
				}
			}()
		}
	}()
	return path, ports
}

// A connListener accepts what it is given.
type connListener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *connListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *connListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *connListener) Addr() net.Addr { return nil }

func TestHvsock(t *testing.T) {
	path, behind := hvsockMonitor(t, map[string]string{
		"CONNECT 1024\n": "OK 1073741824\n",
		"CONNECT 1\n":    "FAILURE\n",
		"CONNECT 2\n":    strings.Repeat("x", 100),
		"CONNECT 3\n":    "",
	})
	callOver(t, behind, "hvsock://"+path+":1024")

	ctx, cancel := context.WithCancel(context.Background())
	for port, want := range map[int]string{1: `the answer is "FAILURE", not OK`, 2: `the answer begins with "xxx`, 9: "nobody listens there"} {
		nc, err := DialAddress(ctx, fmt.Sprintf("hvsock:%s:%d", path, port))
		if nc != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("B54: port %d: %v, want %s", port, err, want)
		}
	}
	done := make(chan error)
	go func() {
		_, err := DialAddress(ctx, fmt.Sprintf("hvsock:%s:3", path))
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("B54: a monitor that does not answer, and a context that ends: %v", err)
	}
	if _, err := DialAddress(context.Background(), "hvsock:"+path+".none:1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("B54: no monitor: %v", err)
	}
}

// registrations counts the runs of TestRegisterScheme, for schemes are the program's.
var registrations int

func TestRegisterScheme(t *testing.T) {
	dir := shortDir(t)
	registrations++
	name := fmt.Sprintf("ttrpc-test%d", registrations)
	RegisterScheme(name, func(ctx context.Context, rest string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, rest))
	})
	l, err := net.Listen("unix", filepath.Join(dir, "//s"))
	if err != nil {
		t.Fatal(err)
	}
	callOver(t, l, name+"://s")
	if _, err := Dial("other:s"); err == nil || !strings.Contains(err.Error(), ", "+name+":") {
		t.Errorf("B54: a registered scheme is not listed: %v", err)
	}
	if _, err := ListenAddress(context.Background(), name+":s"); err == nil {
		t.Error("a registered scheme can be listened on")
	}
	dial := func(context.Context, string) (net.Conn, error) { return nil, errFake }
	for name, f := range map[string]schemeDialer{name: dial, "unix": dial, "hvsock": dial, "": dial, "a:": dial, "A": dial, "1a": dial, "a b": dial, "nil": nil} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("scheme %q can be registered", name)
				}
			}()
			RegisterScheme(name, f)
		}()
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			scheme := fmt.Sprintf("%s.%d", name, i)
			RegisterScheme(scheme, dial)
			if _, err := DialAddress(context.Background(), scheme+":x"); err != errFake {
				t.Errorf("B54: a dialer's own error is %v", err)
			}
		}()
	}
	all.Wait()
}
