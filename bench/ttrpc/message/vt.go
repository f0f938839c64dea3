// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build vt

package message

import "github.com/containerd/ttrpc/bench/ttrpc/vt"

// A Message has bytes, and methods that are generated.
type Message = vt.Message
