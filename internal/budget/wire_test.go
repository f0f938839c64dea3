// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/internal/wire"
)

// wireDir is the one place that has layouts of what stands on the wire.
const wireDir = "internal/wire"

// ownBytes are files that turn values into bytes by hand, and are allowed to: what they
// write is none of ttrpc's layouts.
var ownBytes = map[string]string{
	"bench_test.go":                                  "a message of the benchmarks that encodes itself",
	"bench/floor/main.go":                            "frames of its own, in a program without ttrpc",
	"bench/floor/peer.go":                            "frames of its own, in a program without ttrpc",
	"bench/measure/content.go":                       "numbers in the content of messages",
	"cmd/ttrpc/internal/address/address_test.go":     "pieces on NRI's trunk, below all of ttrpc",
	"cmd/ttrpc/internal/address/nri.go":              "pieces on NRI's trunk, below all of ttrpc",
	"cmd/ttrpc/internal/watch/more_test.go":          "NRI's multiplexer",
	"cmd/ttrpc/internal/watch/trunk.go":              "NRI's multiplexer",
	"cmd/ttrpc/internal/message/message_test.go":     "messages that nothing describes",
	"cmd/ttrpc/internal/message/raw.go":              "the fields of messages that nothing describes",
	"integration/soak/pattern.go":                    "numbers in the content of messages",
	"integration/users/containerd/streaming_test.go": "numbers in the content of messages",
	"internal/pcapng/blocks.go":                      "files of captures",
	"internal/pcapng/link.go":                        "headers of TCP and IP in captures",
	"internal/pcapng/pcapng_test.go":                 "captures that others have made, or that are wrong",
	"internal/pcapng/writer.go":                      "files of captures",
	"libchan/codec_msgpack.go":                       "MessagePack, a codec of messages",
	"libchan/codec_protobuf.go":                      "what travels beside a protobuf message, in a field of the codec's own",
	"libchan/spdy/dialect.go":                        "SPDY/3, the protocol of old peers",
	"libchan/spdy/frames.go":                         "SPDY/3, the protocol of old peers",
	"libchan/spdy/msgpack.go":                        "MessagePack as old peers have it",
	"libchan/spdy/peer_test.go":                      "frames of SPDY/3 that are wrong",
	"libchan/wire.go":                                "the messages of libchan, which are the payloads of a service",
	"libchan/wire_ref.go":                            "what they refer to",
	"transport/http2/record.go":                      "records in the body of an HTTP request, below all of ttrpc",
}

// byHand are packages for who turns values into bytes by hand.
var byHand = map[string]bool{"encoding/binary": true, "google.golang.org/protobuf/encoding/protowire": true}

// checkWire reports what looks like a layout of frames or of protobuf's fields.
func checkWire(report report, path string, src []byte) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution)
	if err != nil {
		report("%v", err)
		return
	}
	isLiteral := func(x ast.Expr, value string) bool {
		lit, ok := x.(*ast.BasicLit)
		return ok && lit.Value == value
	}
	ast.Inspect(file, func(n ast.Node) bool {
		found := ""
		switch x := n.(type) {
		case *ast.ImportSpec:
			if name, _ := strconv.Unquote(x.Path.Value); byHand[name] {
				found = "an import of " + name
			}
		case *ast.ArrayType:
			if elem, ok := x.Elt.(*ast.Ident); ok && elem.Name == "byte" && isLiteral(x.Len, "10") {
				found = "an array for a header"
			}
		case *ast.BinaryExpr:
			shift, ok := x.X.(*ast.BinaryExpr)
			if ok && x.Op == token.OR && shift.Op == token.SHL && isLiteral(shift.Y, "3") {
				found = "a field's tag"
			}
		case *ast.BasicLit:
			if name, _ := strconv.Unquote(x.Value); name == wire.HelloService {
				found = "the name of Hello's service"
			}
		}
		if found != "" {
			report("%s: %s: layouts are in %s", fset.Position(n.Pos()), found, wireDir)
		}
		return true
	})
}

// TestOneLayout holds that no file but those of internal/wire has a layout. Symbolic
// links to them are no files of their own.
func TestOneLayout(t *testing.T) {
	looked, excused := 0, make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		switch name = filepath.ToSlash(name); {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "testdata" || name == wireDir):
			return fs.SkipDir
		case !entry.Type().IsRegular() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, ".pb.go"):
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		looked++
		checkWire(func(format string, args ...any) {
			if excused[name] = true; ownBytes[name] == "" {
				t.Errorf(format, args...)
			}
		}, name, src)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if looked < 100 {
		t.Errorf("only %d files were looked at", looked)
	}
	for name := range ownBytes {
		if !excused[name] {
			t.Errorf("%s turns nothing into bytes and needs no excuse", name)
		}
	}
}

// TestOneLayoutFinds shows what is found.
func TestOneLayoutFinds(t *testing.T) {
	for src, want := range map[string]string{
		`import "encoding/binary"`:                                          "import",
		`import p "google.golang.org/protobuf/encoding/protowire"`:          "import",
		"var header [10]byte":                                               "array",
		"func f() { b := make([]byte, 0); var h [10]byte; _, _ = b, h }":    "array",
		"const tag = 1<<3 | 2":                                              "tag",
		"const service = `" + wire.HelloService + "`":                       "service",
		"var a [10]int\nvar b []byte\nconst c = 1<<3 + 2\nconst d = 1 << 3": "",
		`import "google.golang.org/protobuf/proto"`:                         "",
	} {
		var got []string
		checkWire(func(format string, args ...any) { got = append(got, fmt.Sprintf(format, args...)) }, "x.go", []byte("package p\n\n"+src))
		if found := strings.Join(got, "\n"); want == "" && found != "" || !strings.Contains(found, want) {
			t.Errorf("%q: reported %q, want %q", src, found, want)
		}
	}
}

// TestWireStandsAlone holds that internal/wire imports nothing of the repository.
func TestWireStandsAlone(t *testing.T) {
	self := library + "/" + wireDir
	pkgs := list(t, "linux", self)
	if pkgs[self] == nil {
		t.Fatalf("there is no %s", self)
	}
	for path := range pkgs {
		if path != self && (path == library || strings.HasPrefix(path, library+"/")) {
			t.Errorf("%s", chain(pkgs, self, path))
		}
	}
}
