// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package websocket carries connections through websockets: from pages in browsers, and
// through proxies that pass no HTTP/2. A server gives a Listener both to its mux and to ttrpc:
//
//	listener := new(websocket.Listener)
//	mux.Handle("/ttrpc", listener) // or authenticate(listener)
//	go server.Serve(ctx, listener)
//
// A client dials the URL, once, or with ttrpc.Dial again whenever the connection is lost:
//
//	conn, err := websocket.Dial(ctx, "wss://server.example/ttrpc")
//	client := ttrpc.NewClient(conn)
//
//	client, err := ttrpc.Dial("wss://server.example/ttrpc", ttrpc.WithDialer(ttrpc.Dialer{Dial: websocket.Dial}))
//
// A connection is a stream of bytes, which travel in binary messages. Where a message begins
// means nothing. What a conn writes are messages of up to 64 KiB; what it takes are messages
// of any size up to a limit.
//
// # Ends
//
// Close sends what was written before, in the background and for at most five seconds, and
// then the websocket's close frame; the other end then reads io.EOF. There is no CloseWrite: a
// websocket ends in both directions at once. A connection that ends without a close frame is
// an error of Read that wraps io.ErrUnexpectedEOF. Close of the Listener leaves the conns that
// were accepted alone, refuses those to come with status 503, and closes those in between.
// http.Server.Shutdown neither ends the conns nor waits for them:
//
//	httpServer.RegisterOnShutdown(func() { server.Shutdown(ctx) })
//
// # Pages of other origins
//
// A browser lets any page open a websocket to any server, with the user's cookies. So a
// Listener refuses pages that come from elsewhere than the host that the request names, unless
// Origins or AnyOrigin says otherwise. Behind a proxy that changes the Host header, Origins
// has the name that browsers see.
//
// # Keep-alive
//
// Each end pings the other, which shows proxies in between that the connection is not idle,
// and each end that the other is alive: what it does not hear from for an interval and a
// timeout it takes for gone. Data counts, too. A peer that is no browser and no conn of this
// package, and has its program read nothing for so long, must not be pinged.
//
// # Limits
//
// Those of http.Server hold for the handshake: ReadHeaderTimeout and MaxHeaderBytes. After it,
// the timeouts of http.Server mean nothing. A conn holds up to 256 KiB in memory for either
// direction while its peer, or the program, does not read, and nothing while it is idle.
package websocket

import (
	"cmp"
	"errors"
	"time"
)

const (
	defaultHandshake = 10 * time.Second
	defaultBacklog   = 128
	defaultMessage   = 1 << 20
	defaultPing      = 30 * time.Second

	// linger is how long Close has to send what was written before.
	linger = 5 * time.Second
)

var (
	// ErrSilent is what a conn fails with whose other end is not heard of any more.
	ErrSilent = errors.New("the other end has said nothing, and answered no ping")

	// ErrText is what a conn fails with whose other end sends text.
	ErrText = errors.New("a text message came; the bytes of a connection are in binary ones")

	// ErrTooLarge is what a conn fails with to which a message beyond its limit comes.
	ErrTooLarge = errors.New("a message came that is too large")
)

// limits are what Dialer and Listener say of a conn.
type limits struct {
	message int64
	ping    time.Duration // none if it is negative
	pong    time.Duration
}

func newLimits(message int64, ping, pong time.Duration) limits {
	return limits{cmp.Or(message, defaultMessage), cmp.Or(ping, defaultPing), cmp.Or(pong, defaultPing)}
}
