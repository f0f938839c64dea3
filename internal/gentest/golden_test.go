// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package gentest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
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
	{"gogottrpc", gogoParameter, []string{"gogo/gogo.proto"}},
	{"gogottrpc", gogoParameter, []string{"gogo/other/other.proto"}},
}

// gogoParameter has paths=source_relative since module= came after gogo/protobuf.
const gogoParameter = "plugins=ttrpc+fieldpath,paths=source_relative," +
	"Mgoogle/protobuf/empty.proto=github.com/gogo/protobuf/types"

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
	dir := generateAll(t)
	if *update {
		if err := os.RemoveAll("golden"); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS("golden", os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, want := readTree(t, dir), readTree(t, "golden")
	for name, content := range got {
		switch golden, ok := want[name]; {
		case !ok:
			t.Errorf("golden/%s is missing", name)
		case !bytes.Equal(content, golden):
			t.Errorf("golden/%s differs from what is generated:\n%s", name, firstDifference(content, golden))
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("golden/%s is not generated any more", name)
		}
	}
	if t.Failed() {
		t.Log("to write the golden packages run: go generate .")
	}
}

// TestRepeatable generates twice and expects the same.
func TestRepeatable(t *testing.T) {
	first, second := readTree(t, generateAll(t)), readTree(t, generateAll(t))
	for name, content := range first {
		if !bytes.Equal(content, second[name]) {
			t.Errorf("%s differs between two runs:\n%s", name, firstDifference(content, second[name]))
		}
	}
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
		outDir := dir
		if g.plugin == "gogottrpc" {
			outDir = golden
		}
		cmd := protoc(t, g.plugin, g.parameter, outDir, g.files...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("protoc with %s of %v: %v\n%s", g.plugin, g.files, err, out)
		}
	}
	generateEditions(t, dir)
	replaceProtocVersion(t, golden)
	return golden
}

// protocVersion is what protoc-gen-go writes about who called it.
var protocVersion = regexp.MustCompile(`(?m)^(//\s+protoc\s+).*$`)

// replaceProtocVersion makes the files in dir independent of protoc's version.
func replaceProtocVersion(t *testing.T, dir string) {
	t.Helper()
	for name, content := range readTree(t, dir) {
		content = protocVersion.ReplaceAll(content, []byte("${1}(any)"))
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// readTree returns the contents of the files in dir by their names.
func readTree(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// firstDifference describes where two files begin to differ.
func firstDifference(got, want []byte) string {
	gotLines, wantLines := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for len(gotLines) > 0 && len(wantLines) > 0 && bytes.Equal(gotLines[0], wantLines[0]) {
		gotLines, wantLines = gotLines[1:], wantLines[1:]
	}
	show := func(lines [][]byte) []byte {
		return bytes.Join(slices.Clip(lines[:min(3, len(lines))]), []byte("\n\t"))
	}
	return "got\n\t" + string(show(gotLines)) + "\nwant\n\t" + string(show(wantLines))
}
