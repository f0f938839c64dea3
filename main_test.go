// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"log/slog"
	"os"
	"testing"

	"github.com/containerd/ttrpc/internal/leak"
)

// The standard library's logger can be given as it is.
var _ Logger = (*slog.Logger)(nil)

func TestMain(m *testing.M) {
	aloneSize = partSize // so that tests of parts need no other streams; TestLoneFrames has the real one
	os.Exit(leak.Check(m))
}
