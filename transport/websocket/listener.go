// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package websocket

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	coder "github.com/coder/websocket"

	"github.com/containerd/ttrpc/transport"
	"github.com/containerd/ttrpc/transport/internal/duplex"
)

// A Listener is a net.Listener whose conns come as requests to an http.Handler, which it is
// as well. The zero Listener can be used. Its fields must not be changed later. Its methods
// may be used concurrently.
type Listener struct {
	// Origins are the hosts whose pages may connect beside those of the host that the
	// request is for, each a pattern of path.Match: "*.example.com". One with a scheme,
	// "https://example.com:8443", holds for that scheme alone. What is no browser names no
	// origin, and is not asked for one.
	Origins []string

	// AnyOrigin lets any page connect, by which any site can act in the name of a user
	// whose browser sends cookies along.
	AnyOrigin bool

	// Subprotocols are those that are spoken here, the best one first. If there are any,
	// whoever offers none of them is refused with status 400. By default none is spoken,
	// and what is offered is passed over.
	Subprotocols []string

	// MaxMessage is how many bytes a message may have: 1 MiB by default. One with more ends
	// its conn. With -1 there is no limit. Conns of this package send 64 KiB at most.
	MaxMessage int64

	// PingInterval is how often a conn pings its other end: every 30 s by default, never
	// with -1.
	PingInterval time.Duration

	// PingTimeout is how long after a ping nothing may come: 30 s by default.
	PingTimeout time.Duration

	// Backlog is how many conns may shake hands or wait for Accept, 128 by default. More are
	// refused with status 503.
	Backlog int

	queue duplex.Queue
}

// Accept implements net.Listener. Its conns are each a [transport.Conn], and have a method
// Subprotocol, which returns a string.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.queue.Accept()
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: network, Err: err}
	}
	return c, nil
}

const network = "websocket"

// Close implements net.Listener. Conns that were accepted live on.
func (l *Listener) Close() error { return l.queue.Close() }

// Addr implements net.Listener. A Listener does not know where its http.Server listens.
func (l *Listener) Addr() net.Addr { return duplex.Addr{Net: network, Text: network} }

// ServeHTTP implements http.Handler. It returns when the conn has ended.
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s := l.shakeHands(w, r); s != nil {
		defer l.queue.Drop(s.conn)
		s.run()
	}
}

// shakeHands answers a request, and returns nil if that is all.
func (l *Listener) shakeHands(w http.ResponseWriter, r *http.Request) *socket {
	limit := cmp.Or(l.Backlog, defaultBacklog)
	refusal := l.look(w, r)
	if refusal == nil {
		if err := l.queue.Enter(limit); err != nil {
			w.Header().Set("Retry-After", "1")
			refusal = &transport.StatusError{Code: http.StatusServiceUnavailable, Text: err.Error()}
		}
	}
	if refusal != nil {
		http.Error(w, refusal.Text, refusal.Code)
		return nil
	}
	defer l.queue.Leave()
	h := &hijacker{ResponseWriter: w}
	ws, err := coder.Accept(h, r, &coder.AcceptOptions{
		Subprotocols: l.Subprotocols, OriginPatterns: l.Origins, InsecureSkipVerify: l.AnyOrigin,
	})
	if err != nil {
		return nil // the client has its answer
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	s := newSocket(ws, h.link, duplex.End{
		Network: network, Local: local, Remote: duplex.ParseAddr(r.RemoteAddr),
		AuthInfo: &transport.AuthInfo{TLS: r.TLS, Header: r.Header, Context: r.Context()},
	}, newLimits(l.MaxMessage, l.PingInterval, l.PingTimeout))
	if err := l.queue.Put(s.conn, limit); err != nil { // the listener was closed meanwhile
		s.verdict = coder.CloseError{Code: coder.StatusTryAgainLater, Reason: err.Error()}
		s.conn.Close()
	}
	return s
}

// look tells why a request gets no conn, or returns nil.
func (l *Listener) look(w http.ResponseWriter, r *http.Request) *transport.StatusError {
	refuse := func(code int, format string, args ...any) *transport.StatusError {
		return &transport.StatusError{Code: code, Text: fmt.Sprintf(format, args...)}
	}
	for _, pattern := range l.Origins {
		if _, err := path.Match(pattern, ""); err != nil {
			return refuse(http.StatusInternalServerError, "the Listener's origin %q: %v", pattern, err)
		}
	}
	switch {
	case l.queue.Closed():
		return refuse(http.StatusServiceUnavailable, "the listener is closed")
	case r.ProtoMajor != 1:
		return refuse(http.StatusHTTPVersionNotSupported, "a websocket needs HTTP/1.1, and the last hop speaks %s", r.Proto)
	case !strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		return refuse(http.StatusUpgradeRequired, "this is the address of websockets; something in between may not pass the request on as one")
	case len(l.Subprotocols) > 0 && !l.speaks(r.Header.Values("Sec-WebSocket-Protocol")):
		return refuse(http.StatusBadRequest, "the subprotocols that are spoken here are %s", strings.Join(l.Subprotocols, ", "))
	}
	return nil
}

// speaks tells whether one of the subprotocols that a client offers is spoken here.
func (l *Listener) speaks(offers []string) bool {
	for _, offer := range strings.Split(strings.Join(offers, ","), ",") {
		for _, own := range l.Subprotocols {
			if strings.EqualFold(strings.TrimSpace(offer), own) {
				return true
			}
		}
	}
	return false
}

// A hijacker is an http.ResponseWriter whose connection becomes a link.
type hijacker struct {
	http.ResponseWriter
	link *link
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	ahead, _ := rw.Peek(rw.Reader.Buffered())
	h.link = newLink(conn, io.MultiReader(bytes.NewReader(ahead), conn))
	return h.link, bufio.NewReadWriter(bufio.NewReader(h.link), bufio.NewWriter(h.link)), nil
}
