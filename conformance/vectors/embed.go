// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package vectors holds the cases, a file for each level. schema.json says what may stand in them.
package vectors

import "embed"

// Files are the cases.
//
//go:embed *.json
var Files embed.FS
