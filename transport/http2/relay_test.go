// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package http2_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/transport"
	"github.com/containerd/ttrpc/transport/http2"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
)

// A relay is a proxy of Debian's. Its configurations are those of docs/transports.md.
type relay struct {
	program string
	args    []string
	config  string // with the directory, the address to listen on, and the server's
}

var haproxy = relay{"haproxy", []string{"-db", "-f"}, `# in %[1]s
defaults
	mode http
	timeout connect 5s
	timeout client 1h
	timeout server 1h
	retries 0
frontend in
	bind %[2]s proto h2
	default_backend servers
backend servers
	server one %[3]s proto h2
`}

var nginx = relay{"nginx", []string{"-e", "stderr", "-c"}, nginxAround(`
			grpc_pass grpc://%[3]s;
			client_max_body_size 0;
			client_body_timeout 1h;
			grpc_read_timeout 1h;
			grpc_send_timeout 1h;`)}

// buffering is an nginx whose location is that of ordinary pages.
var buffering = relay{"nginx", nginx.args, nginxAround(`
			proxy_pass http://%[3]s;`)}

func nginxAround(location string) string {
	return `
daemon off;
pid %[1]s/pid;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s http2;
		location / {` + location + `
		}
	}
}
`
}

// need leaves a test out where a program is not installed, but not in CI.
func need(t *testing.T, program string) {
	if _, err := exec.LookPath(program); err != nil {
		complain := t.Skipf
		if os.Getenv("CI") == "true" {
			complain = t.Fatalf
		}
		complain("NOT CHECKED through %s: %v; on Debian: apt-get install %[1]s", program, err)
	}
}

// freeAddress returns one on which nobody listens.
func freeAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs the relay in front of a server until the test ends.
func (r relay) start(t testing.TB, target string) (url string) {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, fmt.Appendf(nil, r.config, dir, address, target), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(r.program, append(r.args, config)...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		<-ended
		if t.Failed() {
			t.Logf("%s: %s", r.program, &said)
		}
	})
	// It tells nobody when it listens.
	for limit := time.Now().Add(testkit.Hang); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return "http://" + address
		}
		select {
		case <-ended:
			t.Fatalf("%s has ended: %s", r.program, &said)
		default:
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
}

// transport is what the transport is behind a relay, which all listeners share.
func (r relay) transport(t testing.TB) transporttest.Transport {
	mux := http.NewServeMux()
	at := r.start(t, serve(t, authenticate(mux)).Listener.Addr().String())
	dialer := http2.Dialer{Header: http.Header{"Authorization": {"Basic Z29waGVyOnNlY3JldA=="}}}
	n := 0
	return transporttest.Transport{HalfClose: true, OtherAddresses: true, Listen: func(t testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
		l := listen(t)
		n++
		path := fmt.Sprint("/", n)
		mux.Handle(path, l)
		return l, func(ctx context.Context) (net.Conn, error) { return dialer.Dial(ctx, at+path) }
	}}
}

// TestRelays goes through the proxies of Debian, with authentication behind them.
func TestRelays(t *testing.T) {
	t.Parallel()
	for _, r := range []relay{haproxy, nginx} {
		t.Run(r.program, func(t *testing.T) {
			need(t, r.program)
			t.Parallel()
			tr := r.transport(t)
			t.Run("conns", func(t *testing.T) { transporttest.Conns(t, tr) })
			t.Run("calls", func(t *testing.T) { transporttest.Calls(t, tr) })
			t.Run("libchan", func(t *testing.T) { sessions(t, tr) })
			t.Run("refused", func(t *testing.T) { refusedBehind(t, r) })
			t.Run("cut", func(t *testing.T) { cutBehind(t, r) })
		})
	}
}

// refusedBehind has a relay pass on what a server and nobody says.
func refusedBehind(t *testing.T, r relay) {
	at := r.start(t, serve(t, authenticate(listen(t))).Listener.Addr().String())
	var status *transport.StatusError
	// nginx says 502 if it is told before it has passed on all that it has of the request.
	if _, err := http2.Dial(t.Context(), at); !errors.As(err, &status) || status.Code != 401 && (status.Code != 502 || r.program != "nginx") {
		t.Errorf("B98: %v, want status 401", err)
	}
	at = r.start(t, freeAddress(t))
	if _, err := http2.Dial(t.Context(), at); !errors.As(err, &status) || status.Code != 502 && status.Code != 503 {
		t.Errorf("B98: %v, want status 502 or 503", err)
	}
}

// cutBehind cuts the connection between the relay and the server.
func cutBehind(t *testing.T, r relay) {
	l := listen(t)
	p := newProxy(t, serve(t, l).Listener.Addr().String(), 32<<10)
	client, err := http2.Dial(t.Context(), r.start(t, p.address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.Write([]byte("half of "))
	got := make([]byte, 8)
	if _, err := io.ReadFull(client, got); err != nil {
		t.Fatal(err)
	}
	p.cut()
	testkit.Within(t, "B97", func() {
		if _, err := client.Read(got); err == nil || err == io.EOF {
			t.Errorf("B97: cut off behind the proxy, Read returns %v", err)
		}
	})
}

// TestRelayThatBuffers has a relay that is not set up for conns: Dial says so in time.
func TestRelayThatBuffers(t *testing.T) {
	need(t, "nginx")
	at := buffering.start(t, serve(t, listen(t)).Listener.Addr().String())
	dialer := http2.Dialer{HandshakeTimeout: time.Second}
	if _, err := dialer.Dial(t.Context(), at); !errors.Is(err, transport.ErrNoAnswer) {
		t.Errorf("B98: %v, want %v", err, transport.ErrNoAnswer)
	}
}
