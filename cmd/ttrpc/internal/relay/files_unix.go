// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package relay

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// passesFiles says that descriptors pass unix sockets here.
const passesFiles = true

// maxFiles is how many descriptors the kernel passes with one write: SCM_MAX_FD of Linux. A read
// returns those of one write at most.
const maxFiles = 253

// copyUnix copies from a unix socket, with descriptors. They leave with the first of the bytes
// with which they have come, so they are never later than these.
func (d *direction) copyUnix(from *net.UnixConn) error {
	buf := make([]byte, bufferSize)
	// Some systems pass credentials and the like, too, if a peer asks for it.
	oob := make([]byte, syscall.CmsgSpace(4*maxFiles)+512)
	for {
		n, oobn, flags, _, err := from.ReadMsgUnix(buf, oob)
		files := rights(oob[:oobn])
		if n > 0 {
			d.tap.Data(d.fromServer, buf[:n], len(files))
			lost := d.write(buf[:n], files)
			if lost == nil && flags&syscall.MSG_CTRUNC != 0 {
				lost = fmt.Errorf("%w: this process may have no more open", ErrFilesLost)
			}
			if lost != nil {
				return lost
			}
		}
		if err != nil {
			return err
		}
	}
}

// rights returns the descriptors in control data.
func rights(oob []byte) (files []int) {
	if len(oob) == 0 {
		return nil
	}
	all, _ := syscall.ParseSocketControlMessage(oob)
	for _, m := range all {
		got, err := syscall.ParseUnixRights(&m)
		if err == nil {
			files = append(files, got...)
		}
	}
	return files
}

// write writes bytes, and descriptors with the first of them. It closes these.
func (d *direction) write(data []byte, files []int) error {
	if len(files) > 0 {
		// A close may take as long as the peer likes.
		defer func() { go closeAll(files) }()
		to, ok := d.to.(*net.UnixConn)
		if !ok {
			return fmt.Errorf("%w: the other end is no unix socket", ErrFilesLost)
		}
		n, err := writeFiles(to, data, syscall.UnixRights(files...))
		if err != nil {
			return err
		}
		data = data[n:]
	}
	_, err := d.to.Write(data)
	return err
}

// writeFiles writes the first of some bytes, with control data.
func writeFiles(to *net.UnixConn, data, oob []byte) (n int, err error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		n, _, err = to.WriteMsgUnix(data, oob, nil)
		// Too many are on their way: there is no event for when fewer are.
		if !errors.Is(err, syscall.ETOOMANYREFS) {
			break
		}
		time.Sleep(pause)
	}
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) {
		err = fmt.Errorf("%w: %w", ErrFilesLost, err)
	}
	return n, err
}

func closeAll(files []int) {
	for _, fd := range files {
		syscall.Close(fd)
	}
}
