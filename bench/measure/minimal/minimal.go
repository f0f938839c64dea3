// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package minimal is what the smallest servers and clients have in common. It imports
// nothing that they do not.
package minimal

import (
	"net"
	"os"
)

// Listener returns the listener that a server is started with.
func Listener() net.Listener {
	l, err := net.FileListener(os.NewFile(3, "listener"))
	Must(err)
	return l
}

// Dial connects a client to the socket that it is started with.
func Dial() net.Conn {
	conn, err := net.Dial("unix", os.Args[1])
	Must(err)
	return conn
}

// Answered tells that the client's call has been answered, and waits to be told to go.
func Answered(err error) {
	Must(err)
	_, err = os.Stdout.WriteString("answered\n")
	Must(err)
	os.Stdin.Read(make([]byte, 1))
}

// Must ends the process if something has gone wrong.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}
