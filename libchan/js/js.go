// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package js has the JavaScript with which a page in a browser speaks ttrpc and libchan over a
// websocket, such as those of module transport/websocket. It is three small modules without
// dependencies, which need no build step. A server serves them beside the page,
//
//	mux.Handle("/libchan/", http.StripPrefix("/libchan/", http.FileServerFS(js.Files)))
//
// and the page imports them:
//
//	import { dial, channel } from "/libchan/libchan.js";
//	const session = await dial("wss://server.example/session");
//
// The server's codec must be libchan.JSON. The modules' comments describe their API.
package js

import "embed"

// Files has libchan.js, and what it imports: ttrpc.js and wire.js.
//
//go:embed libchan.js ttrpc.js wire.js
var Files embed.FS
