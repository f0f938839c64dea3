// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package runner

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// readFiles reads, and takes the descriptors that come along.
func readFiles(conn *net.UnixConn, b []byte) (int, []*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(253*4))
	n, oobn, _, _, err := conn.ReadMsgUnix(b, oob)
	if oobn == 0 {
		return n, nil, err
	}
	messages, parseErr := unix.ParseSocketControlMessage(oob[:oobn])
	var files []*os.File
	for i := range messages {
		fds, rightsErr := unix.ParseUnixRights(&messages[i])
		parseErr = errors.Join(parseErr, rightsErr)
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "of the peer"))
		}
	}
	return n, files, errors.Join(err, parseErr)
}

// writeFiles writes b with a descriptor for each text, from which the text is read.
func writeFiles(conn net.Conn, b []byte, texts []string) error {
	socket, ok := conn.(interface {
		WriteMsgUnix(b, oob []byte, addr *net.UnixAddr) (n, oobn int, err error)
	})
	if !ok {
		return Skip{"descriptors need a unix socket"}
	}
	var fds []int
	for _, text := range texts {
		r, err := textFile(text)
		if err != nil {
			return err
		}
		defer r.Close()
		fds = append(fds, int(r.Fd()))
	}
	_, _, err := socket.WriteMsgUnix(b, unix.UnixRights(fds...), nil)
	return err
}

// textFile returns a file from which a text is read.
func textFile(text string) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	_, err = w.WriteString(text) // which is less than a pipe holds
	return r, err
}
