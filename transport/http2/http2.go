// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package http2 carries connections through HTTP/2, and so through the proxies and the
// authentication that a site has already. A server gives a Listener both to its mux and to
// ttrpc:
//
//	listener := new(http2.Listener)
//	mux.Handle("/ttrpc", listener) // or authenticate(listener)
//	go server.Serve(ctx, listener)
//
// A client dials the URL, once, or with ttrpc.Dial again whenever the connection is lost:
//
//	conn, err := http2.Dial(ctx, "https://server.example/ttrpc")
//	client := ttrpc.NewClient(conn)
//
//	client, err := ttrpc.Dial("https://server.example/ttrpc", ttrpc.WithDialer(ttrpc.Dialer{Dial: http2.Dial}))
//
// A connection is one POST request whose two bodies are the two directions. It needs HTTP/2
// on the whole way, with TLS (https) or without (http), and proxies that pass
// on at once what comes. Where that is not so, Dial fails and says why. An http.Server speaks
// HTTP/2 without TLS if its Protocols say so:
//
//	server := &http.Server{Handler: mux, Protocols: new(http.Protocols)}
//	server.Protocols.SetUnencryptedHTTP2(true)
//
// # Ends
//
// Close sends what was written before, in the background and for at most five seconds, and
// ends the connection; the other end then reads io.EOF. CloseWrite, which both ends' conns
// have, ends one direction. A connection that was cut off reads as another error. Close of the
// Listener leaves the conns that were accepted alone, refuses those to come with status 503, and
// closes those in between. http.Server.Shutdown waits for the conns and does not end them:
//
//	httpServer.RegisterOnShutdown(func() { server.Shutdown(ctx) })
//
// # Limits
//
// Those of http.Server hold: MaxHeaderBytes, and in its HTTP2 MaxConcurrentStreams, the
// connections that one client may multiplex, and MaxReceiveBufferPerStream, what waits in
// memory for each beside the 256 KiB that a conn may hold. Its ReadTimeout and WriteTimeout end with the handshake.
// HTTP2.SendPingTimeout has the server notice clients that have gone without a word; the
// Dialer does that by itself. Such pings go as far as the next proxy. What shows a proxy that
// a connection is not idle, and each end that the other is alive, is ttrpc.WithKeepalive.
package http2

import "time"

// contentType is that of requests and answers. It is no simple one in the sense of browsers, so
// no page of a foreign origin can send it unasked.
const contentType = "application/x-ttrpc-stream"

// greeting is what either end says first. A client that has read the server's, which comes
// after its own has arrived, knows that nobody on the way holds bytes back.
const greeting = "STREAM1\n"

const (
	defaultHandshake = 10 * time.Second
	defaultBacklog   = 128

	// linger is how long Close has to send what was written before.
	linger = 5 * time.Second

	// patience is how long the text of a refusal may take after its status.
	patience = time.Second
)
