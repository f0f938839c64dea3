// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build released

package mux

import "testing"

// runAll runs the tests on a release, which has no leak check.
func runAll(m *testing.M) int { return m.Run() }
