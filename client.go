// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"net"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A Client makes calls on one connection, which it owns, or, if [Dial] made it,
// on one after the other. Its methods may be used concurrently. The zero Client is
// closed.
type Client struct {
	config *clientConfig
	via    connector // nil in the zero Client
}

// NewClient returns a client that makes its calls on conn, and from now on
// owns conn. On a *net.UnixConn or *net.TCPConn calls share system calls and
// no memory is held while waiting; any other net.Conn works too. It panics if
// an option does not apply.
func NewClient(conn net.Conn, opts ...ClientOpts) *Client {
	c := &Client{config: newClientConfig()}
	c.apply(opts)
	if c.config.dialer != nil {
		c.config.mistake = errors.New("ttrpc: WithDialer was given to NewClient, which does not dial")
	}
	if err := c.config.finish(); err != nil {
		panic(err)
	}
	l := newLink(c.config, conn)
	l.conn.gone = c.config.gone
	c.via = l
	if c.config.begin != nil {
		c.config.begin(l, conn)
	} else {
		l.conn.start(conn)
	}
	return c
}

// gone is called when the connection has ended.
func (cfg *clientConfig) gone(*conn) { go cfg.closed() }

// closed runs, on a goroutine of its own, when the connection has ended.
func (cfg *clientConfig) closed() {
	close(cfg.over)
	defer close(cfg.closeDone)
	if cfg.onClose != nil {
		cfg.onClose()
	}
}

// Close ends the connection, and no other is made. Calls that are under way, and all
// later ones, return ErrClosed, or its status. It returns nil, at once, and may be called again.
func (c *Client) Close() error {
	if c.via != nil {
		c.via.close()
	}
	return nil
}

// Cause tells why the connection ended: ErrClosed after Close, io.EOF if the
// peer closed it, else the error of the transport, the handshake or the
// protocol. If writing fails it is that error; but what had arrived before is
// still read, for about a second, and if that fails too, reading's error counts.
//
// It is nil while the connection lasts. A connection that has run out of ids,
// 2^31 of them, takes no more calls and lasts until those under way have
// finished. Of a client made by [Dial] it is nil until Close or Shutdown.
func (c *Client) Cause() error {
	if c.via == nil {
		return ErrClosed
	}
	return c.via.cause()
}

// UserOnCloseWait waits until the function given to WithOnClose has returned,
// and returns nil; or ctx.Err(), if ctx ends first.
func (c *Client) UserOnCloseWait(ctx context.Context) error {
	if c.config == nil {
		return nil
	}
	select {
	case <-c.config.closeDone:
		return nil
	case <-ctx.Done():
		return errOf(ctx)
	}
}

// Call makes a unary call and waits for the answer, which it decodes into
// resp. req and resp are messages of the kinds that the package documentation
// lists; Call keeps neither. The context's deadline and metadata go along.
//
// The error is the server's status, for status.FromError of
// google.golang.org/grpc; or context.Canceled or context.DeadlineExceeded, as
// they are, if the context ends first; ErrClosed, as it is, if the connection
// has ended or has run out of ids; an *OversizedMessageErr if req is too large;
// a status of code ResourceExhausted if the answer is; or what is wrong with
// req or resp. Only ErrClosed means that the client is of no more use.
//
// In extended mode, of a client made by [Dial] and with [WithStatusErrors] each of
// these is a status as well, in which errors.Is finds them: Canceled, DeadlineExceeded,
// Unavailable for ErrClosed (Canceled if this end has closed the client),
// ResourceExhausted or Internal. The text says why.
func (c *Client) Call(ctx context.Context, service, method string, req, resp any) error {
	if c.config == nil {
		return ErrClosed
	}
	ctx, extras, err := beginExtras(ctx)
	if err != nil {
		return c.via.told(err)
	}
	if extras != nil {
		defer extras.end()
	}
	if _, ok := ctx.Deadline(); !ok && c.config.timeouts.Call > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(watched(ctx), c.config.timeouts.Call)
		defer cancel()
	}
	if err := c.via.await(ctx); err != nil {
		return err
	}
	head, err := newRequestHead(ctx, service, method)
	if err != nil {
		return c.via.told(err)
	}
	head.extras = extras
	if c.config.intercepted != nil {
		return c.config.intercepted(ctx, c.via, head, req, resp)
	}
	p, err := c.config.codec.measure(req)
	if err != nil {
		return c.via.told(err)
	}
	f, err := c.via.roundTrip(ctx, head, p)
	if err != nil {
		return err
	}
	defer f.release()
	if extras != nil {
		extras.received(f, nil)
	}
	payload, err := responsePayload(ctx, f.data)
	if err == nil {
		err = c.config.codec.decode(f, payload, resp)
	}
	if err != nil {
		return c.via.told(err)
	}
	return nil
}

// callIntercepted is Client.Call where interceptors, joined into one, want to see the
// envelopes.
func (cfg *clientConfig) callIntercepted(ctx context.Context, all UnaryClientInterceptor, via connector, head requestHead, req, resp any) error {
	p, err := cfg.codec.measure(req)
	if err != nil {
		return via.told(err)
	}
	encoded, err := p.append(make([]byte, 0, p.size))
	if err != nil {
		return via.told(err)
	}
	r := &Request{Service: head.service, Method: head.method, Payload: encoded, TimeoutNano: head.timeoutNano, Metadata: head.metadata}
	answer := new(Response)
	info := &UnaryClientInfo{FullMethod: fullPath(head.service, head.method)}
	invoke := func(ctx context.Context, req *Request, resp *Response) error {
		return invoke(ctx, via, head.extras, req, resp)
	}
	if err := all(ctx, r, answer, info, invoke); err != nil {
		return err
	}
	if head.extras != nil {
		head.extras.returned(answer)
	}
	err = statusError(ctx, answer.Status)
	if err == nil {
		err = cfg.codec.unmarshal(answer.Payload, resp)
	}
	return via.told(err)
}

// invoke is the Invoker behind the interceptors, of a call that has these extras or nil. An
// interceptor may have added others to the context.
func invoke(ctx context.Context, via connector, extras callerExtras, req *Request, resp *Response) error {
	if err := ctx.Err(); err != nil {
		return via.told(err)
	}
	ctx, own, err := beginExtras(ctx)
	if err != nil {
		return via.told(err)
	}
	if extras != nil {
		extras = extras.attempt()
	}
	if own != nil {
		defer own.end()
		extras = own.over(extras)
	}
	head := requestHead{req.Service, req.Method, req.TimeoutNano, req.Metadata, extras}
	f, err := via.roundTrip(ctx, head, rawPayload(req.Payload))
	if err != nil {
		return err
	}
	defer f.release()
	st, p, err := parseResponse(f.data)
	if err == nil && st != nil && isOwnDeadline(ctx, st) {
		err = context.DeadlineExceeded
	}
	if err != nil {
		return via.told(err)
	}
	// The interceptors may keep the payload, so it is theirs.
	resp.Status, resp.Payload = st, f.take(p)
	if extras != nil {
		extras.received(f, resp)
	}
	if own != nil {
		own.returned(resp)
	}
	return nil
}

// newRequestHead takes what the context says of a call. It fails if the
// context has ended, so that no frame is sent for nothing (B16).
func newRequestHead(ctx context.Context, service, method string) (requestHead, error) {
	left, err := timeLeft(ctx)
	h := requestHead{service: service, method: method, timeoutNano: left}
	if md, ok := GetMetadata(ctx); ok {
		h.metadata = keyValues(md)
	}
	return h, err
}

// timeLeft returns the nanoseconds that are left of the context's deadline, 0 if
// it has none. It fails if the context has ended.
func timeLeft(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0, nil
	}
	left := time.Until(deadline)
	if left <= 0 {
		return 0, context.DeadlineExceeded
	}
	return int64(left), nil
}

// requestFrame returns a sealed request; its id is set when it is queued.
func requestFrame(h requestHead, p payload, flags uint8, limit int) (*frame, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	size := h.size(p.size)
	if size > limit {
		return nil, oversized(size, limit)
	}
	f := newOutFrame(size)
	var err error
	if f.data, err = p.append(h.appendFront(f.data, p.size)); err != nil {
		f.release()
		return nil, err
	}
	f.data = h.appendBack(f.data)
	f.seal(messageHeader{Type: messageTypeRequest, Flags: flags})
	return f, nil
}

// responsePayload returns the payload of a response, or its status (B11).
func responsePayload(ctx context.Context, data []byte) ([]byte, error) {
	st, payload, err := parseResponse(data)
	if err != nil {
		return nil, err
	}
	return payload, statusError(ctx, st)
}

// statusError is the error that a status means to the caller. That of a server
// which noticed the caller's own deadline first is the context's (B4).
func statusError(ctx context.Context, st *spb.Status) error {
	switch {
	case st == nil:
		return nil
	case isOwnDeadline(ctx, st):
		return context.DeadlineExceeded
	}
	return status.ErrorProto(st)
}

// isOwnDeadline tells whether a status says that the context's deadline has passed. By the
// clock, that is: the server's timer and the context's are two, and either may be first.
func isOwnDeadline(ctx context.Context, st *spb.Status) bool {
	if codes.Code(st.Code) != codes.DeadlineExceeded || ctx.Err() == context.Canceled {
		return false
	}
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// call sends a request, which it then owns, and waits for the response, which
// is then the caller's.
func (l *link) call(ctx context.Context, service, method string, request *frame) (*frame, error) {
	c := l.conn
	s, ok := l.calls.Get().(*stream)
	if !ok {
		s = &stream{unary: true, done: make(chan struct{}, 1)}
		s.init(c)
		s.about = new(about)
	}
	s.state, s.passed, s.callsBack, s.more = stateUnary, false, false, nil
	s.about.service, s.about.method = service, method
	s.about.deadline, _ = ctx.Deadline()
	reads, err := c.open(ctx, s, request)
	if err != nil {
		return nil, err
	}
	var end func(context.Context, *frame, error)
	if c.cfg.trace != nil {
		end = c.cfg.trace.callBegins(s)
	}
	again := !reads || c.readFor(ctx, s)
	if ended := ctx.Done(); ended == nil {
		<-s.done
	} else {
		select {
		case <-s.done:
		case <-ended:
			c.giveUpCall(ctx, s)
			<-s.done // an answer may have been faster
		}
	}
	response, err := s.result, s.err
	s.result, s.err = nil, nil
	response.join()
	if again {
		l.calls.Put(s)
	}
	if end != nil {
		end(ctx, response, err)
	}
	return response, err
}
