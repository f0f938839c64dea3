// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"net"
	"reflect"
	"syscall"
)

// A ByteStreamConn is a conn that can tell whether it is a true byte stream. Of such a
// conn it does not matter how bytes are cut into writes and reads. Its deadlines work,
// also those that are set while a Read waits: after the deadline of a Read has passed and
// another was set, the next Read goes on where the stream was. Close ends a Read and a
// Write that wait.
//
// Kernel sockets of the types *net.UnixConn and *net.TCPConn, a *tls.Conn on one of them, and
// the vsocks of [DialAddress] and [ListenAddress] need not say so. All other conns that do
// not say so are treated with the care that some multiplexers need: they are written in
// packets of 4,096 bytes or the rest of a message, they hold memory for all of a message that
// has begun, and they have 100 ms to hand over what has arrived when they are to end.
//
// If a [Handshaker] returns a conn, that conn is asked, and not the one below it.
type ByteStreamConn interface {
	net.Conn

	// IsByteStream is called once, before the conn is used.
	IsByteStream() bool
}

// ByteStream returns a conn that says that it is a [ByteStreamConn], and else is conn. It
// is for conns that are one and do not say so, such as those of net.Pipe or of hypervisor
// sockets. If conn need not say so, or does, it is returned as it is.
func ByteStream(conn net.Conn) net.Conn {
	if kindOf(conn) != packetConn {
		return conn
	}
	return byteStream{conn}
}

type byteStream struct{ net.Conn }

// IsByteStream implements ByteStreamConn.
func (byteStream) IsByteStream() bool { return true }

// A connKind tells what may be relied on in a net.Conn. A later one has all that those
// before it have.
type connKind uint8

const (
	// packetConn: each Write may become a packet, which one Read must have room for, and
	// deadlines may do nothing (B43).
	packetConn connKind = iota

	// streamConn: how bytes are cut does not matter, and deadlines work.
	streamConn

	// socketConn: it is the kernel's, so it can be tried without blocking, waited on
	// without a buffer, and closed at once.
	socketConn
)

// A kernelConn is a conn of this package that is a stream socket of the kernel. Those of
// others may have changed what Read and Write do.
type kernelConn interface {
	syscall.Conn
	isKernelConn()
}

// kindOf tells what kind of conn nc is.
func kindOf(nc net.Conn) connKind {
	switch c := nc.(type) {
	case *net.TCPConn:
		return kernelKind
	case *net.UnixConn:
		if a := c.LocalAddr(); a == nil || a.Network() == "unix" { // and no packet socket
			return kernelKind
		}
	case kernelConn:
		return kernelKind
	case ByteStreamConn:
		if c.IsByteStream() {
			return streamConn
		}
	case secureConn:
		if isTLS(nc) && kindOf(c.NetConn()) != packetConn {
			return streamConn
		}
	}
	return packetConn
}

// A secureConn has another conn below it, as a *tls.Conn has.
type secureConn interface{ NetConn() net.Conn }

// isTLS tells whether nc is a *tls.Conn, without linking that package. A type that embeds
// one may have changed what Read and Write do.
func isTLS(nc net.Conn) bool {
	t := reflect.TypeOf(nc)
	return t.Kind() == reflect.Pointer && t.Elem().PkgPath() == "crypto/tls" && t.Elem().Name() == "Conn"
}

// batchSize is how many bytes of small frames may leave in one write.
func (k connKind) batchSize() int {
	if k == packetConn {
		return packetSize
	}
	return maxPending
}

// closeConn closes nc; in the background if that may take time, as TLS does.
func closeConn(nc net.Conn) {
	if kindOf(nc) == socketConn {
		nc.Close()
		return
	}
	go nc.Close()
}
