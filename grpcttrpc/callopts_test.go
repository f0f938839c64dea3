// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/experimental"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
)

// An optionTest is what becomes of a call with an option.
type optionTest struct {
	option  grpc.CallOption
	refused string     // the option's name in the error, or empty if it is honoured
	code    codes.Code // of the error
}

// optionTests has, for each type of option that grpc exports, cases of it.
func optionTests() map[string][]optionTest {
	honoured := func(opts ...grpc.CallOption) (tests []optionTest) {
		for _, o := range opts {
			tests = append(tests, optionTest{option: o})
		}
		return tests
	}
	refused := func(o grpc.CallOption, name string) optionTest { return optionTest{o, name, codes.Unimplemented} }
	mistaken := func(o grpc.CallOption, name string) optionTest { return optionTest{o, name, codes.Internal} }
	return map[string][]optionTest{
		"EmptyCallOption":        honoured(grpc.EmptyCallOption{}, &grpc.EmptyCallOption{}),
		"StaticMethodCallOption": honoured(grpc.StaticMethod()),
		"HeaderCallOption":       append(honoured(grpc.Header(new(metadata.MD))), mistaken(grpc.Header(nil), "grpc.Header")),
		"TrailerCallOption":      append(honoured(grpc.Trailer(new(metadata.MD))), mistaken(grpc.Trailer(nil), "grpc.Trailer")),
		"PeerCallOption":         append(honoured(grpc.Peer(new(peer.Peer))), mistaken(grpc.Peer(nil), "grpc.Peer")),
		"FailFastCallOption":     honoured(grpc.WaitForReady(true), grpc.WaitForReady(false), grpc.FailFastCallOption{FailFast: true}),
		"OnFinishCallOption": append(honoured(grpc.OnFinish(func(error) {})),
			mistaken(grpc.OnFinish(nil), "grpc.OnFinish")),
		"MaxRecvMsgSizeCallOption": append(honoured(grpc.MaxCallRecvMsgSize(1<<20)),
			optionTest{grpc.MaxCallRecvMsgSize(2), "grpc: received message larger than max (11 vs. 2)", codes.ResourceExhausted}),
		"MaxSendMsgSizeCallOption": append(honoured(grpc.MaxCallSendMsgSize(1<<20)),
			optionTest{grpc.MaxCallSendMsgSize(2), "trying to send message larger than max (11 vs. 2)", codes.ResourceExhausted}),
		"AuthorityOverrideCallOption": append(honoured(grpc.CallAuthority("")), refused(grpc.CallAuthority("host"), `grpc.CallAuthority("host")`)),
		"PerRPCCredsCallOption": append(honoured(grpc.PerRPCCredentials(token{})), optionTest{grpc.PerRPCCredentials(token{fails: true}),
			"transport: per-RPC creds failed due to error: no token", codes.Internal}),
		"CompressorCallOption": append(honoured(grpc.UseCompressor(""), grpc.UseCompressor(encoding.Identity)),
			refused(grpc.UseCompressor("gzip"), `grpc.UseCompressor("gzip")`)),
		"acceptCompressorsCallOption": honoured(experimental.AcceptCompressors(), experimental.AcceptCompressors("gzip")),
		"ContentSubtypeCallOption": append(honoured(grpc.CallContentSubtype(""), grpc.CallContentSubtype("Proto")),
			refused(grpc.CallContentSubtype("json"), `grpc.CallContentSubtype("json")`)),
		"ForceCodecCallOption":            append(honoured(grpc.ForceCodec(countingCodec{})), mistaken(grpc.ForceCodec(nil), "grpc.ForceCodec")),
		"ForceCodecV2CallOption":          append(honoured(grpc.ForceCodecV2(encoding.GetCodecV2("proto"))), mistaken(grpc.ForceCodecV2(nil), "grpc.ForceCodecV2")),
		"CustomCodecCallOption":           append(honoured(grpc.CustomCodecCallOption{Codec: countingCodec{}}), mistaken(grpc.CustomCodecCallOption{}, "grpc.CallCustomCodec")),
		"MaxRetryRPCBufferSizeCallOption": honoured(grpc.MaxRetryRPCBufferSize(0)),
	}
}

// A token is credentials. They fail if they are told to.
type token struct{ secure, fails bool }

func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if t.fails {
		return nil, errors.New("no token")
	}
	return map[string]string{"Authorization": "Bearer 1"}, nil
}

func (t token) RequireTransportSecurity() bool { return t.secure }

// A countingCodec is protobuf, of gRPC's oldest kind and of the one that followed.
type countingCodec struct{ used *int }

func (c countingCodec) count() {
	if c.used != nil {
		*c.used++
	}
}

func (c countingCodec) Marshal(m any) ([]byte, error) {
	c.count()
	return proto.Marshal(m.(proto.Message))
}

func (c countingCodec) Unmarshal(b []byte, m any) error {
	c.count()
	return proto.Unmarshal(b, m.(proto.Message))
}

func (countingCodec) Name() string   { return "counting" }
func (countingCodec) String() string { return "counting" }

// TestCallOptions holds that each option that there is in grpc is honoured, or refused with an
// error that names it, in calls and streams. It finds them in the source, so that one that a
// later version adds fails it.
func TestCallOptions(t *testing.T) {
	tests := optionTests()
	if found, known := optionTypes(t), slices.Sorted(maps.Keys(tests)); !slices.Equal(found, known) {
		t.Fatalf("B128: grpc has the options\n%q, and tested are\n%q", found, known)
	}
	server := newServer(t, ttrpc.WithServerExtensions())
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), echoes())
	stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(t, server, ttrpc.WithExtensions())))
	for name, cases := range tests {
		for i, c := range cases {
			t.Run(fmt.Sprint(name, i), func(t *testing.T) {
				_, err := stub.UnaryCall(withDeadline(t), &testpb.SimpleRequest{Payload: &testpb.Payload{Body: make([]byte, 7)}}, c.option)
				wantOption(t, c, err)
				stream, err := stub.FullDuplexCall(withDeadline(t), c.option)
				if err == nil {
					err = stream.Send(askFor(7))
				}
				if err == nil {
					_, err = stream.Recv()
				}
				wantOption(t, c, err)
			})
		}
	}
}

func wantOption(t *testing.T, c optionTest, err error) {
	t.Helper()
	if c.refused == "" && err != nil {
		t.Errorf("B128: it is not honoured: %v", err)
	}
	if c.refused != "" && (status.Code(err) != c.code || !strings.Contains(status.Convert(err).Message(), c.refused)) {
		t.Errorf("B128: the error is %v, and not %v with %s", err, c.code, c.refused)
	}
}

// optionTypes returns the names of the types in grpc's source that are call options.
func optionTypes(t *testing.T) []string {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "google.golang.org/grpc").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	options := make(map[string]bool)
	embedded := make(map[string][]string) // by what they embed
	look := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Name.Name == "before" && n.Recv != nil {
				options[typeName(n.Recv.List[0].Type)] = true
			}
		case *ast.TypeSpec:
			if s, ok := n.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					if inner := typeName(f.Type); len(f.Names) == 0 && inner != "" {
						embedded[inner] = append(embedded[inner], n.Name.Name)
					}
				}
			}
		}
		return true
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(gotoken.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, look)
	}
	for more := true; more; {
		before := len(options)
		for inner := range maps.Clone(options) {
			for _, outer := range embedded[inner] {
				options[outer] = true
			}
		}
		more = len(options) > before
	}
	return slices.Sorted(maps.Keys(options))
}

// typeName returns the name of a type of the package, or of what it points to.
func typeName(e ast.Expr) string {
	if p, ok := e.(*ast.StarExpr); ok {
		e = p.X
	}
	if name, ok := e.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// An ownOption is what a user's interceptors look for.
type ownOption struct {
	grpc.EmptyCallOption
	data string
}

// A limitOption is an option of gRPC's with something of a user's.
type limitOption struct {
	*grpc.MaxSendMsgSizeCallOption
	why string
}

// TestOptionsOfUsers holds that an option that embeds one of gRPC's is what that is.
func TestOptionsOfUsers(t *testing.T) {
	server := newServer(t, ttrpc.WithServerExtensions())
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), echoes())
	stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(t, server, ttrpc.WithExtensions())))
	call := func(o grpc.CallOption) error {
		_, err := stub.UnaryCall(withDeadline(t), &testpb.SimpleRequest{Payload: &testpb.Payload{Body: make([]byte, 7)}}, o)
		return err
	}
	if err := errors.Join(call(ownOption{data: "x"}), call(&ownOption{data: "x"})); err != nil {
		t.Errorf("B128: one that embeds the empty option is not that: %v", err)
	}
	if err := call(limitOption{&grpc.MaxSendMsgSizeCallOption{MaxSendMsgSize: 2}, "x"}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("B128: one that embeds a limit is none: %v", err)
	}
	for _, o := range []grpc.CallOption{nil, (*ownOption)(nil), limitOption{why: "x"}} {
		if err := call(o); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "nil") {
			t.Errorf("B128: %#v is no error: %v", o, err)
		}
	}
}
