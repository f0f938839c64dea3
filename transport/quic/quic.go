// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package quic carries connections over QUIC: one handshake instead of two, no waiting for a
// lost packet of another connection, and a client that gets another address keeps its
// connection. A server needs a certificate, and listens as on TCP:
//
//	listener, err := quic.ListenAddr(":7443", &tls.Config{Certificates: certificates})
//	go server.Serve(ctx, listener)
//
// A client dials once, or with ttrpc.Dial again whenever the connection is lost:
//
//	conn, err := quic.Dial(ctx, "server.example:7443")
//	client := ttrpc.NewClient(conn)
//
//	client, err := ttrpc.Dial("quic://server.example:7443", ttrpc.WithDialer(ttrpc.Dialer{Dial: quic.Dial}))
//
// What has a QUIC connection of quic-go already, accepted or dialled, makes a conn of it:
//
//	conn, err := quic.NewConn(connection) // a *quic.Conn of quic-go
//
// and quic.NewListener does so for all that a listener of quic-go accepts.
//
// # On the wire
//
// TLS 1.3 with the protocol (ALPN) "ttrpc". Each end has one unidirectional stream for what it
// sends, which the first Write opens; its end is that of the direction. A second one without
// bytes says that its end is closed and reads nothing more. The end that has both closed
// and got that ends the connection with the application's code 0. [CodeUnread] and
// [CodeNotAccepted] are the other codes of this package; see [Conn.CloseWithError].
//
// Accept and Dial return after the handshake, and neither end has to write first.
//
// # Ends
//
// Close returns at once. What was written before is still sent, in the background, until the
// other end has closed, too, and for at most five seconds. A program that ends right after
// Close waits for conn.AuthInfo().Context, or that may be lost. Close of the Listener leaves
// the conns that were accepted alone, and closes those that wait.
//
// # Who is alive
//
// QUIC keeps alive: a client that has heard nothing for 10 s asks, a server after 15 s, and
// after 30 s each takes the other for gone ([ErrSilent]). The QUIC field of Dialer and
// ListenConfig changes that. A path that is lost for five seconds ends nothing. ttrpc's own
// keep-alive is not needed, and is off unless ttrpc.WithKeepalive asks for it; its timeout
// should then be longer than what a path may be lost for.
//
// # Limits
//
// The windows grow with what is read, from 512 KiB to 16 MiB for each direction of a conn: some
// 300 MB/s over a path of 50 ms. A peer that shakes hands and says nothing holds a conn, as on
// TCP, and can open nothing but its two streams. Listeners of this package's own bound those
// that shake hands, and have a client prove its address when there are many.
package quic

import "time"

// protocol is that of ALPN.
const protocol = "ttrpc"

// network is what errors call it.
const network = "quic"

const (
	defaultHandshake = 10 * time.Second
	defaultIdle      = 30 * time.Second
	maxWindow        = 16 << 20

	// A client asks first, so that a server asks those alone that do not.
	clientKeepAlive = 10 * time.Second
	serverKeepAlive = 15 * time.Second

	// linger is how long Close waits for the other end.
	linger = 5 * time.Second

	// streams is how many an end opens: one for bytes, and one that says that it is closed.
	streams = 2
)

// The codes with which this package ends a QUIC connection. All below 256 are its own.
const (
	codeEnded = 0 // both ends have closed

	// CodeUnread says that the conn was closed, and that the other end has not closed its
	// own, nor read all, for five seconds.
	CodeUnread = 1

	// CodeNotAccepted says that the Listener was closed while the conn waited for Accept.
	CodeNotAccepted = 2

	codeNoStreams = 3 // the other end lets this one open no streams
)
