// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package gentest

import (
	"os/exec"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// TestErrors checks that what plugins refuse they explain.
func TestErrors(t *testing.T) {
	for _, test := range []struct {
		plugin, parameter, file string
		want                    []string // parts of the message
	}{
		{"go-ttrpc", "sufix=X", "table/table.proto", []string{"protoc-gen-go-ttrpc", `unknown parameter "sufix"`}},
		{"go-ttrpc", "prefix=a.b", "table/table.proto", []string{"protoc-gen-go-ttrpc", "parameter prefix", `"a.b"`}},
		{"go-ttrpc", "prefix=1", "table/table.proto", []string{"protoc-gen-go-ttrpc", "parameter prefix", `"1"`}},
		{"go-ttrpc", "paths=sideways", "table/table.proto", []string{"protoc-gen-go-ttrpc", "path type", `"sideways"`}},
		{"gogottrpc", "plugins=ttrpc", "invalid/streaming_gogo.proto", []string{"invalid/streaming_gogo.proto", "gentest.invalid.Streamer", "Watch", "protoc-gen-go-ttrpc"}},
		{"gogottrpc", "plugins=", "invalid/streaming_gogo.proto", []string{"gentest.invalid.Streamer", "Watch"}},
		{"gogottrpc", "plugins=ttrpc", "table/table.proto", []string{"table/table.proto", "gentest.table.Foo", "ClientStream"}},
	} {
		dir := t.TempDir()
		out, err := protoc(t, test.plugin, test.parameter, dir, test.file).CombinedOutput()
		if err == nil {
			t.Errorf("%s with %q of %s succeeded", test.plugin, test.parameter, test.file)
		}
		for _, want := range test.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s with %q of %s says\n%s\nwithout %s", test.plugin, test.parameter, test.file, out, want)
			}
		}
		if files := readTree(t, dir); len(files) != 0 {
			t.Errorf("%s with %q of %s fails but writes %d files", test.plugin, test.parameter, test.file, len(files))
		}
	}
}

// TestGogoWarning checks that plugins which are not there are ignored aloud, and
// that streaming methods only matter to those who want stubs.
func TestGogoWarning(t *testing.T) {
	for _, test := range []struct {
		parameter, file, want string
	}{
		{"plugins=ttrpc+fieldpath", "gogo/other/other.proto", `ignoring plugin "fieldpath"`},
		{"plugins=ttrpc", "gogo/other/other.proto", ""},
		{"plugins=ttrpc+grpc+marshalto", "gogo/other/other.proto", ""},
		{"plugins=none", "invalid/streaming_gogo.proto", ""},
		{"", "invalid/streaming_gogo.proto", ""},
	} {
		out, err := protoc(t, "gogottrpc", test.parameter, t.TempDir(), test.file).CombinedOutput()
		if err != nil {
			t.Errorf("parameter %q: %v\n%s", test.parameter, err, out)
		}
		if test.want == "" && len(out) != 0 || !strings.Contains(string(out), test.want) {
			t.Errorf("parameter %q: the plugin says %q, want %q", test.parameter, out, test.want)
		}
	}
}

// TestUnsupportedEdition checks that the plugin declares which editions it
// supports and refuses others by itself, too.
func TestUnsupportedEdition(t *testing.T) {
	req := compile(t, "editions/open_2024.proto")
	resp, stderr, err := runPlugin("go-ttrpc", req)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	features := pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL |
		pluginpb.CodeGeneratorResponse_FEATURE_SUPPORTS_EDITIONS
	if got := resp.GetSupportedFeatures(); got != uint64(features) {
		t.Errorf("the plugin supports features %b, want %b", got, features)
	}
	if got := descriptorpb.Edition(resp.GetMinimumEdition()); got > descriptorpb.Edition_EDITION_PROTO3 {
		t.Errorf("the first supported edition is %v, want proto3 or before", got)
	}
	if got := descriptorpb.Edition(resp.GetMaximumEdition()); got != descriptorpb.Edition_EDITION_2024 {
		t.Errorf("the last supported edition is %v, want 2024", got)
	}

	const unsupported = descriptorpb.Edition_EDITION_99999_TEST_ONLY
	req.ProtoFile[len(req.ProtoFile)-1].Edition = unsupported.Enum()
	resp, stderr, err = runPlugin("go-ttrpc", req)
	if err == nil {
		t.Fatalf("the plugin accepts an edition that it does not support: %v", resp)
	}
	if !strings.Contains(stderr, "edition") || !strings.Contains(stderr, "99999") {
		t.Errorf("the plugin says %q, want it to name the edition", stderr)
	}
}

// TestVersion checks the flag that plugins have for people.
func TestVersion(t *testing.T) {
	for _, plugin := range []string{"go-ttrpc", "gogottrpc"} {
		for _, flag := range []string{"-version", "--version"} {
			out, err := exec.Command(pluginPath(plugin), flag).Output()
			if err != nil || !strings.HasPrefix(string(out), "protoc-gen-"+plugin+" ") {
				t.Errorf("protoc-gen-%s %s says %q, %v", plugin, flag, out, err)
			}
		}
	}
}
