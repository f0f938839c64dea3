// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// blocking has a file block, as commands expect. Go opens its pipes otherwise, and whoever has a
// file that was passed shares that with it.
func blocking(x any) error {
	f, ok := x.(*os.File)
	if !ok {
		return nil
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var setErr error
	err = conn.Control(func(fd uintptr) { setErr = unix.SetNonblock(int(fd), false) })
	return errors.Join(err, setErr)
}
