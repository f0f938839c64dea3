// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package address

import (
	"fmt"
	"net"
	"os"
	"strconv"
)

func fdNumber(text string) (uintptr, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q is no number of a file descriptor", text)
	}
	return uintptr(n), nil
}

// fdFile takes over a file descriptor.
func fdFile(text string) (*os.File, error) {
	n, err := fdNumber(text)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(n, "fd:"+text)
	if f == nil {
		return nil, fmt.Errorf("file descriptor %s is not open", text)
	}
	return f, nil
}

func fdConn(text string) (net.Conn, error) {
	f, err := fdFile(text)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the conn has its own
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("file descriptor %s is no connected socket: %w", text, err)
	}
	return conn, nil
}

func fdListener(text string) (net.Listener, error) {
	f, err := fdFile(text)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("file descriptor %s is no socket that listens: %w", text, err)
	}
	return l, nil
}
