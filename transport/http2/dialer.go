// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/ttrpc/transport"
	"github.com/containerd/ttrpc/transport/internal/duplex"
)

// ErrNotHTTP2 is in the error of a Dial that was connected to what does not speak HTTP/2.
var ErrNotHTTP2 = errors.New("no answer in HTTP/2 came; what answers may not speak it")

// Dial makes a connection with the zero [Dialer].
func Dial(ctx context.Context, url string) (net.Conn, error) { return new(Dialer).Dial(ctx, url) }

// A Dialer makes connections. The zero Dialer can be used. Its methods may be used
// concurrently.
type Dialer struct {
	// Header is sent with the request: Authorization, for example. User and password may
	// stand in the URL instead.
	Header http.Header

	// Transport says how to connect: its TLSClientConfig, Proxy, DialContext and the like.
	// It is cloned for each connection, which so has a TCP connection for itself, and no
	// other can hold it up. By default it is a Transport with Proxy set to
	// http.ProxyFromEnvironment, which is asked for https. In its HTTP2, SendPingTimeout is
	// 30 s if it is zero.
	Transport *http.Transport

	// HandshakeTimeout is how long all may take until bytes pass in both directions: 10 s
	// by default.
	HandshakeTimeout time.Duration
}

// Dial connects to a [Listener] at a URL with scheme http or https. It returns when bytes
// have passed in both directions, or after the HandshakeTimeout, and not later than ctx
// ends, which has no effect after that. An answer that is no connection is a
// [transport.StatusError]. The conn is a [transport.Conn] with a method CloseWrite, and its
// AuthInfo has the header of the answer.
func (d *Dialer) Dial(ctx context.Context, url string) (net.Conn, error) {
	target, err := parseURL(url)
	if err != nil {
		return nil, fmt.Errorf("http2: %w", err)
	}
	c, err := d.dial(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("http2: dial %s: %w", target.Redacted(), err)
	}
	return c, nil
}

func parseURL(text string) (*url.URL, error) {
	target, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, err
	case target.Scheme != "http" && target.Scheme != "https":
		return nil, fmt.Errorf("the scheme of %q is neither http nor https", target.Redacted())
	case target.Host == "":
		return nil, fmt.Errorf("there is no host in %q", target.Redacted())
	}
	return target, nil
}

func (d *Dialer) dial(ctx context.Context, target *url.URL) (net.Conn, error) {
	alive, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	x := &exchange{transport: d.transport(), ctx: alive, cancel: cancel, over: make(chan struct{})}
	timeout := cmp.Or(d.HandshakeTimeout, defaultHandshake)
	timer := time.AfterFunc(timeout, func() { cancel(fmt.Errorf("%w within %v", context.DeadlineExceeded, timeout)) })
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	c, err := x.shakeHands(d.request(target))
	inTime, wanted := timer.Stop(), stop()
	if err == nil && !(inTime && wanted) {
		err = context.Cause(alive)
	}
	if err == nil {
		go x.run()
		return c, nil
	}
	x.end()
	return nil, err
}

// transport returns one for one connection.
func (d *Dialer) transport() *http.Transport {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if d.Transport != nil {
		t = d.Transport.Clone()
	}
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP2(true)
	t.Protocols.SetUnencryptedHTTP2(true)
	t.DisableKeepAlives = true // and no other request comes after this one
	t.DisableCompression = true
	h2 := http.HTTP2Config{}
	if t.HTTP2 != nil {
		h2 = *t.HTTP2
	}
	h2.SendPingTimeout = cmp.Or(h2.SendPingTimeout, 30*time.Second)
	t.HTTP2 = &h2
	if proxy := t.Proxy; proxy != nil {
		t.Proxy = func(r *http.Request) (*url.URL, error) {
			if r.URL.Scheme != "https" {
				return nil, nil // only a tunnel carries HTTP/2
			}
			return proxy(r)
		}
	}
	return t
}

// request returns the request without its body.
func (d *Dialer) request(target *url.URL) *http.Request {
	r := &http.Request{Method: http.MethodPost, URL: target, Header: d.Header.Clone(), ContentLength: -1, Host: d.Header.Get("Host")}
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	if password, _ := target.User.Password(); target.User != nil && r.Header.Get("Authorization") == "" {
		r.SetBasicAuth(target.User.Username(), password)
	}
	r.Header.Set("Content-Type", contentType)
	return r
}

// An exchange is a request and its answer, as the client has them.
type exchange struct {
	transport *http.Transport
	ctx       context.Context // of the request
	cancel    context.CancelCauseFunc
	connected atomic.Pointer[net.Conn] // what is below, once there is something
	conn      *duplex.Conn
	answer    io.ReadCloser
	linger    *time.Timer // runs after Close
	once      sync.Once
	over      chan struct{} // closed when nothing more is sent
}

// shakeHands sends the request and waits for the server's greeting.
func (x *exchange) shakeHands(r *http.Request) (net.Conn, error) {
	x.conn = duplex.New(duplex.End{}, func() { x.linger = time.AfterFunc(linger, x.abort) })
	said := strings.NewReader(greeting)
	r.Body = requestBody{io.MultiReader(said, &recorder{r: x.conn.Outgoing()}), x}
	trace := httptrace.ClientTrace{GotConn: x.gotConn}
	answer, err := x.transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(x.ctx, &trace)))
	if err != nil {
		return nil, x.unanswered(err)
	}
	x.answer = answer.Body
	// From here on net/http does not look at the context while the request's body waits.
	context.AfterFunc(x.ctx, func() { answer.Body.Close() })
	if err := x.greeted(answer); err != nil {
		return nil, err
	}
	nc := *x.connected.Load()
	x.conn.Describe(duplex.End{
		Network: "http2", Local: nc.LocalAddr(), Remote: nc.RemoteAddr(),
		AuthInfo: &transport.AuthInfo{TLS: answer.TLS, Header: answer.Header, Context: x.ctx},
	})
	return duplex.HalfCloser{Conn: x.conn}, nil
}

// gotConn looks at the connection that the request is to go through. A server that agrees on
// no protocol would be sent HTTP/1.1, and might wait for the end of the request.
func (x *exchange) gotConn(info httptrace.GotConnInfo) {
	x.connected.Store(&info.Conn)
	if c, ok := info.Conn.(*tls.Conn); ok && c.ConnectionState().NegotiatedProtocol != "h2" {
		x.cancel(fmt.Errorf("%w: the TLS handshake has not agreed on h2", ErrNotHTTP2))
	}
}

// unanswered tells why there is no answer, or not all of the greeting.
func (x *exchange) unanswered(err error) error {
	cause, connected := context.Cause(x.ctx), x.connected.Load() != nil
	switch {
	case errors.Is(cause, ErrNotHTTP2):
		return cause
	case cause != nil && connected:
		return fmt.Errorf("%w: %w", transport.ErrNoAnswer, cause)
	case cause != nil:
		return cause
	case isHTTP2(err):
		return fmt.Errorf("the request is refused or cut off: %w", err)
	case x.answer == nil && (connected || isNoProtocol(err)):
		return fmt.Errorf("%w: %w", ErrNotHTTP2, err)
	}
	return err
}

// isHTTP2 tells whether an error is one that only a server that speaks HTTP/2 causes. Most are of
// no exported type.
func isHTTP2(err error) bool {
	var reset streamError
	text := err.Error()
	return errors.As(err, &reset) || strings.Contains(text, "server sent GOAWAY") || strings.Contains(text, "peer's advertised limit")
}

// A streamError has the form that net/http's error for an HTTP/2 stream can be turned into.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error implements error.
func (e streamError) Error() string { return fmt.Sprintf("HTTP/2 error %d", e.Code) }

// isNoProtocol tells whether a TLS server knows none of the protocols that we offer.
func isNoProtocol(err error) bool {
	const noApplicationProtocol = tls.AlertError(120)
	var op *net.OpError // whose error of an unexported type has the same text
	return errors.As(err, &op) && op.Op == "remote error" && op.Err.Error() == noApplicationProtocol.Error()
}

// greeted tells why an answer is no conn, or waits for the server's greeting.
func (x *exchange) greeted(answer *http.Response) error {
	if answer.ProtoMajor < 2 {
		return fmt.Errorf("%w: it is in %s", ErrNotHTTP2, answer.Proto)
	}
	if answer.StatusCode != http.StatusOK {
		return x.refused(answer)
	}
	if got := answer.Header.Get("Content-Type"); got != contentType {
		return fmt.Errorf("the answer is of type %q, not %s: the URL is none of a Listener", got, contentType)
	}
	said := make([]byte, len(greeting))
	if n, err := io.ReadFull(answer.Body, said); err != nil {
		return x.unanswered(fmt.Errorf("%d of the greeting's %d bytes came: %w", n, len(greeting), err))
	}
	if string(said) != greeting {
		return fmt.Errorf("the server's greeting is %q, not %q", said, greeting)
	}
	return nil
}

// refused reads the beginning of an answer that is no conn. A proxy may not end the answer
// before the request, which ends with it.
func (x *exchange) refused(answer *http.Response) error {
	timer := time.AfterFunc(patience, x.abort)
	defer timer.Stop()
	text := make([]byte, 300)
	if answer.ContentLength >= 0 {
		text = text[:min(answer.ContentLength, 300)]
	}
	n, _ := io.ReadFull(answer.Body, text)
	e := &transport.StatusError{Code: answer.StatusCode, Text: duplex.OneLine(text[:n])}
	if to := answer.Header.Get("Location"); to != "" {
		e.Text = "it redirects to " + duplex.OneLine([]byte(to))
	}
	return e
}

// run moves what comes from the server, until both directions have ended.
func (x *exchange) run() {
	if x.conn.Feed(newPlayer(x.answer)) == io.EOF {
		<-x.over
	}
	x.end()
}

// abort ends the request, however far it is.
func (x *exchange) abort() { x.cancel(context.Canceled) }

// end leaves nothing behind.
func (x *exchange) end() {
	x.conn.Finish()
	if x.linger != nil {
		x.linger.Stop()
	}
	if x.answer != nil {
		x.answer.Close()
	}
	x.abort()
	x.transport.CloseIdleConnections()
}

// A requestBody tells when the transport has done with it: its request has ended, or the
// answer and all of the body have.
type requestBody struct {
	io.Reader
	x *exchange
}

func (b requestBody) Close() error {
	b.x.once.Do(func() { close(b.x.over) })
	return b.x.conn.Outgoing().Close()
}
