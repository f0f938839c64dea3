// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/containerd/ttrpc/transport"
	"github.com/containerd/ttrpc/transport/internal/duplex"
)

// A Listener is a net.Listener whose conns come as requests to an http.Handler, which it is
// as well. The zero Listener can be used. Its fields must not be changed later. Its methods
// may be used concurrently.
type Listener struct {
	// HandshakeTimeout is how long a client's greeting may take to arrive: 10 s by default.
	HandshakeTimeout time.Duration

	// Backlog is how many clients may shake hands or wait for Accept, 128 by default. More
	// are refused with status 503.
	Backlog int

	queue duplex.Queue
}

// Accept implements net.Listener. Its conns are each a [transport.Conn].
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.queue.Accept()
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: "http2", Err: err}
	}
	return c, nil
}

// Close implements net.Listener. Conns that were accepted live on.
func (l *Listener) Close() error { return l.queue.Close() }

// Addr implements net.Listener. A Listener does not know where its http.Server listens.
func (l *Listener) Addr() net.Addr { return duplex.Addr{Net: "http2", Text: "http2"} }

// ServeHTTP implements http.Handler. It returns when the conn has ended.
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	conn, err := l.shakeHands(w, rc, r)
	if err != nil {
		http.Error(w, err.Text, err.Code)
		return
	}
	defer l.queue.Drop(duplex.HalfCloser{Conn: conn})
	w.Header().Set("Content-Type", contentType)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		answer(conn, w, rc)
	}()
	conn.Feed(newPlayer(r.Body))
	// The client may have ended its direction alone, and then nothing but the context tells
	// that it has gone.
	stop := context.AfterFunc(r.Context(), func() { conn.Fail(errGone) })
	<-drained
	stop()
	conn.Finish()
}

// answer sends the greeting and what is written to the conn.
func answer(conn *duplex.Conn, w io.Writer, rc *http.ResponseController) {
	if _, err := io.WriteString(w, greeting); err != nil {
		conn.Fail(err)
		return
	}
	if err := rc.Flush(); err != nil {
		conn.Fail(err)
		return
	}
	send := func(b []byte) error {
		if err := writeRecord(w, b); err != nil {
			return err
		}
		return rc.Flush()
	}
	if conn.Drain(send) == io.EOF {
		send(nil)
	}
}

// shakeHands returns the conn of a request, which is in the queue, or why there is none.
func (l *Listener) shakeHands(w http.ResponseWriter, rc *http.ResponseController, r *http.Request) (*duplex.Conn, *transport.StatusError) {
	if refusal := look(w, r); refusal != nil {
		if r.ProtoMajor < 2 {
			rc.EnableFullDuplex() // or the answer waits for the end of the request
		}
		return nil, refusal
	}
	limit := cmp.Or(l.Backlog, defaultBacklog)
	if err := l.queue.Enter(limit); err != nil {
		return nil, unavailable(w, err)
	}
	defer l.queue.Leave()
	if refusal := l.greeted(rc, r.Body); refusal != nil {
		return nil, refusal
	}
	conn := newServerConn(rc, r)
	if err := l.queue.Put(duplex.HalfCloser{Conn: conn}, limit); err != nil {
		return nil, unavailable(w, err)
	}
	return conn, nil
}

// unavailable has a client come again later.
func unavailable(w http.ResponseWriter, why error) *transport.StatusError {
	if why == net.ErrClosed {
		why = errors.New("the listener is closed")
	}
	w.Header().Set("Retry-After", "1")
	return &transport.StatusError{Code: http.StatusServiceUnavailable, Text: why.Error()}
}

// look tells why a request is none for a conn, or returns nil.
func look(w http.ResponseWriter, r *http.Request) *transport.StatusError {
	switch {
	case r.ProtoMajor < 2:
		return &transport.StatusError{Code: http.StatusHTTPVersionNotSupported, Text: "a connection needs HTTP/2 on the whole way; the last hop speaks " + r.Proto}
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return &transport.StatusError{Code: http.StatusMethodNotAllowed, Text: "a connection is a POST request"}
	case r.Header.Get("Content-Type") != contentType:
		w.Header().Set("Accept-Post", contentType)
		return &transport.StatusError{Code: http.StatusUnsupportedMediaType, Text: "a connection has content of type " + contentType}
	}
	return nil
}

// greeted waits for the client's greeting.
func (l *Listener) greeted(rc *http.ResponseController, body io.Reader) *transport.StatusError {
	timeout := cmp.Or(l.HandshakeTimeout, defaultHandshake)
	if err := errors.Join(rc.SetReadDeadline(time.Now().Add(timeout)), rc.SetWriteDeadline(time.Time{})); err != nil {
		return &transport.StatusError{Code: http.StatusInternalServerError, Text: fmt.Sprintf("middleware in front of the connection hides what it needs of the http.ResponseWriter: %v", err)}
	}
	said := make([]byte, len(greeting))
	n, err := io.ReadFull(body, said)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &transport.StatusError{Code: http.StatusRequestTimeout, Text: fmt.Sprintf("%d of the greeting's %d bytes came within %v", n, len(greeting), timeout)}
	case err != nil:
		return &transport.StatusError{Code: http.StatusBadRequest, Text: fmt.Sprintf("the request ended after %d of the greeting's %d bytes", n, len(greeting))}
	case string(said) != greeting:
		return &transport.StatusError{Code: http.StatusBadRequest, Text: fmt.Sprintf("the greeting is %q, not %q", said, greeting)}
	}
	if err := rc.SetReadDeadline(time.Time{}); err != nil {
		return &transport.StatusError{Code: http.StatusInternalServerError, Text: err.Error()}
	}
	return nil
}

var errGone = errors.New("the request was cancelled")

func newServerConn(rc *http.ResponseController, r *http.Request) *duplex.Conn {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return duplex.New(duplex.End{
		Network:  "http2",
		Local:    local,
		Remote:   duplex.ParseAddr(r.RemoteAddr),
		AuthInfo: &transport.AuthInfo{TLS: r.TLS, Header: r.Header.Clone(), Context: r.Context()},
	}, func() {
		rc.SetWriteDeadline(time.Now().Add(linger)) // or the handler might wait for ever
		rc.SetReadDeadline(time.Unix(1, 0))
	})
}
