// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package inplace

import (
	"errors"
	"io/fs"
)

func copyOwner(string, fs.FileInfo) error { return errors.ErrUnsupported }
