// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package wire is the header of frames, for programs of this module that are built
// against releases too, which have no internal/wire: header.go is a symbolic link to
// the file there.
package wire
