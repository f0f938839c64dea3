// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/health"
	"github.com/containerd/ttrpc/internal/leak"
	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/wire"
	"github.com/containerd/ttrpc/reflection"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// open opens a schema that must be right.
func open(t *testing.T, f *Flags, client *ttrpc.Client) *Schema {
	t.Helper()
	s, err := f.Open(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// files writes files and returns their directory.
func files(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range contents {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBuiltIn(t *testing.T) { // B176
	s := open(t, &Flags{}, nil)
	names, err := s.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"containerd.task.v2.Task", "containerd.task.v3.Task", "containerd.runtime.sandbox.v1.Sandbox", "containerd.services.events.ttrpc.v1.Events",
		"containerd.services.streaming.v1.Streaming", "containerd.services.transfer.v1.Transfer", "nri.pkg.api.v1alpha1.Plugin",
		"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", wire.HelloService,
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not built in", want)
		}
	}
	for _, name := range []string{"containerd.runc.v1.Options", "containerd.events.TaskExit", "io.containerd.cgroups.v2.Metrics", "google.protobuf.Timestamp", "google.rpc.Status"} {
		if _, err := s.Types().FindMessageByURL(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNamesOfMethods(t *testing.T) { // B176
	s := open(t, &Flags{}, nil)
	for _, name := range []string{"containerd.task.v2.Task/State", "/containerd.task.v2.Task/State", "containerd.task.v2.Task.State"} {
		if m, err := s.Method(t.Context(), name); err != nil || m.FullName() != "containerd.task.v2.Task.State" {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	for name, want := range map[string]string{
		"State":                             `"State" is not the name of a method`,
		"containerd.task.v2.Task/":          `"containerd.task.v2.Task/" is not the name of a method`,
		"containerd.task.v2.Task/Stat":      `service containerd.task.v2.Task has no method "Stat": no description was found; Its methods are: State, Create, `,
		"containerd.task.v2.task/State":     "containerd.task.v2.task: no description was found; Is containerd.task.v2.Task meant?",
		"a b/State":                         `"a b" is not the name of a service`,
		"x.Y/State":                         "x.Y: no description was found; Describe its services with --proto FILE",
		"containerd.task.v2.StateRequest/X": "containerd.task.v2.StateRequest is a message, not a service",
	} {
		_, err := s.Method(t.Context(), name)
		wantExit(t, err, want)
	}
}

// wantExit holds that an error has a code, and begins with a text, its hint behind it.
func wantExit(t *testing.T, err error, want string) {
	t.Helper()
	var exit *cli.Exit
	if !errors.As(err, &exit) {
		t.Errorf("%v is no *cli.Exit; want %s", err, want)
		return
	}
	if got := exit.Error() + "; " + exit.Hint; !strings.HasPrefix(got, want) || exit.Code == 0 {
		t.Errorf("code %d: %s\nwant %s", exit.Code, got, want)
	}
}

const hello = `syntax = "proto3"; package t; import "google/protobuf/any.proto"; import "types/mount.proto"; import "b/c.proto";
message Hello { google.protobuf.Any any = 1; containerd.types.Mount mount = 2; C c = 3; } service S { rpc Do(Hello) returns (Hello); }`

func TestProto(t *testing.T) { // B176
	dir := files(t, map[string]string{"a.proto": hello, "b/c.proto": `syntax = "proto3"; package t; message C {}`})
	for name, f := range map[string]*Flags{
		"by its place":          {Proto: []string{filepath.Join(dir, "a.proto")}},
		"below an import path":  {Proto: []string{"a.proto"}, ImportPaths: []string{dir}},
		"by its place below it": {Proto: []string{filepath.Join(dir, "a.proto")}, ImportPaths: []string{dir}},
		"twice":                 {Proto: []string{filepath.Join(dir, "a.proto"), "b/c.proto"}, ImportPaths: []string{dir}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := open(t, f, nil).Method(t.Context(), "t.S/Do"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWrongFiles(t *testing.T) { // B176
	dir := files(t, map[string]string{
		"a.proto": "syntax = \"proto3\";\nmessage A { B b = 1; }\nmessage C { D d = 1; }", "b.proto": `syntax = "proto3"; import "none.proto";`, "set": "no set", "empty": "",
	})
	in := func(name string) []string { return []string{filepath.Join(dir, name)} }
	for want, f := range map[string]*Flags{
		"a.proto:2:13: field A.b: unknown type B":    {Proto: in("a.proto")},
		"a.proto:3:13: field C.d: unknown type D":    {Proto: in("a.proto")},
		"b.proto:1:27: there is no none.proto in ":   {Proto: in("b.proto")},
		"open nowhere.proto: file does not exist":    {Proto: []string{"nowhere.proto"}},
		"set is no set of descriptions":              {Protosets: in("set")},
		"empty describes nothing":                    {Protosets: in("empty")},
		"--import-path does nothing without --proto": {ImportPaths: []string{dir}},
		"stat nowhere: no such file or directory":    {ImportPaths: []string{"nowhere"}, Proto: in("a.proto")},
	} {
		_, err := f.Open(t.Context(), nil)
		var exit *cli.Exit
		if !errors.As(err, &exit) || exit.Code != cli.ExitInput || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

// serve serves reflection and health in memory, and returns a client.
func serve(t *testing.T, register func(*ttrpc.Server)) *ttrpc.Client {
	t.Helper()
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	register(server)
	here, there := memconn.StreamPipe(1 << 20)
	go server.ServeConn(context.WithoutCancel(t.Context()), there)
	client := ttrpc.NewClient(here)
	t.Cleanup(func() { client.Close(); server.Close() })
	return client
}

func TestReflection(t *testing.T) { // B176
	client := serve(t, func(s *ttrpc.Server) { reflection.Register(s); health.New().Register(s) })
	s := open(t, &Flags{}, client)
	names, err := s.Services(t.Context())
	if err != nil || !slices.Contains(names, "grpc.health.v1.Health") || slices.Contains(names, "containerd.task.v2.Task") {
		t.Errorf("services %v, %v", names, err)
	}
	if m, err := s.Method(t.Context(), "grpc.health.v1.Health/Check"); err != nil || m.Input().FullName() != "grpc.health.v1.HealthCheckRequest" {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := s.Method(t.Context(), "containerd.task.v2.Task/State"); err != nil {
		t.Errorf("beside reflection what is built in is not found: %v", err)
	}
	_, err = s.Method(t.Context(), "x.Y/Z")
	wantExit(t, err, "x.Y: no description was found; Describe its services with")
}

// TestUndescribed has a server list a service of which it has no description: it is told what to do, and
// not that it may mean what it has said.
func TestUndescribed(t *testing.T) { // B176
	client := serve(t, func(s *ttrpc.Server) {
		reflection.Register(s)
		s.RegisterService("old.Undescribed", &ttrpc.ServiceDesc{})
	})
	_, err := open(t, &Flags{}, client).Find(t.Context(), "old.Undescribed")
	wantExit(t, err, "old.Undescribed: no description was found; Describe its services with --proto FILE")
}

// TestRefused has a server refuse the connection by the answer to reflection: that is no lack of
// descriptions.
func TestRefused(t *testing.T) { // B176
	client := serve(t, func(s *ttrpc.Server) {
		s.RegisterService("grpc.reflection.v1.ServerReflection", &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{"ServerReflectionInfo": {
			StreamingClient: true, StreamingServer: true,
			Handler: func(context.Context, ttrpc.StreamServer) (any, error) {
				return nil, status.Error(codes.PermissionDenied, "ttrpc: the peer refuses the connection: go away")
			},
		}}})
	})
	_, err := open(t, &Flags{}, client).Services(t.Context())
	if exit := new(cli.Exit); !errors.As(err, &exit) || exit.Code != cli.ExitConnect {
		t.Errorf("B176: %v, want code %d", err, cli.ExitConnect)
	}
}

func TestWithoutReflection(t *testing.T) { // B176
	s := open(t, &Flags{}, serve(t, func(*ttrpc.Server) {}))
	_, err := s.Services(t.Context())
	wantExit(t, err, "the server does not serve reflection; Describe its services with --proto FILE or --protoset FILE.")
	_, err = s.Method(t.Context(), "x.Y/Z")
	wantExit(t, err, "x.Y: no description was found, and the server does not serve reflection; Describe its services with")
	if _, err := s.Method(t.Context(), "containerd.task.v2.Task/State"); err != nil {
		t.Error(err)
	}
}
