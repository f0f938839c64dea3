// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package websocket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/transport"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
	"github.com/containerd/ttrpc/transport/websocket"
)

// behind is a transport through a proxy.
func behind(proxy func(t testing.TB, server string) (url string)) transporttest.Transport {
	return transporttest.Transport{Listen: func(t testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
		l := listen(t, new(websocket.Listener))
		url := proxy(t, serve(t, l).URL)
		return l, func(ctx context.Context) (net.Conn, error) { return websocket.Dial(ctx, url) }
	}}
}

// calls makes a few calls, small and large.
func calls(t *testing.T, tr transporttest.Transport) {
	l, dial := tr.Listen(t)
	transporttest.Serve(t, l, ttrpc.WithServerExtensions())
	c, err := dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := transporttest.Connect(t, c, ttrpc.WithExtensions())
	for _, size := range []int{0, 1000, 1 << 20} {
		transporttest.Echo(t, client, strings.Repeat("x", size))
	}
}

// reverseProxy asks for a password, and forwards who has it to a server.
func reverseProxy(t testing.TB, server string) string {
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorLog = nil
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "sesame" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	return strings.Replace(at(s), "://", "://ali:sesame@", 1)
}

func TestReverseProxy(t *testing.T) {
	tr := behind(reverseProxy)
	calls(t, tr)
	client, server := tr.Pair(t)
	exchange(t, client, server)
	client.Write([]byte("bye"))
	client.Close()
	testkit.Within(t, "B97", func() {
		if got, err := io.ReadAll(server); string(got) != "bye" || err != nil {
			t.Errorf("B97: %q, %v", got, err)
		}
	})
	info := server.(transport.Conn).AuthInfo()
	if info.Header.Get("X-Forwarded-For") == "" {
		t.Errorf("B99: the proxy's headers are %v", info.Header)
	}
}

// nginx runs one in front of a server until the test ends. It gives up what is idle for a
// second.
func nginx(t testing.TB, server, location string) string {
	program, err := exec.LookPath("nginx")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("nginx is not installed")
		}
		t.Skip("nginx is not installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`
daemon off; master_process off; worker_processes 1; pid %[1]s/pid; error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s;
		location / {
			proxy_pass %[3]s;
			proxy_http_version 1.1;
			proxy_read_timeout 1s;
			%[4]s
		}
	}
}`, dir, address, server, location)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd := exec.Command(program, "-c", config, "-e", "stderr", "-p", dir)
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := testkit.WaitFor(func() { cmd.Wait() })
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	for {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return "ws://" + address
		}
		select {
		case <-ended:
			t.Fatalf("nginx has ended: %s", &stderr)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// upgrade is what nginx must be told.
const upgrade = "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_set_header Host $http_host;"

func TestNginx(t *testing.T) {
	tr := behind(func(t testing.TB, server string) string { return nginx(t, server, upgrade) })
	calls(t, tr)
	client, server := tr.Pair(t)
	exchange(t, client, server)
	server.Write([]byte("bye"))
	server.Close()
	testkit.Within(t, "B97", func() {
		if got, err := io.ReadAll(client); string(got) != "bye" || err != nil {
			t.Errorf("B97: %q, %v", got, err)
		}
	})
}

// TestNginxIdle has a conn be idle for longer than nginx likes: pings keep it.
func TestNginxIdle(t *testing.T) {
	t.Parallel() // it sleeps
	for _, interval := range []time.Duration{200 * time.Millisecond, -1} {
		l := listen(t, &websocket.Listener{PingInterval: -1})
		url := nginx(t, serve(t, l).URL, upgrade)
		client, server := accept(t, l, &websocket.Dialer{PingInterval: interval}, url)
		exchange(t, client, server)
		client.SetReadDeadline(time.Now().Add(3 * time.Second))
		_, err := client.Read(make([]byte, 1))
		if interval > 0 {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("B111: a conn with pings: %v", err)
			}
			client.SetReadDeadline(time.Time{})
			exchange(t, client, server)
		} else if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("B111: a conn without pings: %v, want %v", err, io.ErrUnexpectedEOF)
		}
	}
}

// TestNginxWithoutUpgrade has nginx pass on what is left of the request, as it does unasked.
func TestNginxWithoutUpgrade(t *testing.T) {
	l := listen(t, new(websocket.Listener))
	url := nginx(t, serve(t, l).URL, "")
	_, err := websocket.Dial(t.Context(), url)
	var status *transport.StatusError
	if !errors.As(err, &status) || status.Code != http.StatusUpgradeRequired || !strings.Contains(status.Text, "may not pass the request on") {
		t.Errorf("B98: %v", err)
	}
}
