// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// A VsockAddr is the [net.Addr] of an end of a vsock connection.
type VsockAddr struct {
	CID  uint32 // which machine: 2 is the host
	Port uint32
}

// What an address does not say.
const (
	anyCID  = 1<<32 - 1
	anyPort = 1<<32 - 1
)

// Network returns "vsock".
func (VsockAddr) Network() string { return schemeVsock }

// String returns "cid:port".
func (a VsockAddr) String() string { return fmt.Sprintf("%d:%d", a.CID, a.Port) }

// dialHvsock connects to a port in a virtual machine through the unix socket of its
// monitor: Firecracker's docs/vsock.md tells of it, and Cloud Hypervisor does the same.
func dialHvsock(ctx context.Context, path string, port uint32) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	err = askForPort(nc, port)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("ttrpc: hvsock %s, port %d: %w", path, port, err)
	}
	return nc, nil
}

// askForPort says "CONNECT port" and waits for "OK" and a number. It reads byte by byte:
// what comes after the line is the machine's.
func askForPort(nc net.Conn, port uint32) error {
	if _, err := fmt.Fprintf(nc, "CONNECT %d\n", port); err != nil {
		return err
	}
	var line []byte
	for b := make([]byte, 1); len(line) < 32; line = append(line, b[0]) {
		_, err := nc.Read(b)
		switch {
		case err == io.EOF:
			return errors.New("the connection was refused: nobody listens there")
		case err != nil:
			return err
		case b[0] == '\n':
			if strings.HasPrefix(string(line), "OK ") {
				return nil
			}
			return fmt.Errorf("the answer is %q, not OK", line)
		}
	}
	return fmt.Errorf("the answer begins with %q, not OK", line)
}
