// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/containerd/ttrpc/conformance/internal/vector"
)

// TestSchema compares the files of cases with their schema (B187).
func TestSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("vectors/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(text []byte) error {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return err
		}
		return schema.Validate(value)
	}
	for _, level := range vector.Levels {
		text, err := os.ReadFile("vectors/" + level + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if err := check(text); err != nil {
			t.Errorf("B187: %s: %v", level, err)
		}
		if level != "classic-streams" {
			continue // one is enough for what follows
		}
		for what, wrong := range map[string][2]string{
			"a field that there is not": {`"force"`, `"farce"`},
			"a peer that there is not":  {`"peer": "client"`, `"peer": "proxy"`},
			"a step that says two":      {`"steps": [`, `"steps": [{"closed": true, "alive": "new"},`},
			"a type that there is not":  {`"type": "response"`, `"type": "reply"`},
		} {
			broken := bytes.Replace(text, []byte(wrong[0]), []byte(wrong[1]), 1)
			if err := check(broken); err == nil {
				t.Errorf("B187: %s: the schema allows %s", level, what)
			}
		}
	}
}

var heading = regexp.MustCompile(`(?m)^#+ (.*)$`)

// TestRules looks for the rule of each case: a heading of PROTOCOL.md, or a number of
// docs/rules.md (B187).
func TestRules(t *testing.T) {
	protocol, err := os.ReadFile("../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	anchors := make(map[string]bool)
	for _, m := range heading.FindAllSubmatch(protocol, -1) {
		name := strings.ToLower(string(m[1]))
		name = regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(name, "")
		anchors["#"+strings.ReplaceAll(name, " ", "-")] = true
	}
	for _, c := range load(t) {
		if !anchors[c.Rule] && !bytes.Contains(rules, []byte("\n- "+c.Rule+" ")) {
			t.Errorf("B187: %s: neither PROTOCOL.md nor docs/rules.md has %s", c.Name, c.Rule)
		}
		if !strings.HasPrefix(c.Name, c.Level+"/"+c.Peer+"/") {
			t.Errorf("B187: %s: its name does not begin with %s/%s/", c.Name, c.Level, c.Peer)
		}
	}
}

// TestExport makes bytes of all cases, as --vectors does (B187).
func TestExport(t *testing.T) {
	var out bytes.Buffer
	if failed, err := run([]string{"--vectors", "--level", "classic-unary", "--run", "server/echo"}, &out, &out); err != nil || failed {
		t.Fatal(failed, err)
	}
	var cases []vector.Exported
	if err := json.Unmarshal(out.Bytes(), &cases); err != nil {
		t.Fatal(err)
	}
	const request = "00000032" + "00000001" + "0100" + "0a20" + "74747270632e636f6e666f726d616e63652e76312e436f6e666f726d616e6365" +
		"1205" + "556e617279" + "1a07" + "0a0568656c6c6f"
	if got := cases[0].Steps[0]["send_bytes"].([]any)[0]; got != request {
		t.Errorf("B187: the request has the bytes %v, want %s", got, request)
	}
	if failed, err := run([]string{"--vectors"}, new(bytes.Buffer), &out); err != nil || failed {
		t.Errorf("B187: %v, %v", failed, err)
	}
}
