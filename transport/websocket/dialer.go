// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package websocket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	coder "github.com/coder/websocket"

	"github.com/containerd/ttrpc/transport"
	"github.com/containerd/ttrpc/transport/internal/duplex"
)

// Dial makes a connection with the zero [Dialer].
func Dial(ctx context.Context, url string) (net.Conn, error) { return new(Dialer).Dial(ctx, url) }

// A Dialer makes connections. The zero Dialer can be used. Its methods may be used
// concurrently.
type Dialer struct {
	// Header is sent with the request: Authorization, for example, or Origin. User and
	// password may stand in the URL instead.
	Header http.Header

	// Subprotocols are offered to the server, the best one first. If there are any, the
	// server must choose one.
	Subprotocols []string

	// Transport says how to connect: its TLSClientConfig, Proxy, DialContext and the like.
	// It is cloned for each connection. By default it is a Transport with Proxy set to
	// http.ProxyFromEnvironment, which is asked for wss.
	Transport *http.Transport

	// HandshakeTimeout is how long all may take until the server has accepted: 10 s by
	// default.
	HandshakeTimeout time.Duration

	// MaxMessage is how many bytes a message may have: 1 MiB by default. One with more ends
	// the conn. With -1 there is no limit. Conns of this package send 64 KiB at most.
	MaxMessage int64

	// PingInterval is how often a conn pings its other end: every 30 s by default, never
	// with -1.
	PingInterval time.Duration

	// PingTimeout is how long after a ping nothing may come: 30 s by default.
	PingTimeout time.Duration
}

// Dial connects to a [Listener], or another websocket of bytes, at a URL with scheme ws or
// wss. It returns within the HandshakeTimeout, and not later than ctx ends, which has no
// effect after that. An answer that is no connection is a [transport.StatusError]. The conn is
// a [transport.Conn], whose AuthInfo has the header of the answer, and has a method
// Subprotocol, which returns a string.
func (d *Dialer) Dial(ctx context.Context, url string) (net.Conn, error) {
	target, err := d.check(url)
	if err != nil {
		return nil, fmt.Errorf("websocket: %w", err)
	}
	c, err := d.dial(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("websocket: dial %s: %w", target.Redacted(), err)
	}
	return c, nil
}

// handshakeHeaders are those that the websocket itself sends.
var handshakeHeaders = []string{"Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol"}

func (d *Dialer) check(text string) (*url.URL, error) {
	for name := range d.Header {
		if slices.Contains(handshakeHeaders, http.CanonicalHeaderKey(name)) {
			return nil, fmt.Errorf("the Dialer's Header has %s, which is the websocket's own", name)
		}
	}
	target, err := url.Parse(text)
	var malformed *url.Error
	switch {
	case errors.As(err, &malformed):
		return nil, fmt.Errorf("malformed URL: %w", malformed.Err) // its text may have a password
	case err != nil:
		return nil, err
	case target.Scheme != "ws" && target.Scheme != "wss":
		return nil, fmt.Errorf("the scheme of %q is neither ws nor wss", target.Redacted())
	case target.Host == "":
		return nil, fmt.Errorf("there is no host in %q", target.Redacted())
	}
	return target, nil
}

func (d *Dialer) dial(ctx context.Context, target *url.URL) (net.Conn, error) {
	alive, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	timeout := cmp.Or(d.HandshakeTimeout, defaultHandshake)
	timer := time.AfterFunc(timeout, func() { cancel(fmt.Errorf("%w within %v", context.DeadlineExceeded, timeout)) })
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	s, err := d.shakeHands(alive, target)
	inTime, wanted := timer.Stop(), stop()
	if err == nil && !(inTime && wanted) {
		s.link.kill()
		_ = s.ws.CloseNow()
		err = context.Cause(alive)
	}
	if err != nil {
		cancel(context.Canceled)
		return nil, err
	}
	go func() {
		s.run()
		cancel(context.Canceled)
	}()
	return s.conn, nil
}

func (d *Dialer) shakeHands(ctx context.Context, target *url.URL) (*socket, error) {
	shake := &handshake{transport: d.transport()}
	defer shake.transport.CloseIdleConnections()
	trace := httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { shake.conn.Store(&info.Conn) }}
	ws, answer, err := coder.Dial(httptrace.WithClientTrace(ctx, &trace), target.String(), &coder.DialOptions{
		HTTPClient:   &http.Client{Transport: shake, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		HTTPHeader:   d.Header,
		Host:         d.Header.Get("Host"),
		Subprotocols: d.Subprotocols,
	})
	if err == nil && len(d.Subprotocols) > 0 && ws.Subprotocol() == "" {
		_ = ws.Close(coder.StatusPolicyViolation, "no subprotocol was chosen")
		err = fmt.Errorf("the server speaks none of the subprotocols %s", strings.Join(d.Subprotocols, ", "))
	}
	if err != nil {
		return nil, shake.failure(ctx, answer, err)
	}
	conn := *shake.conn.Load()
	return newSocket(ws, shake.link, duplex.End{
		Network: network, Local: conn.LocalAddr(), Remote: conn.RemoteAddr(),
		AuthInfo: &transport.AuthInfo{TLS: answer.TLS, Header: answer.Header, Context: ctx},
	}, newLimits(d.MaxMessage, d.PingInterval, d.PingTimeout)), nil
}

// transport returns one for one connection.
func (d *Dialer) transport() *http.Transport {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if d.Transport != nil {
		t = d.Transport.Clone()
	}
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.DisableKeepAlives = false // or it sends Connection: close
	if proxy := t.Proxy; proxy != nil {
		t.Proxy = func(r *http.Request) (*url.URL, error) {
			if r.URL.Scheme != "https" {
				return nil, nil // only a tunnel is sure to carry a websocket
			}
			return proxy(r)
		}
	}
	return t
}

// A handshake is an http.RoundTripper for one request, whose connection becomes a link.
type handshake struct {
	transport *http.Transport
	conn      atomic.Pointer[net.Conn] // nil until it is there
	link      *link
}

// RoundTrip implements http.RoundTripper.
func (h *handshake) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := h.transport.RoundTrip(r)
	if err == nil && answer.StatusCode == http.StatusSwitchingProtocols {
		h.link = newLink(*h.conn.Load(), answer.Body)
		answer.Body = h.link
	}
	return answer, err
}

// failure tells why there is no conn.
func (h *handshake) failure(ctx context.Context, answer *http.Response, err error) error {
	if h.link != nil {
		h.link.kill()
	}
	cause := context.Cause(ctx)
	switch {
	case cause != nil && h.conn.Load() != nil:
		return fmt.Errorf("%w: %w", transport.ErrNoAnswer, cause)
	case cause != nil:
		return cause
	case answer == nil || answer.StatusCode == http.StatusSwitchingProtocols:
		return err
	}
	text := make([]byte, 300)
	n, _ := io.ReadFull(answer.Body, text)
	e := &transport.StatusError{Code: answer.StatusCode, Text: duplex.OneLine(text[:n])}
	if to := answer.Header.Get("Location"); to != "" {
		e.Text = "it redirects to " + to
	}
	return e
}
