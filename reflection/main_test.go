// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package reflection_test

import (
	"os"
	"testing"

	"github.com/containerd/ttrpc/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }
