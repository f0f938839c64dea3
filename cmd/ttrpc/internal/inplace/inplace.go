// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package inplace listens where a server listens already, and gives its place back.
//
// A connection to a unix socket's path finds whatever socket is there at that moment. So the
// server's socket gets a second name, and a new socket takes the path over, in one step:
// nobody ever finds nothing there. The server goes on listening and notices nothing.
package inplace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	asideSuffix = ".real" // of the server's socket, as long as another is in its place
	newSuffix   = ".new"  // of the other one, before it is there

	// maxPath is how long the path of a socket may be to be dialled everywhere.
	maxPath = 103

	// What has found the listener's socket before Restore connects within grace, and is accepted
	// by as many attempts as there may be accidents of scheduling.
	grace    = 50 * time.Millisecond
	attempts = 4

	// patience bounds the question whether somebody listens on a socket.
	patience = 5 * time.Second
)

// ErrTaken is the error of a path where another process is in the server's place already.
var ErrTaken = errors.New("another process is in the place of the server already")

// A Place is that of a server.
type Place struct {
	Path     string // where it is
	Aside    string // where the server can be reached meanwhile
	Listener *net.UnixListener
	Stale    bool // another process had been in the place, and ended without giving it back

	made    fs.FileInfo // the listener's socket
	once    sync.Once
	restore error
}

// Take takes the place of the server that listens on a unix socket. What a process has left
// behind that was killed in such a place is put right first. The new socket has the mode and
// the owner of the server's.
func Take(ctx context.Context, path string) (*Place, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	p := &Place{Path: path, Aside: path + asideSuffix}
	if len(p.Aside) > maxPath {
		return nil, fmt.Errorf("%s would have %d bytes, and %d are the most of a socket's path", p.Aside, len(p.Aside), maxPath)
	}
	if err := p.recover(ctx); err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is no socket", path)
	}
	if err := answers(ctx, path); err != nil {
		return nil, fmt.Errorf("nobody listens on %s: %w", path, err)
	}
	return p, p.take(info)
}

// take puts the new socket where the server's is.
func (p *Place) take(info fs.FileInfo) error {
	fresh := p.Path + newSuffix
	os.Remove(fresh) // what was killed before it was in the place
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	err = copyOwner(fresh, info)
	if err == nil {
		p.made, err = os.Lstat(fresh)
	}
	if err == nil {
		err = second(p.Path, p.Aside)
	}
	if err == nil {
		if err = os.Rename(fresh, p.Path); err != nil {
			os.Rename(p.Aside, p.Path)
		}
	}
	if err != nil {
		l.Close()
		os.Remove(fresh)
		return err
	}
	p.Listener = l
	return nil
}

// second gives a socket a second name. Where a file system has no links, it is renamed.
func second(path, name string) error {
	err := os.Link(path, name)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported) {
		return os.Rename(path, name)
	}
	return err
}

// Restore gives the place back: who connects from now on comes to the server. If the server has
// begun anew meanwhile and made another socket at its path, that one stays. It may be called
// concurrently and more than once; all calls return the same.
//
// Clients that have connected before may still wait to be accepted: see Interrupt.
func (p *Place) Restore() error {
	p.once.Do(func() {
		there, err := os.Lstat(p.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && os.SameFile(there, p.made):
			p.restore = os.Rename(p.Aside, p.Path)
		case err != nil:
			p.restore = err
		default: // the socket that was put aside is that of a server that has ended
			p.restore = os.Remove(p.Aside)
		}
	})
	return p.restore
}

// Dial connects to the server, before Restore and after it.
func (p *Place) Dial(ctx context.Context) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", p.Aside)
	if errors.Is(err, fs.ErrNotExist) { // it is back at its path, where the listener is no more
		return new(net.Dialer).DialContext(ctx, "unix", p.Path)
	}
	return conn, err
}

// Interrupt has Accept return, with an error that [Place.Rest] handles.
func (p *Place) Interrupt() { p.Listener.SetDeadline(time.Unix(1, 0)) }

// Rest calls f with the connections that have come before Restore, after Accept has ended.
func (p *Place) Rest(f func(net.Conn)) {
	for left := attempts; left > 0; {
		p.Listener.SetDeadline(time.Now().Add(grace))
		conn, err := p.Listener.Accept()
		if err != nil {
			left--
			continue
		}
		left = attempts
		f(conn)
	}
}

// recover puts right what is found of a process that was in the place and was killed.
func (p *Place) recover(ctx context.Context) error {
	aside, err := os.Lstat(p.Aside)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if aside.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is in the way: it is no socket", p.Aside)
	}
	there, err := os.Lstat(p.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p.putBack()
	case err != nil:
		return err
	case os.SameFile(there, aside): // it was killed before it was in the place
		return os.Remove(p.Aside)
	}
	here := answers(ctx, p.Path)
	if here != nil {
		return p.putBack()
	}
	if answers(ctx, p.Aside) == nil {
		return fmt.Errorf("%w: %s and %s both answer", ErrTaken, p.Path, p.Aside)
	}
	return os.Remove(p.Aside) // the server has begun anew since
}

// putBack puts the server's socket back to its path.
func (p *Place) putBack() error {
	p.Stale = true
	return os.Rename(p.Aside, p.Path)
}

// answers tells whether somebody listens on a socket: nil if so.
func answers(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	return conn.Close()
}
