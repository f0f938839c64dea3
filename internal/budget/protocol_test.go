// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/wire"
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
		if err != nil {
			t.Errorf("%s: no frame: %v", line, err)
			continue
		}
		h, data, rest, err := wire.CutFrame(frame)
		if err != nil || len(rest) > 0 {
			t.Errorf("%s: no frame: %d bytes too many, %v", line, len(rest), err)
		}
		switch h.Type {
		case wire.TypeRequest:
			err = proto.Unmarshal(data, new(ttrpc.Request))
		case wire.TypeResponse:
			err = proto.Unmarshal(data, new(ttrpc.Response))
		}
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}
