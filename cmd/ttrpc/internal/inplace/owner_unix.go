// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package inplace

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// copyOwner gives a socket the mode and the owner of another.
func copyOwner(path string, of fs.FileInfo) error {
	if st, ok := of.Sys().(*syscall.Stat_t); ok {
		mine, err := os.Lstat(path)
		if err != nil {
			return err
		}
		have, ok := mine.Sys().(*syscall.Stat_t)
		if ok && (have.Uid != st.Uid || have.Gid != st.Gid) {
			if err := os.Lchown(path, int(st.Uid), int(st.Gid)); err != nil {
				return fmt.Errorf("the socket cannot be given to the server's user: %w", err)
			}
		}
	}
	return os.Chmod(path, of.Mode().Perm())
}
