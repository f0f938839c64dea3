// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package watch makes calls of the bytes that pass on a connection.
package watch
