// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package libchan

import (
	"errors"
	"io"
	"os"
)

func accessOf(*os.File) (reads, writes bool, err error) { return true, true, nil }

func isDatagramFile(*os.File) bool { return false }

func filePair(reads, writes bool) (ours io.Closer, theirs *os.File, err error) {
	if reads && writes {
		return nil, nil, errors.New("no file here can be read and written by two")
	}
	r, w, err := os.Pipe()
	if reads {
		return w, r, err
	}
	return r, w, err
}
