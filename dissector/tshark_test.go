// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package dissector

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/internal/leak"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing them")

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// tshark runs it with the dissector on a capture. It is left out where it is not
// installed, but not in CI. An error in the dissector shows in what tshark prints, or says.
func tshark(t *testing.T, capture []byte, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		complain := t.Skipf
		if os.Getenv("CI") == "true" {
			complain = t.Fatalf
		}
		complain("NOT CHECKED: the dissector runs in tshark: %v; on Debian: apt-get install tshark", err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "capture")
	if err := os.WriteFile(file, capture, 0o600); err != nil {
		t.Fatal(err)
	}
	// What a program reads that the test starts, go test does not know of: it would not run
	// the test again when that changes. So it is copied.
	script, protos := filepath.Join(dir, "ttrpc.lua"), filepath.Join(dir, "proto")
	b, err := os.ReadFile("ttrpc.lua")
	if err == nil {
		err = errors.Join(os.WriteFile(script, b, 0o600), os.CopyFS(protos, os.DirFS("testdata/proto")))
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tshark", append([]string{
		"-r", file, "-n", "-X", "lua_script:" + script,
		"-o", "uat:protobuf_search_paths:" + strconv.Quote(protos) + `,"TRUE"`,
	}, args...)...)
	// What the user has set must not matter.
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "LC_ALL=C.UTF-8", "TZ=UTC")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	if err != nil || strings.Contains(said.String(), "Lua") || bytes.Contains(out.Bytes(), []byte("Lua Error")) {
		t.Fatalf("B186: tshark %q: %v\n%s\n%s", args, err, &said, luaErrors(out.Bytes()))
	}
	return out.Bytes()
}

// luaErrors returns what tshark has printed of errors in the dissector.
func luaErrors(out []byte) string {
	var lines []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "Lua Error") && len(lines) < 5 {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// shown are the fields that are compared, of the dissector and of those that it calls.
var shown = []string{
	"ttrpc_trunk.conn", "ttrpc.type", "ttrpc.stream", "ttrpc.length", "ttrpc.flags",
	"ttrpc.service", "ttrpc.method", "ttrpc.kind", "ttrpc.timeout", "ttrpc.metadata.key", "ttrpc.metadata.value",
	"ttrpc.payload", "ttrpc.status.code", "ttrpc.status.message", "ttrpc.status.detail.type",
	"ttrpc.request_in", "ttrpc.response_in", "ttrpc.time", "ttrpc.part_of", "ttrpc.parts", "ttrpc.message_length",
	"ttrpc.files", "ttrpc.with_files", "ttrpc.credit", "ttrpc.want", "ttrpc.return", "ttrpc.ping", "ttrpc.goodbye.last",
	"ttrpc.hello.version", "ttrpc.hello.feature", "ttrpc.hello.max_message", "ttrpc.hello.window",
	"ttrpc.hello.connection_window", "ttrpc.hello.serves",
	"ttrpc.libchan.id", "ttrpc.libchan.session", "ttrpc.libchan.attach", "ttrpc.libchan.name", "ttrpc.libchan.capacity",
	"ttrpc.libchan.codec", "ttrpc.libchan.body", "ttrpc.libchan.sends", "ttrpc.libchan.kind", "ttrpc.libchan.last",
	"ttrpc.libchan.taken", "ttrpc.libchan.final", "ttrpc.libchan.release", "ttrpc.libchan.accepted",
	"ttrpc.libchan.opened", "ttrpc.libchan.handled", "ttrpc.libchan.draining",
	"protobuf.message.name", "protobuf.field.name", "protobuf.field.value.string", "protobuf.field.value.int64",
	"_ws.expert.message",
}

// numbers are fields that name a packet by its number.
var numbers = map[string]bool{"ttrpc.request_in": true, "ttrpc.response_in": true, "ttrpc.part_of": true}

// A row is what tshark shows of a packet.
type row struct {
	number int // of the packet, from 1
	fields map[string][]string
}

// rows runs tshark, which looks at the capture twice, as Wireshark does.
func rows(t *testing.T, capture []byte, args ...string) []row {
	t.Helper()
	args = append(args, "-2", "-T", "json", "-e", "frame.number")
	for _, field := range shown {
		args = append(args, "-e", field)
	}
	var packets []struct {
		Source struct {
			Layers map[string][]string `json:"layers"`
		} `json:"_source"`
	}
	if err := json.Unmarshal(tshark(t, capture, args...), &packets); err != nil {
		t.Fatal(err)
	}
	out := make([]row, len(packets))
	for i, p := range packets {
		out[i].fields = p.Source.Layers
		n, err := strconv.Atoi(strings.Join(p.Source.Layers["frame.number"], ","))
		if err != nil {
			t.Fatal(err)
		}
		out[i].number = n
	}
	return out
}

// text makes a line of a row. renumber turns numbers of packets into what is the same in
// every capture.
func (r row) text(renumber func(string) string) string {
	var b strings.Builder
	for _, field := range shown {
		values := r.fields[field]
		if len(values) == 0 {
			continue
		}
		values = slices.Clone(values)
		for i, v := range values {
			v = strings.TrimSpace(v) // as tshark 4.4 does
			switch {
			case numbers[field]:
				v = renumber(v)
			case v == "True": // as tshark 4.4 has it
				v = "1"
			case v == "False":
				v = "0"
			case len(v) > 200:
				v = v[:200] + "…"
			}
			values[i] = v
		}
		// Of what there is no description of, versions tell in words of their own.
		values = slices.DeleteFunc(values, func(v string) bool { return strings.HasPrefix(v, "<UNKNOWN>") })
		if len(values) == 0 {
			continue
		}
		name := strings.TrimPrefix(field, "ttrpc.")
		if field == "_ws.expert.message" {
			name = "expert"
		}
		fmt.Fprintf(&b, " %s=%s", name, strings.Join(values, ","))
	}
	return b.String()
}
