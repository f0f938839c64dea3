// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package gentest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/internal/plugintest"
)

const plugin = "gogottrpc"

// parameter has paths=source_relative since module= came after gogo/protobuf.
const parameter = "plugins=ttrpc+fieldpath,paths=source_relative," +
	"Mgoogle/protobuf/empty.proto=github.com/gogo/protobuf/types"

// goldenFiles make the golden packages. protoc gives a plugin of gogo/protobuf one
// package at a time.
var goldenFiles = []string{
	"gogo/gogo.proto", "gogo/other/other.proto", "gogo/locals/locals.proto",
	"gogo/locals/c/c.proto",
	"gogo/locals/client/client.proto",
	"gogo/locals/ctx/ctx.proto",
	"gogo/locals/err/err.proto",
	"gogo/locals/req/req.proto",
	"gogo/locals/resp/resp.proto",
	"gogo/locals/srv/srv.proto",
	"gogo/locals/svc/svc.proto",
	"gogo/locals/unmarshal/unmarshal.proto",
}

func TestMain(m *testing.M) {
	plugintest.Main(m, "github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc")
}

// TestGolden generates everything and compares it with the golden packages.
func TestGolden(t *testing.T) {
	plugintest.CheckGolden(t, generateAll(t))
}

// TestRepeatable generates twice and expects the same.
func TestRepeatable(t *testing.T) {
	plugintest.CheckSame(t, generateAll(t), generateAll(t))
}

// generateAll writes what belongs below golden into a new directory.
func generateAll(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "golden")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range goldenFiles {
		if out, err := plugintest.Protoc(t, plugin, parameter, dir, file).CombinedOutput(); err != nil {
			t.Fatalf("protoc of %s: %v\n%s", file, err, out)
		}
	}
	return dir
}

// TestErrors checks that what the plugin refuses it explains.
func TestErrors(t *testing.T) {
	for _, test := range []struct {
		parameter, file string
		want            []string // parts of the message
	}{
		{"plugins=ttrpc", "invalid/watch.proto", []string{"invalid/watch.proto", "gentest.invalid.Streamer", "Watch", "protoc-gen-go-ttrpc"}},
		{"plugins=", "invalid/watch.proto", []string{"gentest.invalid.Streamer", "Watch"}},
		{"plugins=ttrpc", "invalid/upload.proto", []string{"invalid/upload.proto", "gentest.invalid.Uploader", "Upload"}},
	} {
		dir := t.TempDir()
		out, err := plugintest.Protoc(t, plugin, test.parameter, dir, test.file).CombinedOutput()
		if err == nil {
			t.Errorf("%q of %s succeeded", test.parameter, test.file)
		}
		for _, want := range test.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%q of %s says\n%s\nwithout %s", test.parameter, test.file, out, want)
			}
		}
		if files := plugintest.ReadTree(t, dir); len(files) != 0 {
			t.Errorf("%q of %s fails but writes %d files", test.parameter, test.file, len(files))
		}
	}
}

// TestWarning checks that plugins which are not there are ignored aloud, and that
// streaming methods only matter to those who want stubs.
func TestWarning(t *testing.T) {
	for _, test := range []struct {
		parameter, file, want string
	}{
		{"plugins=ttrpc+fieldpath", "gogo/other/other.proto", `ignoring plugin "fieldpath"`},
		{"plugins=ttrpc", "gogo/other/other.proto", ""},
		{"plugins=ttrpc+grpc+marshalto", "gogo/other/other.proto", ""},
		{"plugins=none", "invalid/watch.proto", ""},
		{"", "invalid/watch.proto", ""},
	} {
		out, err := plugintest.Protoc(t, plugin, test.parameter, t.TempDir(), test.file).CombinedOutput()
		if err != nil {
			t.Errorf("parameter %q: %v\n%s", test.parameter, err, out)
		}
		if test.want == "" && len(out) != 0 || !strings.Contains(string(out), test.want) {
			t.Errorf("parameter %q: the plugin says %q, want %q", test.parameter, out, test.want)
		}
	}
}

// TestVersion checks the flag that the plugin has for people.
func TestVersion(t *testing.T) {
	plugintest.CheckVersion(t, plugin)
}

// TestComments checks where comments of the .proto go.
func TestComments(t *testing.T) {
	got := plugintest.ReadGolden(t, "gogo/gogo.pb.go")
	for _, want := range []string{
		"// Foo is a service.\ntype FooService interface {\n",
		"\t// Unary is a method.\n\tUnary(",
		"\t// Old is deprecated.\n\t//\n\t// Deprecated: Do not use.\n\tOld(",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the comment below is missing:\n%s", want)
		}
	}
}
