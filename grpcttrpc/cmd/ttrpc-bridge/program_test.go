// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
	"github.com/containerd/ttrpc/health"
	"github.com/containerd/ttrpc/internal/program"
	ownreflection "github.com/containerd/ttrpc/reflection"
)

func TestMain(m *testing.M) {
	program.Main(m, func() {
		if len(os.Args) == 4 && os.Args[1] == "backend" {
			backendMain(os.Args[2], os.Args[3])
			return
		}
		main()
	})
}

// shortDir returns a directory whose path is short enough for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bridge")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// tools is where the programs are that TestTools has built.
var tools string

// TestTools has other programs talk to the bridge: grpcurl, grpc_health_probe and a server of a
// release of ttrpc.
func TestTools(t *testing.T) {
	tools = t.TempDir()
	for _, args := range [][]string{
		append(append([]string{"build", "-o", tools + "/"}, raceFlags...), "tool"),
		{"build", "-modfile=released.mod", "-o", tools + "/", "./internal/released"},
	} {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
	}
	t.Run("grpcurl", testGrpcurl)
	t.Run("own", testOwn)
	t.Run("health", testHealthProbe)
	t.Run("token", testToken)
	t.Run("released", testReleased)
}

// tool returns a command that runs a program that was built.
func tool(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, filepath.Join(tools, name), args...)
}

// output runs a command and wants it to succeed.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// testService answers what grpcurl asks.
type testService struct {
	grpc_testing.UnimplementedTestServiceServer
}

func (testService) UnaryCall(_ context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	if r.FillUsername {
		return &grpc_testing.SimpleResponse{Username: "greeted"}, nil
	}
	return nil, status.Error(codes.NotFound, "nobody to greet")
}

func (testService) FullDuplexCall(s grpc.BidiStreamingServer[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]) error {
	for {
		m, err := s.Recv()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.Send(&grpc_testing.StreamingOutputCallResponse{Payload: m.Payload}); err != nil {
			return err
		}
	}
}

// serveTTRPC serves the test's service by ttrpc until the test ends.
func serveTTRPC(t *testing.T, reflecting bool, more ...func(*ttrpc.Server)) (socket string) {
	t.Helper()
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		t.Fatal(err)
	}
	registrar := grpcttrpc.NewRegistrar(server)
	grpc_testing.RegisterTestServiceServer(registrar, testService{})
	if reflecting {
		reflection.Register(registrar)
	}
	for _, register := range more {
		register(server)
	}
	socket = shortDir(t) + "/s"
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	t.Cleanup(func() { server.Close(); <-served })
	return socket
}

// bridgeFrom starts a bridge in front of a ttrpc socket, and returns where.
func bridgeFrom(t *testing.T, socket string, flags ...string) (address string, _ *program.Process) {
	t.Helper()
	p := program.Start(t, append([]string{"grpc", "-listen", "127.0.0.1:0", "-to", "unix:" + socket}, flags...)...)
	p.Await(t, "listening on")
	_, address, _ = strings.Cut(strings.TrimSpace(p.Stdout()), "listening on tcp:")
	return address, p
}

// protosetFile writes the descriptions of the test's service.
func protosetFile(t *testing.T) string {
	t.Helper()
	set := new(descriptorpb.FileDescriptorSet)
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i))
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	add(grpc_testing.File_grpc_testing_test_proto)
	encoded, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "protoset")
	if err := os.WriteFile(name, encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// testGrpcurl has grpcurl talk to a ttrpc server, which it finds out about by reflection of
// that server, and by descriptions that only the bridge has.
func testGrpcurl(t *testing.T) {
	reflecting, _ := bridgeFrom(t, serveTTRPC(t, true))
	described, _ := bridgeFrom(t, serveTTRPC(t, false), "-protoset", protosetFile(t), "-reflection=false")
	for name, address := range map[string]string{"reflection": reflecting, "protoset": described} {
		grpcurl := func(args ...string) *exec.Cmd {
			return tool(t, "grpcurl", append([]string{"-plaintext"}, args...)...)
		}
		listed := output(t, grpcurl(address, "list"))
		for _, want := range []string{"grpc.testing.TestService\n", "grpc.health.v1.Health\n", "grpc.reflection.v1.ServerReflection\n"} {
			if !strings.Contains(listed, want) {
				t.Errorf("%s: list has no %q: %q", name, want, listed)
			}
		}
		if out := output(t, grpcurl(address, "describe", "grpc.testing.TestService.UnaryCall")); !strings.Contains(out, "rpc UnaryCall ( .grpc.testing.SimpleRequest ) returns ( .grpc.testing.SimpleResponse );") {
			t.Errorf("%s: describe: %q", name, out)
		}
		out := output(t, grpcurl("-d", `{"fillUsername":true}`, address, "grpc.testing.TestService/UnaryCall"))
		var answer map[string]any
		if err := json.Unmarshal([]byte(out), &answer); err != nil || answer["username"] != "greeted" {
			t.Errorf("%s: a call: %q", name, out)
		}
		failed, err := grpcurl("-d", `{}`, address, "grpc.testing.TestService/UnaryCall").CombinedOutput()
		if err == nil || !bytes.Contains(failed, []byte("Code: NotFound")) || !bytes.Contains(failed, []byte("nobody to greet")) {
			t.Errorf("%s: a call that fails: %v %q", name, err, failed)
		}
		out = output(t, grpcurl("-d", `{"payload":{"body":"YQ=="}}{"payload":{"body":"Yg=="}}`, address, "grpc.testing.TestService/FullDuplexCall"))
		if strings.Count(out, `"body"`) != 2 || !strings.Contains(out, `"YQ=="`) || !strings.Contains(out, `"Yg=="`) {
			t.Errorf("%s: a stream both ways: %q", name, out)
		}
	}
}

// testOwn has grpcurl and grpc_health_probe ask a ttrpc server whose reflection and health are those
// of ttrpc's own packages.
func testOwn(t *testing.T) {
	states := health.New()
	address, _ := bridgeFrom(t, serveTTRPC(t, false, func(server *ttrpc.Server) {
		ownreflection.Register(server)
		states.Register(server)
	}))
	states.Set("one", health.NotServing)
	grpcurl := func(args ...string) *exec.Cmd {
		return tool(t, "grpcurl", append([]string{"-plaintext", "-max-time", "30"}, args...)...)
	}
	if out := output(t, grpcurl(address, "list")); !strings.Contains(out, "grpc.testing.TestService\n") || !strings.Contains(out, "grpc.health.v1.Health\n") {
		t.Errorf("B153: list: %q", out)
	}
	if out := output(t, grpcurl(address, "describe", "grpc.testing.SimpleRequest")); !strings.Contains(out, ".grpc.testing.Payload payload = 3;") {
		t.Errorf("B153: describe: %q", out)
	}
	if out := output(t, grpcurl("-d", `{"fillUsername":true}`, address, "grpc.testing.TestService/UnaryCall")); !strings.Contains(out, `"greeted"`) {
		t.Errorf("B153: a call: %q", out)
	}
	if out := output(t, grpcurl(address, "grpc.health.v1.Health/List")); !strings.Contains(out, `"one"`) || !strings.Contains(out, `"ttrpc.bridge"`) {
		t.Errorf("B150: List: %q", out)
	}
	probe := func(service string) (string, error) {
		out, err := tool(t, "grpc-health-probe", "-addr", address, "-service", service).CombinedOutput()
		return string(out), err
	}
	if out, err := probe("one"); err == nil || !strings.Contains(out, "NOT_SERVING") {
		t.Errorf("B150: the probe of one that does not serve: %v %q", err, out)
	}
	if out, err := probe("two"); err == nil || !strings.Contains(out, "NotFound") {
		t.Errorf("B150: the probe of one that is not there: %v %q", err, out)
	}
	states.Set("one", health.Serving)
	if out, err := probe("one"); err != nil || !strings.Contains(out, "status: SERVING") {
		t.Errorf("B150: the probe of one that serves: %v %q", err, out)
	}
	watch := grpcurl("-d", `{"service":"one"}`, address, "grpc.health.v1.Health/Watch")
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { watch.Process.Kill(); watch.Wait() }()
	lines := bufio.NewScanner(out)
	for _, want := range []string{`"SERVING"`, `"NOT_SERVING"`} {
		for lines.Scan() && !strings.Contains(lines.Text(), "status") {
		}
		if !strings.Contains(lines.Text(), want) {
			t.Errorf("B151: Watch tells %q, want %s", lines.Text(), want)
		}
		states.Set("one", health.NotServing)
	}
}

// testHealthProbe has grpc_health_probe ask for the bridge's health, and for what is behind it.
func testHealthProbe(t *testing.T) {
	address, _ := bridgeFrom(t, serveTTRPC(t, true))
	nobody, _ := bridgeFrom(t, shortDir(t)+"/none")
	probe := func(args ...string) *exec.Cmd { return tool(t, "grpc-health-probe", args...) }
	for _, args := range [][]string{{"-addr", address}, {"-addr", address, "-service", "ttrpc.bridge"}, {"-addr", nobody, "-service", "ttrpc.bridge"}} {
		if out := output(t, probe(args...)); !strings.Contains(out, "status: SERVING") {
			t.Errorf("%v: %q", args, out)
		}
	}
	if out, err := probe("-addr", nobody).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("NOT_SERVING")) {
		t.Errorf("with nobody behind it: %v %q", err, out)
	}
}

// testReleased puts the bridge in front of v1.2.10, which a message for a unary method crashes.
func testReleased(t *testing.T) {
	start := func() (socket string, server *exec.Cmd, ended chan error) {
		socket = shortDir(t) + "/s"
		server = tool(t, "released", socket)
		stdin, err := server.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := server.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := stdout.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		ended = make(chan error, 1)
		go func() { ended <- server.Wait() }()
		t.Cleanup(func() { stdin.Close(); <-ended })
		return socket, server, ended
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	both := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

	socket, _, ended := start()
	unknown, _ := bridgeFrom(t, socket)
	address, _ := bridgeFrom(t, socket, "-method", "old.Service/Unary=unary", "-method", "old.Service/Sum=client-stream",
		"-method", "old.Service/Count=server-stream", "-method", "old.Service/Echo=bidi-stream")
	for _, method := range []string{"Unary", "Sum", "Count", "Echo", "None"} {
		s, err := dialGRPC(t, unknown).NewStream(ctx, both, "/old.Service/"+method)
		if err != nil {
			t.Fatal(err)
		}
		_ = s.SendMsg(wrapperspb.Int64(1))
		if s := status.Convert(s.RecvMsg(new(wrapperspb.Int64Value))); s.Code() != codes.Unimplemented || !strings.Contains(s.Message(), "old.Service/"+method+"=unary") {
			t.Errorf("%s, of which nothing is known: %v %q", method, s.Code(), s.Message())
		}
	}
	conn := dialGRPC(t, address)
	for method, want := range map[string][]int64{"Unary": {4}, "Sum": {3}, "Count": {0, 1, 2}, "Echo": {3}} {
		s, err := conn.NewStream(ctx, both, "/old.Service/"+method)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SendMsg(wrapperspb.Int64(3)); err != nil {
			t.Fatal(err)
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		for _, n := range want {
			m := new(wrapperspb.Int64Value)
			if err := s.RecvMsg(m); err != nil || m.Value != n {
				t.Errorf("%s: %v, %v, want %d", method, m, err, n)
			}
		}
		if err := s.RecvMsg(new(wrapperspb.Int64Value)); err != io.EOF {
			t.Errorf("%s: the end: %v", method, err)
		}
	}
	s, err := conn.NewStream(ctx, both, "/old.Service/Unary")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_ = s.SendMsg(wrapperspb.Int64(3))
	}
	if err := s.RecvMsg(new(wrapperspb.Int64Value)); status.Code(err) != codes.Internal {
		t.Errorf("two messages for a unary method: %v", err)
	}
	select {
	case err := <-ended:
		t.Fatalf("the server of v1.2.10 has ended: %v", err)
	default:
	}
	wantCrash(t, socket, ended)
}

// wantCrash sends a message for a unary method, which ends v1.2.10: that is what the bridge must
// not do.
func wantCrash(t *testing.T, socket string, ended chan error) {
	t.Helper()
	client, err := ttrpc.Dial("unix:" + socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { client.Close(); <-client.Done() }()
	s, err := client.NewStream(context.Background(), &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, "old.Service", "Unary", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.SendMsg(wrapperspb.Int64(1))
	err = <-ended
	ended <- err
	if err == nil {
		t.Error("a message for a unary method does not crash v1.2.10")
	}
}

func dialGRPC(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// certificate writes an authority that is its own only server and client.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bridge"}, DNSNames: []string{"bridge.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		name = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	return write("cert", "CERTIFICATE", der), write("key", "EC PRIVATE KEY", encoded)
}

// TestTLS puts two bridges in a row, with mutual TLS between them: ttrpc, gRPC, ttrpc.
func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	address, _ := bridgeFrom(t, serveTTRPC(t, true), "-tls-cert", cert, "-tls-key", key, "-tls-client-ca", cert)
	call := func(flags ...string) error {
		socket := shortDir(t) + "/s"
		p := program.Start(t, append([]string{"ttrpc", "-listen", "unix:" + socket, "-to", "passthrough:///" + address}, flags...)...)
		p.Await(t, "listening on")
		client, err := ttrpc.Dial("unix:"+socket, ttrpc.WithExtensions())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close(); <-client.Done() })
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		answer, err := grpc_testing.NewTestServiceClient(grpcttrpc.NewClientConn(client)).UnaryCall(ctx, &grpc_testing.SimpleRequest{FillUsername: true})
		if err == nil && answer.Username != "greeted" {
			err = fmt.Errorf("answer %v", answer)
		}
		return err
	}
	if err := call("-tls-ca", cert, "-tls-server-name", "bridge.test", "-tls-cert", cert, "-tls-key", key); err != nil {
		t.Error(err)
	}
	for what, flags := range map[string][]string{
		"without a certificate":      {"-tls-ca", cert, "-tls-server-name", "bridge.test"},
		"with another server's name": {"-tls-ca", cert, "-tls-server-name", "other.test", "-tls-cert", cert, "-tls-key", key},
		"without TLS":                nil,
	} {
		if err := call(flags...); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// testToken holds who needs a token.
func testToken(t *testing.T) {
	name := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(name, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address, _ := bridgeFrom(t, serveTTRPC(t, true), "-token-file", name)
	args := []string{"-plaintext", "-d", `{"fillUsername":true}`}
	call := []string{address, "grpc.testing.TestService/UnaryCall"}
	output(t, tool(t, "grpcurl", append(append(args, "-H", "authorization: Bearer secret"), call...)...))
	for _, header := range []string{"x: y", "authorization: Bearer other", "authorization: secret"} {
		out, err := tool(t, "grpcurl", append(append(args, "-protoset", protosetFile(t), "-H", header), call...)...).CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("Unauthenticated")) {
			t.Errorf("with %q: %v %s", header, err, out)
		}
	}
	output(t, tool(t, "grpc-health-probe", "-addr", address))
}

// TestDrain ends a bridge while a call runs: one that ends in time, and one that does not.
func TestDrain(t *testing.T) {
	for _, inTime := range []bool{true, false} {
		held, goes := make(chan struct{}), make(chan struct{})
		server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
		if err != nil {
			t.Fatal(err)
		}
		server.Register("slow", map[string]ttrpc.Method{"Call": func(ctx context.Context, unmarshal func(any) error) (any, error) {
			close(held)
			select {
			case <-goes:
			case <-ctx.Done():
			}
			return wrapperspb.Int64(1), ctx.Err()
		}})
		socket := shortDir(t) + "/s"
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- server.Serve(context.Background(), l) }()
		flags := []string{"-method", "slow/*=unary", "-log-calls"}
		if !inTime {
			flags = append(flags, "-drain", "10ms")
		}
		address, p := bridgeFrom(t, socket, flags...)
		conn, result := dialGRPC(t, address), make(chan error, 1)
		go func() {
			result <- conn.Invoke(context.Background(), "/slow/Call", wrapperspb.Int64(1), new(wrapperspb.Int64Value))
		}()
		<-held
		p.Signal(t, syscall.SIGTERM)
		want, code := exitFailed, codes.Unavailable
		if inTime {
			want, code = exitOK, codes.OK
			close(goes)
		}
		if err := <-result; status.Code(err) != code {
			t.Errorf("in time %v: %v", inTime, err)
		}
		if got := p.Wait(); got != want || !inTime && !strings.Contains(p.Stderr(), "1 calls had not ended") {
			t.Errorf("in time %v: the bridge ended with %d\n%s", inTime, got, p.Stderr())
		}
		server.Close()
		<-served
	}
}

// TestMetrics reads the metrics and the health by HTTP.
func TestMetrics(t *testing.T) {
	port := freePort(t, "127.0.0.1")
	address, _ := bridgeFrom(t, serveTTRPC(t, true), "-metrics", "127.0.0.1:"+port)
	client := grpc_testing.NewTestServiceClient(dialGRPC(t, address))
	for _, greet := range []bool{true, true, false} {
		_, _ = client.UnaryCall(context.Background(), &grpc_testing.SimpleRequest{FillUsername: greet})
	}
	defer http.DefaultClient.CloseIdleConnections()
	for path, want := range map[string][]string{
		"/healthz": {"serving"},
		"/metrics": {`calls_total{code="OK"} 2`, `calls_total{code="NotFound"} 1`, `calls_active 0`, `messages_total{direction="request"} 3`, `refused_total{reason="unknown_kind"} 0`},
	} {
		answer, err := http.Get("http://127.0.0.1:" + port + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		for _, line := range want {
			if err != nil || answer.StatusCode != 200 || !strings.Contains(string(text), line) {
				t.Errorf("%s has no %q: %v %v %s", path, line, answer.Status, err, text)
			}
		}
	}
}

// shared is a buffer that the program and its log write to.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestUsage holds what is said about mistakes, and the codes.
func TestUsage(t *testing.T) {
	t.Setenv("GRPC_XDS_BOOTSTRAP", "")
	listen, to := []string{"-listen", "unix:/none/s"}, []string{"-to", "unix:/none/t"}
	for _, test := range []struct {
		args []string
		code int
		text string
	}{
		{nil, exitUsage, "ttrpc-bridge grpc  -listen"},
		{[]string{"help"}, exitOK, "ttrpc-bridge grpc  -listen"},
		{[]string{"grpc", "-help"}, exitOK, "-tls-client-ca"},
		{[]string{"ttrpc", "--help"}, exitOK, "-service-config"},
		{[]string{"-version"}, exitOK, "ttrpc-bridge (devel), go"},
		{[]string{"http"}, exitUsage, `no command "http", only grpc and ttrpc`},
		{[]string{"grpc"}, exitUsage, "-listen is missing"},
		{append([]string{"grpc"}, listen...), exitUsage, "-to is missing"},
		{append([]string{"grpc", "-method", "a.B/C"}, append(listen, to...)...), exitUsage, "does not look like"},
		{append([]string{"grpc", "-method", "a.B/C=both"}, append(listen, to...)...), exitUsage, "only unary, client-stream"},
		{append([]string{"grpc", "-tls-cert", "x"}, append(listen, to...)...), exitUsage, "need each other"},
		{append([]string{"grpc", "-reflection=false"}, append(listen, to...)...), exitUsage, "nothing can pass"},
		{append([]string{"grpc", "-protoset", "/dev/null"}, append(listen, to...)...), exitFailed, "make one with protoc"},
		{append([]string{"grpc", "-to", "none"}, listen...), exitFailed, "-to: "},
		{append([]string{"ttrpc", "-tls-server-name", "x"}, append(listen, to...)...), exitUsage, "needs -tls"},
		{append([]string{"ttrpc", "-service-config", "{"}, append(listen, to...)...), exitFailed, "-service-config"},
		{append([]string{"ttrpc"}, append(listen, to...)...), exitFailed, "-listen: "},
		{append([]string{"ttrpc", "-to", "http://host:80"}, listen...), exitUsage, "-to: there is no scheme"},
		{append([]string{"ttrpc", "-to", "tcp:host:80"}, listen...), exitUsage, "-to: there is no scheme"},
		{append([]string{"ttrpc", "-to", "xds:///backends"}, listen...), exitUsage, "GRPC_XDS_BOOTSTRAP"},
		{append([]string{"ttrpc", "-same-user", "-listen", "tcp:127.0.0.1:0"}, to...), exitUsage, "-same-user needs a unix socket"},
		{append([]string{"ttrpc", "more"}, append(listen, to...)...), exitUsage, `"more" is no flag`},
	} {
		var stdout, stderr shared
		if code := run(test.args, &stdout, &stderr); code != test.code || !strings.Contains(stdout.String()+stderr.String(), test.text) {
			t.Errorf("%q: %d, want %d and %q:\n%s%s", test.args, code, test.code, test.text, stdout.String(), stderr.String())
		}
	}
}
