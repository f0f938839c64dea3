// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"
)

// frameLine is a line of PROTOCOL.md that shows a frame.
var frameLine = regexp.MustCompile(`(?m)^[CS]  .*$`)

// TestProtocolFrames decodes the frames that PROTOCOL.md shows.
func TestProtocolFrames(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "PROTOCOL.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := frameLine.FindAllString(string(text), -1)
	if len(lines) == 0 {
		t.Fatal("PROTOCOL.md shows no frames")
	}
	for _, line := range lines {
		frame, err := hex.DecodeString(strings.ReplaceAll(line[1:], " ", ""))
		if err != nil || len(frame) < 10 {
			t.Errorf("%s: no frame (%v)", line, err)
			continue
		}
		data := frame[10:]
		if n := binary.BigEndian.Uint32(frame); int(n) != len(data) {
			t.Errorf("%s: the length is %d, of the data %d", line, n, len(data))
		}
		switch frame[8] {
		case 1:
			err = proto.Unmarshal(data, new(ttrpc.Request))
		case 2:
			err = proto.Unmarshal(data, new(ttrpc.Response))
		}
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}
