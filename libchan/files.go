// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"net"
	"os"
	"reflect"
)

// maxDescriptors is how many descriptors go with one message: what the kernel allows.
const maxDescriptors = 253

// prepare has what is referred to, if it is a thing, go as a descriptor beside the message, or
// lends it.
func (r *reference) prepare(m *message, files bool) error {
	of := r.thing
	if of == nil {
		return nil
	}
	if files && of.whole && len(m.files) < maxDescriptors {
		if err := of.duplicate(r.kind); err != nil {
			return err
		}
		if of.dup != nil {
			m.files = append(m.files, of.dup)
			return nil
		}
	}
	if err := r.unpack(connType); err != nil {
		return err
	}
	if err := r.lend(); err != nil {
		return fmt.Errorf("%w: %s: %w", errUnfit, r, err)
	}
	return nil
}

// duplicate sets dup if the thing is one of the kernel's. Who sends a file duplicates it.
func (of *thing) duplicate(kind refKind) (err error) {
	of.dupKind = refConn
	switch v := of.value.(type) {
	case *os.File:
		if of.dup, of.dupKind = v, refFile; kind.isDescriptor() {
			of.dupKind = kind
		}
	case *net.TCPListener, *net.UnixListener:
		of.dupKind = refSocketListener
		of.dup, err = v.(filer).File()
	case *net.TCPConn, *net.UnixConn, *net.UDPConn, *net.IPConn:
		of.dup, err = v.(filer).File()
	}
	return err
}

type filer interface{ File() (*os.File, error) }

// closeDup takes back what duplicate has made.
func (of *thing) closeDup() {
	if of.dup != nil && any(of.dup) != of.value {
		_ = of.dup.Close()
	}
	of.dup = nil
}

// takeBack undoes prepare: the message was not sent.
func (r *reference) takeBack() {
	if of := r.thing; of != nil {
		r.ends, of.loans = nil, nil
		of.closeDup()
	}
}

// left has what was lent be copied, and lets go of what has left as a descriptor.
func (r *reference) left() {
	of := r.thing
	switch {
	case of == nil:
	case of.dup != nil:
		of.closeDup()
		of.drop()
		r.kind = of.dupKind // it counts as such
	default:
		of.start()
	}
}

// unpack has a descriptor that has come be what it was where it was sent, for a variable of
// type t.
func (r *reference) unpack(t reflect.Type) (err error) {
	of := r.thing
	f, ok := of.value.(*os.File)
	if !ok || !r.kind.isDescriptor() {
		return nil
	}
	kind := r.kind
	if r.kind = refBytes; t == fileType || kind == refFile {
		return nil
	}
	if kind == refConn {
		of.value, err = net.FileConn(f)
	} else {
		r.kind = refListener
		of.value, err = net.FileListener(f)
	}
	if err != nil {
		of.value, r.kind = f, kind
		return fmt.Errorf("libchan: %s that came as a descriptor is none: %w", r, err)
	}
	_ = f.Close()
	if conn, ok := of.value.(net.Conn); ok {
		r.local, r.remote = addressOf(conn.LocalAddr()), addressOf(conn.RemoteAddr())
	} else {
		r.local = addressOf(of.value.(net.Listener).Addr())
	}
	return nil
}

// closeFiles closes files that have come in vain. Nobody waits for that: what a peer has sent
// may take its time.
func closeFiles(files []*os.File) {
	if len(files) > 0 {
		go func() {
			for _, f := range files {
				_ = f.Close()
			}
		}()
	}
}

// fileAs returns a file that a byte stream is copied to or from.
func (r *reference) fileAs() (reflect.Value, error) {
	ours, theirs, err := filePair(r.end(receiving) != nil, r.end(sending) != nil)
	if err != nil {
		return reflect.Value{}, fmt.Errorf("%s does not fit into %v: %w", r, fileType, err)
	}
	l := &loan{value: ours, owned: true, parts: len(r.ends)}
	if from := r.claimHalf(receiving); from.c != nil {
		go l.write(from)
	}
	if to := r.claimHalf(sending); to.c != nil {
		go l.read(to)
	}
	return reflect.ValueOf(theirs), nil
}
