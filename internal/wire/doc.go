// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package wire turns what ttrpc says into bytes and bytes back into values.
//
// The protocol in one breath: two ends share one ordered connection. What they
// say is cut into frames. A frame is a header of ten bytes, which tells its
// length, its stream, its type and its flags, and then data. The client opens a
// stream with a request frame, whose data names a service and a method and holds
// the first message. Data frames carry further messages, one each, both ways. The
// server ends the stream with a response frame, which holds a status or the last
// message. Frames of many streams mix as they like. A client that wants more says
// Hello in its first request. If the server answers it, both ends may call, large
// frames travel in parts, and control frames pass descriptors, cancel, grant
// credit, ping and say goodbye: that is the extended mode.
//
// PROTOCOL.md has all of it. This package has the layouts, each beside its
// constant, and nothing else: it has no connection, no lock and no memory of its
// own, and it knows nothing of what a frame means on a stream. It is the only
// place of the repository that has them; the library, hostile peers of its tests
// and tools all come here.
package wire
