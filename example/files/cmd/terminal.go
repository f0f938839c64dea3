// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openTerminal returns both sides of a new terminal: what is written into w, as programs
// do that run on it, comes out of r.
func openTerminal() (r, w *os.File, err error) {
	r, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	number, err := unlock(r)
	if err == nil {
		w, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		r.Close()
		return nil, nil, err
	}
	return r, w, nil
}

// unlock lets the other side of a terminal be opened, and returns its number.
func unlock(r *os.File) (number int, err error) {
	conn, err := r.SyscallConn()
	if err != nil {
		return 0, err
	}
	var lockErr, numberErr error
	err = conn.Control(func(fd uintptr) {
		lockErr = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		number, numberErr = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
	})
	return number, errors.Join(err, lockErr, numberErr)
}
