// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package gentest

import (
	"strings"
	"testing"

	"github.com/containerd/ttrpc/internal/plugintest"
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
	} {
		dir := t.TempDir()
		out, err := plugintest.Protoc(t, test.plugin, test.parameter, dir, test.file).CombinedOutput()
		if err == nil {
			t.Errorf("%s with %q of %s succeeded", test.plugin, test.parameter, test.file)
		}
		for _, want := range test.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s with %q of %s says\n%s\nwithout %s", test.plugin, test.parameter, test.file, out, want)
			}
		}
		if files := plugintest.ReadTree(t, dir); len(files) != 0 {
			t.Errorf("%s with %q of %s fails but writes %d files", test.plugin, test.parameter, test.file, len(files))
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

// TestVersion checks the flag that the plugin has for people.
func TestVersion(t *testing.T) {
	plugintest.CheckVersion(t, "go-ttrpc")
}
