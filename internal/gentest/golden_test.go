// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package gentest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/ttrpc/internal/plugintest"
)

const (
	modulePath   = "github.com/containerd/ttrpc/internal/gentest"
	goldenModule = "module=" + modulePath
)

// generation is one run of protoc.
type generation struct {
	plugin    string
	parameter string
	files     []string
}

// generations make all of the golden packages but those of editions.
var generations = []generation{
	{"go", goldenModule, goFiles},
	{"go", goldenModule, []string{"prefix/prefix.proto"}},
	{"go-ttrpc", goldenModule, goFiles},
	{"go-ttrpc", goldenModule + ",prefix=TTRPC", []string{"prefix/prefix.proto"}},
}

var goFiles = []string{
	"comments/comments.proto",
	"imports/imports.proto",
	"imports/other/other.proto",
	"names/ctx/ctx.proto",
	"names/messages.proto",
	"names/methods.proto",
	"names/req/req.proto",
	"names/services.proto",
	"names/ttrpc/ttrpc.proto",
	"noservice/noservice.proto",
	"table/table.proto",
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
	dir := t.TempDir()
	golden := filepath.Join(dir, "golden")
	if err := os.Mkdir(golden, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, g := range generations {
		cmd := plugintest.Protoc(t, g.plugin, g.parameter, dir, g.files...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("protoc with %s of %v: %v\n%s", g.plugin, g.files, err, out)
		}
	}
	generateEditions(t, dir)
	plugintest.ReplaceProtocVersion(t, golden)
	return golden
}
