// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package relay copies bytes between two connections, with the descriptors that come beside
// them, and changes nothing of it.
package relay

import (
	"errors"
	"io"
	"net"
	"sync"
)

// A Tap is told what passes, before it is passed on. Its methods are called for each
// direction in order, and for both at once; the copying waits for them.
type Tap interface {
	// Data is called with bytes that have come, and how many descriptors came with them.
	// data is valid until it returns.
	Data(fromServer bool, data []byte, files int)

	// End is called once for each direction: with nil if its sender has closed it, with an
	// error if it could not be read, or not passed on.
	End(fromServer bool, err error)
}

// bufferSize is how much is copied at once. Connections are not held up by more.
const bufferSize = 64 << 10

// ErrFilesLost is the error of a direction on which descriptors came that could not be passed on.
var ErrFilesLost = errors.New("file descriptors could not be passed on")

// Copy copies between two connections until both directions have ended, and closes both. A
// direction that its sender has closed is closed at the other end, too, and the other goes on.
// To end it earlier close both connections.
func Copy(client, server net.Conn, tap Tap) {
	defer client.Close()
	defer server.Close()
	var wg sync.WaitGroup
	wg.Go(func() { (&direction{from: client, to: server, tap: tap}).run() })
	(&direction{from: server, to: client, fromServer: true, tap: tap}).run()
	wg.Wait()
}

// A direction copies from one connection to the other.
type direction struct {
	from, to   net.Conn
	fromServer bool
	tap        Tap
}

func (d *direction) run() {
	err := d.copy()
	if errors.Is(err, io.EOF) { // a unix socket's is wrapped
		err = nil
	}
	d.tap.End(d.fromServer, err)
	// What cannot be half closed is closed: its peer would wait for ever.
	if half, ok := d.to.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	} else {
		d.to.Close()
	}
	if err == nil {
		return
	}
	// Nobody takes what the sender sends, which it has to learn.
	if half, ok := d.from.(interface{ CloseRead() error }); ok {
		half.CloseRead()
	} else {
		d.from.Close()
	}
}

func (d *direction) copy() error {
	from, ok := d.from.(*net.UnixConn)
	if ok && passesFiles {
		return d.copyUnix(from)
	}
	buf := make([]byte, bufferSize)
	for {
		n, err := d.from.Read(buf)
		if n > 0 {
			d.tap.Data(d.fromServer, buf[:n], 0)
			if _, err := d.to.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}
