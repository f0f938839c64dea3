// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import "github.com/containerd/ttrpc"

// An options is what a session's options say. It is immutable once a session uses it.
type options struct {
	codec    Codec   // of what is sent
	codecs   []Codec // known beside those of this package
	names    func(name string) error
	serve    func(*Session)
	services *ttrpc.Server
	files    int // how many of the peer's a connection may hold
	ownFiles bool
}

// An Option is one of a session.
type Option func(o *options)

func newOptions(opts []Option) *options {
	o := &options{codec: defaultCodec(), files: defaultFiles}
	for _, opt := range opts {
		if opt == nil {
			panic("libchan: an option is nil")
		}
		opt(o)
	}
	return o
}

// WithCodec has messages that leave by the session be encoded with c. The other side needs to
// know a codec of that name; the codecs of this package are always known. What the other side
// sends may be encoded with another one.
func WithCodec(c Codec) Option {
	if c == nil {
		panic("libchan: the codec is nil")
	}
	return func(o *options) { o.codec, o.codecs = c, append(o.codecs, c) }
}

// WithNames has the session ask check about the name of each channel that the peer opens,
// which is empty for one of NewSendChannel. If it returns an error the channel is refused, and
// the peer's Send returns it. check must not wait.
func WithNames(check func(name string) error) Option {
	if check == nil {
		panic("libchan: the function that checks names is nil")
	}
	return func(o *options) { o.names = check }
}

// WithHandler has serve called for each session that a client begins with the server, on a
// goroutine of its own. It is an option of [Register].
func WithHandler(serve func(s *Session)) Option {
	if serve == nil {
		panic("libchan: the handler of sessions is nil")
	}
	return func(o *options) { o.serve = serve }
}

// WithServices has the client answer calls of these services, too, see
// [ttrpc.WithClientServices]. It is an option of [WithSessions], for one client.
func WithServices(s *ttrpc.Server) Option {
	if s == nil {
		panic("libchan: the server of the client's services is nil")
	}
	return func(o *options) { o.services = s }
}

// defaultFiles is how many files of the peer's a connection may hold.
const defaultFiles = 1024

// WithFiles sets how many files of the peer's may be on their way, in messages that nobody has
// received, see [ttrpc.Limits]: 1,024 by default. With 0 no file passes as a descriptor, and
// those that are sent arrive as byte streams. Of a server that is given to [Register] it is
// the server's own limit that counts, by default 0.
func WithFiles(n int) Option {
	if n < 0 {
		panic("libchan: the number of files is negative")
	}
	return func(o *options) { o.files, o.ownFiles = n, true }
}
