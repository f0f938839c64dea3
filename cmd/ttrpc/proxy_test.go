// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/address"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/testpeer"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/testpeer/demo"
	"github.com/containerd/ttrpc/internal/pcapng"
	"github.com/containerd/ttrpc/internal/testkit"
)

// A sink is an output that tests wait for.
type sink struct {
	mu      sync.Mutex
	changed *sync.Cond
	text    bytes.Buffer
	err     error         // of the next Write
	blocked chan struct{} // Write waits for it, if it is not nil
}

func newSink() *sink {
	s := new(sink)
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *sink) Write(b []byte) (int, error) {
	if s.blocked != nil {
		<-s.blocked
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
	if s.err != nil {
		return 0, s.err
	}
	return s.text.Write(b)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until a text was printed.
func (s *sink) await(t *testing.T, text string) {
	t.Helper()
	testkit.Within(t, "B180: "+text, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for !strings.Contains(s.text.String(), text) {
			s.changed.Wait()
		}
	})
}

// A running is a proxy that runs in this process.
type running struct {
	stdout, stderr *sink
	signals        chan os.Signal
	ended          chan error
}

// startProxy runs a proxy until the test ends, or until end is called.
func startProxy(t *testing.T, f proxyFlags) *running {
	t.Helper()
	r := &running{stdout: newSink(), stderr: newSink(), signals: make(chan os.Signal, 2), ended: make(chan error, 1)}
	return r.start(t, f)
}

func (r *running) start(t *testing.T, f proxyFlags) *running {
	t.Helper()
	e := &cli.Env{Stdin: strings.NewReader(""), Stdout: r.stdout, Stderr: r.stderr, Getenv: func(string) string { return "" }}
	go func() {
		r.ended <- f.run(context.Background(), e, r.signals)
		close(r.ended)
	}()
	t.Cleanup(func() {
		r.signals <- os.Interrupt
		r.signals <- os.Interrupt
		<-r.ended
	})
	r.stderr.await(t, "listening")
	return r
}

// end ends the proxy, and returns its error.
func (r *running) end(t *testing.T) (err error) {
	t.Helper()
	r.signals <- os.Interrupt
	testkit.Within(t, "B180", func() { err = <-r.ended })
	return err
}

// serveDemo serves the test service of this library.
func serveDemo(t *testing.T) (path string) {
	path = filepath.Join(shortDir(t), "s")
	startOurs(t, path)
	return path
}

func dialPath(t *testing.T, path string, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn, opts...)
	t.Cleanup(func() { client.Close(); <-client.Done() })
	return client
}

func greet(ctx context.Context, client *ttrpc.Client, name string) error {
	reply := new(demo.GreetReply)
	err := client.Call(ctx, testpeer.ServiceName, "Greet", &demo.GreetRequest{Name: name}, reply)
	if want := "Hello, " + name + "!"; err == nil && reply.Text != want {
		err = fmt.Errorf("the answer is %q", reply.Text)
	}
	return err
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Hang)
	t.Cleanup(cancel)
	return ctx
}

// TestProxyExtended holds that the extended mode passes a proxy, with large messages in parts
// and files, and that it is understood.
func TestProxyExtended(t *testing.T) {
	server := serveDemo(t)
	path := filepath.Join(shortDir(t), "p")
	r := startProxy(t, proxyFlags{to: server, listen: path, printing: printFlags{limit: 50, verbose: 1}})
	client := dialPath(t, path, ttrpc.WithExtensions())
	blob := new(demo.Blob)
	if err := client.Call(bounded(t), testpeer.ServiceName, "Large", &demo.Number{Value: 1 << 20}, blob); err != nil || len(blob.Data) != 1<<20 {
		t.Fatalf("B180: %d bytes, %v", len(blob.Data), err)
	}
	ctx, cancel := context.WithCancel(ttrpc.WithMetadata(bounded(t), ttrpc.MD{"k": {"v"}}))
	r.stdout.await(t, "[1] ← 3 OK")
	go func() {
		r.stdout.await(t, "/demo.Greeter/Hang")
		cancel()
	}()
	if err := client.Call(ctx, testpeer.ServiceName, "Hang", new(demo.Number), new(demo.Number)); !errors.Is(err, context.Canceled) {
		t.Errorf("B180: %v", err)
	}
	for _, text := range []string{
		"[1] ← extended mode, version 1, features: metadata; messages of up to 4194304 bytes\n",
		"[1] → 3 /demo.Greeter/Large ", " {1: 1048576}\n",
		"[1] → 5 /demo.Greeter/Hang timeout ", " k: v {}\n",
		"[1] → 5 cancelled: context canceled\n",
		"[1] ← 5 Canceled",
	} {
		r.stdout.await(t, text)
	}
	client.Close()
	if err := r.end(t); err != nil {
		t.Errorf("B180: %v", err)
	}
}

// TestProxyRefused holds that a client whose server is not there is told so by the end of its
// connection, and the user by a line.
func TestProxyRefused(t *testing.T) {
	path := filepath.Join(shortDir(t), "p")
	r := startProxy(t, proxyFlags{to: path + "-nobody", listen: path})
	if err := greet(bounded(t), dialPath(t, path), "Ada"); !errors.Is(err, ttrpc.ErrClosed) {
		t.Errorf("B180: %v", err)
	}
	r.stdout.await(t, "[1] refused: the server cannot be reached: ")
}

// TestSlowOutput holds that nobody waits for an output that stands still, that what passes is
// whole, and that the drops are told.
func TestSlowOutput(t *testing.T) {
	server, path := serveDemo(t), filepath.Join(shortDir(t), "p")
	r := &running{stdout: newSink(), stderr: newSink(), signals: make(chan os.Signal, 2), ended: make(chan error, 1)}
	r.stdout.blocked = make(chan struct{})
	capture := filepath.Join(shortDir(t), "cap")
	r.start(t, proxyFlags{to: server, listen: path, pcap: capture, waiting: 1 << 20, printing: printFlags{limit: 10}})
	client := dialPath(t, path)
	const size, calls = 100 << 10, 30 // 3 MB
	for range calls {
		blob := new(demo.Blob)
		if err := client.Call(bounded(t), testpeer.ServiceName, "Large", &demo.Number{Value: size}, blob); err != nil || len(blob.Data) != size {
			t.Fatalf("B180: %d bytes, %v", len(blob.Data), err)
		}
	}
	client.Close()
	close(r.stdout.blocked)
	r.stdout.await(t, "events are not shown, as they could not be printed in time")
	if err := r.end(t); err != nil {
		t.Errorf("B180: %v", err)
	}
}

// TestSlowOutputOfMetadata holds that metadata that waits to be printed is bounded as messages are.
func TestSlowOutputOfMetadata(t *testing.T) {
	server, path := serveDemo(t), filepath.Join(shortDir(t), "p")
	r := &running{stdout: newSink(), stderr: newSink(), signals: make(chan os.Signal, 2), ended: make(chan error, 1)}
	r.stdout.blocked = make(chan struct{})
	r.start(t, proxyFlags{to: server, listen: path, waiting: 1 << 20})
	client := dialPath(t, path)
	ctx := ttrpc.WithMetadata(bounded(t), ttrpc.MD{"k": {strings.Repeat("v", 100<<10)}})
	for range 30 { // 3 MB
		if err := greet(ctx, client, "Ada"); err != nil {
			t.Fatalf("B180: %v", err)
		}
	}
	client.Close()
	close(r.stdout.blocked)
	r.stdout.await(t, "events are not shown, as they could not be printed in time")
}

// TestOutputStandsStill holds that a proxy whose output nobody reads ends at the second signal.
func TestOutputStandsStill(t *testing.T) {
	server, path := serveDemo(t), filepath.Join(shortDir(t), "p")
	r := &running{stdout: newSink(), stderr: newSink(), signals: make(chan os.Signal, 2), ended: make(chan error, 1)}
	r.stdout.blocked = make(chan struct{})
	r.start(t, proxyFlags{to: server, listen: path})
	if err := greet(bounded(t), dialPath(t, path), "Ada"); err != nil {
		t.Fatalf("B180: %v", err)
	}
	r.signals <- os.Interrupt
	r.stderr.await(t, "^C again gives it up")
	if err := r.end(t); err == nil || !strings.Contains(err.Error(), "nobody has taken it") {
		t.Errorf("B180: it has ended with %v", err)
	}
	close(r.stdout.blocked)
}

// TestFullDisk holds that a capture which cannot be written ends the proxy with an error that says so,
// that the place is given back, and that what passes goes on.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	server := serveDemo(t)
	r := startProxy(t, proxyFlags{to: server, inPlace: true, pcap: "/dev/full"})
	client := dialPath(t, server)
	if err := greet(bounded(t), client, "Ada"); err != nil {
		t.Fatalf("B180: %v", err)
	}
	r.stderr.await(t, "1 connections still pass through here")
	if err := greet(bounded(t), dialPath(t, server), "Ada"); err != nil {
		t.Errorf("B181: %v", err)
	}
	if err := greet(bounded(t), client, "Ada"); err != nil {
		t.Errorf("B180: what passes has ended: %v", err)
	}
	client.Close()
	testkit.Within(t, "B180", func() {
		exit := new(cli.Exit)
		if err := <-r.ended; !errors.As(err, &exit) || exit.Code != cli.ExitInput || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("B180: it has ended with %v", err)
		}
	})
}

// TestOutputGone holds that the end of who reads the lines ends the proxy in order.
func TestOutputGone(t *testing.T) {
	server := serveDemo(t)
	r := &running{stdout: newSink(), stderr: newSink(), signals: make(chan os.Signal, 2), ended: make(chan error, 1)}
	r.stdout.err = syscall.EPIPE
	r.start(t, proxyFlags{to: server, inPlace: true})
	client := dialPath(t, server)
	if err := greet(bounded(t), client, "Ada"); err != nil {
		t.Errorf("B181: %v", err)
	}
	client.Close() // else the connection would be let go on
	testkit.Within(t, "B181", func() {
		if err := <-r.ended; err != nil {
			t.Errorf("B181: %v", err)
		}
	})
	if _, err := os.Lstat(server + ".real"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("B181: the place was not given back: %v", err)
	}
}

// startReleased serves the test service by v1.2.10, in a process of its own.
func startReleased(t *testing.T) (path string) {
	dir := shortDir(t)
	program := filepath.Join(dir, "program")
	build(t, ".", "go", "build", "-modfile=released.mod", "-o", program, "./internal/testpeer/released")
	path = filepath.Join(dir, "s")
	startProcess(t, program, path)
	return path
}

// TestInPlaceUnderLoad takes the place of a server of v1.2.10 again and again while clients call it, each
// by a few connections; one connection lasts. No call fails, and those that lasted in a
// proxy go on when it ends.
func TestInPlaceUnderLoad(t *testing.T) {
	server := startReleased(t)
	var stop atomic.Bool
	var calls atomic.Int64
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop.Store(true)
	for i := range 3 {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				conn, err := net.Dial("unix", server)
				if err != nil {
					t.Errorf("B181: %v", err)
					return
				}
				client := ttrpc.NewClient(conn)
				for range 5 {
					if err := greet(bounded(t), client, fmt.Sprint(i, " ", n)); err != nil {
						t.Errorf("B181: %v", err)
					}
					calls.Add(1)
				}
				client.Close()
				<-client.Done()
			}
		})
	}
	for range 5 {
		r := startProxy(t, proxyFlags{to: server, inPlace: true})
		r.stdout.await(t, "[5] → 5 /demo.Greeter/Greet")
		lasting := dialPath(t, server)
		if err := greet(bounded(t), lasting, "Ada"); err != nil {
			t.Errorf("B181: %v", err)
		}
		r.signals <- os.Interrupt
		r.stderr.await(t, "connections still pass through here")
		if err := greet(bounded(t), lasting, "Eve"); err != nil {
			t.Errorf("B181: a connection was cut off by the end: %v", err)
		}
		lasting.Close()
		testkit.Within(t, "B181", func() {
			if err := <-r.ended; err != nil {
				t.Errorf("B181: %v", err)
			}
		})
	}
	if calls.Load() == 0 {
		t.Error("there was no load")
	}
}

// TestSecondSignal holds that connections that last are cut off by the second signal.
func TestSecondSignal(t *testing.T) {
	server := serveDemo(t)
	r := startProxy(t, proxyFlags{to: server, inPlace: true})
	client := dialPath(t, server)
	if err := greet(bounded(t), client, "Ada"); err != nil {
		t.Fatal(err)
	}
	r.signals <- os.Interrupt
	r.stderr.await(t, "^C again")
	if err := r.end(t); err != nil {
		t.Errorf("B181: %v", err)
	}
	testkit.Within(t, "B181", func() { <-client.Done() })
}

// TestKilled kills a proxy that is in a place, and starts another one.
func TestKilled(t *testing.T) {
	server := serveDemo(t)
	var stderr bytes.Buffer
	cmd := exec.Command("ttrpc", "proxy", "--in-place", "--to", server)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.Within(t, "B181", func() { // there is no event for when it is in the place
		for buf := make([]byte, 1<<10); ; time.Sleep(5 * time.Millisecond) {
			if _, err := os.Lstat(server + ".real"); err == nil {
				if conn, err := net.Dial("unix", server); err == nil {
					conn.Close()
					if n, _ := stdout.Read(buf); n > 0 {
						return
					}
				}
			}
		}
	})
	cmd.Process.Kill()
	io.Copy(io.Discard, stdout)
	cmd.Wait()
	if _, err := net.Dial("unix", server); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("B181: somebody answers in the place of who was killed: %v\n%s", err, &stderr)
	}
	r := startProxy(t, proxyFlags{to: server, inPlace: true})
	r.stderr.await(t, "put right what a proxy had left behind that was killed")
	if err := r.end(t); err != nil {
		t.Errorf("B181: %v", err)
	}
	if err := greet(bounded(t), dialPath(t, server), "Ada"); err != nil {
		t.Errorf("B181: %v", err)
	}
}

// TestPanic holds that the place is given back when the proxy panics.
func TestPanic(t *testing.T) {
	server := serveDemo(t)
	p := &proxy{env: &cli.Env{Stderr: io.Discard}}
	var err error
	if p.to, err = address.Parse(server); err != nil {
		t.Fatal(err)
	}
	if _, err := p.takePlace(bounded(t)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if r := recover(); r != "a fault" {
			t.Errorf("B181: the panic has become %v", r)
		}
		if err := greet(bounded(t), dialPath(t, server), "Ada"); err != nil {
			t.Errorf("B181: %v", err)
		}
	}()
	defer p.guard()
	panic("a fault")
}

// TestWhateverPasses sends what is no ttrpc through a proxy: noise, TLS, a half frame. Not a
// byte is changed.
func TestWhateverPasses(t *testing.T) {
	dir := shortDir(t)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(conn, conn); conn.Close() }()
		}
	}()
	path := filepath.Join(dir, "p")
	r := startProxy(t, proxyFlags{to: filepath.Join(dir, "s"), listen: path, printing: printFlags{verbose: 2}})
	noise := make([]byte, 1<<20)
	rand.Read(noise)
	for _, sent := range [][]byte{noise, []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), {0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 7}, bytes.Repeat([]byte{0}, 1000)} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn.Write(sent)
			conn.(*net.UnixConn).CloseWrite()
		}()
		testkit.Within(t, "B180", func() {
			if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("B180: %d bytes have come back of %d, the same: %v, %v", len(got), len(sent), bytes.Equal(got, sent), err)
			}
		})
		conn.Close()
	}
	r.stdout.await(t, "[2] → note: this is TLS")
	r.stdout.await(t, "[4] closed")
}

// TestCaptureHasAll compares what was recorded with what has passed.
func TestCaptureHasAll(t *testing.T) {
	server, path := serveDemo(t), filepath.Join(shortDir(t), "p")
	capture := filepath.Join(shortDir(t), "cap")
	r := startProxy(t, proxyFlags{to: server, listen: path, pcap: capture})
	client := dialPath(t, path)
	blob := new(demo.Blob)
	if err := client.Call(bounded(t), testpeer.ServiceName, "Large", &demo.Number{Value: 1 << 20}, blob); err != nil {
		t.Fatal(err)
	}
	client.Close()
	r.stdout.await(t, "[1] closed")
	if err := r.end(t); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(capture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reader, err := pcapng.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var bytes [2]int
	ends := 0
	for {
		s, err := reader.Next()
		if err == io.EOF {
			break
		} else if err != nil || s.Missing != 0 {
			t.Fatalf("B180: %d are missing, %v", s.Missing, err)
		}
		bytes[side(s.FromServer)] += len(s.Data)
		if s.End {
			ends++
		}
	}
	want := fmt.Sprintf("bytes: %d →, %d ←", bytes[0], bytes[1])
	if !strings.Contains(r.stdout.String(), want) || ends != 2 {
		t.Errorf("B180: recorded are %s, with %d ends; told is\n%s", want, ends, r.stdout)
	}
}

// TestProxyGRPC holds that gRPC's clients work in front of a server of v1.2.10, and reflection by the
// descriptions that were given.
func TestProxyGRPC(t *testing.T) {
	server, path := startReleased(t), filepath.Join(shortDir(t), "p")
	f := proxyFlags{to: server, listen: path, grpc: true, printing: printFlags{limit: 100}}
	f.descriptions.Proto = []string{"testdata/proto/demo.proto"}
	r := startProxy(t, f)
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reply := new(demo.GreetReply)
	if err := conn.Invoke(bounded(t), "/demo.Greeter/Greet", &demo.GreetRequest{Name: "Ada"}, reply); err != nil || reply.Text != "Hello, Ada!" {
		t.Errorf("B180: %v, %v", reply, err)
	}
	err = conn.Invoke(bounded(t), "/demo.Greeter/Fail", &demo.FailRequest{Code: 5, Message: "no"}, reply)
	if status.Code(err) != codes.NotFound {
		t.Errorf("B180: %v", err)
	}
	stream, err := conn.NewStream(bounded(t), &grpc.StreamDesc{ServerStreams: true}, "/demo.Greeter/Count")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.SendMsg(&demo.Number{Value: 2}), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{1, 2} {
		n := new(demo.Number)
		if err := stream.RecvMsg(n); err != nil || n.Value != want {
			t.Errorf("B180: %v, %v", n, err)
		}
	}
	if err := stream.RecvMsg(new(demo.Number)); err != io.EOF {
		t.Errorf("B180: %v", err)
	}
	listed, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := listed.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	if answer, err := listed.Recv(); err != nil || !strings.Contains(answer.String(), testpeer.ServiceName) {
		t.Errorf("B180: %v, %v", answer, err)
	}
	for _, text := range []string{
		`[1] open: the bridge of gRPC`, `/demo.Greeter/Greet {"name":"Ada"}`, `OK `, ` {"text":"Hello, Ada!"}`, "NotFound",
		`/demo.Greeter/Count stream {"value":"2"}`, `{"value":"1"}`,
	} {
		r.stdout.await(t, text)
	}
	conn.Close()
	if err := r.end(t); err != nil {
		t.Errorf("B180: %v", err)
	}
	if out := r.stdout.String(); !strings.Contains(out, "[1] closed: ") || strings.Contains(out, "not shown") {
		t.Errorf("B180: the end of the server's connection is not told:\n%s", out)
	}
}

// TestProxyNRI passes NRI's trunk on, with a call of each end, and shows both.
func TestProxyNRI(t *testing.T) {
	dir := shortDir(t)
	runtime, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer runtime.Close()
	r := startProxy(t, proxyFlags{to: "nri:" + filepath.Join(dir, "s"), listen: filepath.Join(dir, "p")})
	plugin, err := net.Dial("unix", filepath.Join(dir, "p"))
	if err != nil {
		t.Fatal(err)
	}
	defer plugin.Close()
	conn, err := runtime.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	piece := func(n int, data []byte) []byte {
		return append([]byte{0, 0, 0, byte(n), 0, 0, 0, byte(len(data))}, data...)
	}
	for _, step := range []struct {
		from, to net.Conn
		data     []byte
		line     string
	}{
		{plugin, conn, piece(2, call(1)), "[1 runtime] → 1 /demo.Greeter/Greet"},
		{conn, plugin, piece(1, call(1)), "[1 plugin] ← 1 /demo.Greeter/Greet"},
		{plugin, conn, piece(1, answer(1)), "[1 plugin] → 1 OK"},
		{conn, plugin, piece(2, answer(1)), "[1 runtime] ← 1 OK"},
	} {
		if _, err := step.from.Write(step.data); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(step.data))
		if _, err := io.ReadFull(step.to, got); err != nil || !bytes.Equal(got, step.data) {
			t.Errorf("B180: %x, %v", got, err)
		}
		r.stdout.await(t, step.line)
	}
}

// TestProxyReflect asks the server for descriptions, also if the proxy is in its place.
func TestProxyReflect(t *testing.T) {
	for _, inPlace := range []bool{false, true} {
		server := serveDemo(t)
		f := proxyFlags{to: server, inPlace: inPlace, reflect: true}
		path := server
		if !inPlace {
			path = filepath.Join(shortDir(t), "p")
			f.listen = path
		}
		r := startProxy(t, f)
		client := dialPath(t, path)
		if err := greet(bounded(t), client, "Ada"); err != nil {
			t.Errorf("B180: %v", err)
		}
		r.stdout.await(t, `→ 1 /demo.Greeter/Greet {"name":"Ada"}`)
		client.Close()
		if err := r.end(t); err != nil {
			t.Errorf("B180: %v", err)
		}
		if strings.Contains(r.stdout.String(), "Reflection") {
			t.Errorf("B180: the proxy shows its own questions:\n%s", r.stdout)
		}
	}
}

// TestQueue holds what is dropped, how that is told, and that an error is told once.
func TestQueue(t *testing.T) {
	q := newQueue[int](30)
	for i := range 5 {
		if got := q.put(i, 10); got != (i < 3) {
			t.Errorf("B180: %d was put: %v", i, got)
		}
	}
	var got []string
	next := func(handled error) func(int) error {
		return func(i int) error { got = append(got, fmt.Sprint(i)); return handled }
	}
	dropped := func(n int) error { got = append(got, fmt.Sprint("dropped ", n)); return nil }
	q.close()
	q.drain(next(nil), dropped, func(err error) { t.Error(err) })
	if text := strings.Join(got, ", "); text != "0, 1, 2, dropped 2" {
		t.Errorf("B180: handled were %s", text)
	}
	q, got = newQueue[int](100), nil
	q.put(1, 1)
	q.put(2, 1)
	q.close()
	failures := 0
	q.drain(next(io.ErrShortWrite), dropped, func(error) { failures++ })
	if len(got) != 1 || failures != 1 {
		t.Errorf("B180: after an error %v were handled, and it was told %d times", got, failures)
	}
}
