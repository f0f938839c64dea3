// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// StreamDesc describes a stream to [Client.NewStream].
type StreamDesc struct {
	StreamingClient bool // the client may send any number of messages, else it sends one
	StreamingServer bool // the server may send any number of messages, else it returns one
}

// A ClientStream is a client's end of a stream. SendMsg, CloseSend and RecvMsg
// may run concurrently with each other, but none of them with itself.
//
// A stream ends when the server ends it, the context given to NewStream ends
// or the connection ends; nothing needs to be done to release it. Classic
// ttrpc has no cancellation: a server learns nothing of the context's end.
type ClientStream interface {
	// CloseSend tells the server that no more messages follow. If the client has called
	// it before it returns ErrStreamClosed; if the client does not stream, an error that
	// wraps ErrProtocol; if the stream has ended, what SendMsg would.
	CloseSend() error

	// SendMsg sends a message; nil sends an empty one. It returns once the message is
	// encoded and queued, and waits if much is queued. It keeps no reference to m.
	//
	// The error is ErrStreamClosed after CloseSend; an *OversizedMessageErr, and then
	// nothing was sent and the stream goes on; one that wraps ErrProtocol if the client
	// does not stream; that of the encoding; ErrClosed if the connection has ended; or the
	// context's error if that has. Where errors are statuses, it is that of one of these,
	// see [Client.Call].
	//
	// Once the server has ended the stream, messages are dropped: in extended mode with
	// the error io.EOF, on classic connections without any. RecvMsg tells how the stream
	// has ended. If it has ended because the context's deadline has passed, the error is the
	// context's, whoever noticed that first. See [Within], too.
	SendMsg(m any) error

	// RecvMsg waits for the server's next message and decodes it into m, whose old content
	// is dropped. At the end of the stream it returns, now and each time that it is called
	// again, io.EOF as it is, if the server ended the stream with success; else the
	// server's status, ErrClosed, or the context's error. Where errors are statuses, it is
	// that of one of these, see [Client.Call].
	RecvMsg(m any) error
}

// NewStream opens a stream. req is the request message if the client does not
// stream, and may be nil for an empty one; if the client does stream, req is
// nil, or a first message. The context's deadline and metadata go along, and
// its end ends the stream.
//
// NewStream does not wait for the server: what is wrong there, an unknown
// method for example, RecvMsg tells. Its own errors are Call's.
func (c *Client) NewStream(ctx context.Context, desc *StreamDesc, service, method string, req any) (ClientStream, error) {
	if c.config == nil {
		return nil, ErrClosed
	}
	ctx, extras, err := beginExtras(ctx)
	if err != nil {
		return nil, c.via.told(err)
	}
	if extras != nil {
		defer extras.end()
	}
	if err := c.via.await(ctx); err != nil {
		return nil, err
	}
	open := func(ctx context.Context, desc *StreamDesc, fullMethod string) (ClientStream, error) {
		service, method := service, method
		if i := strings.LastIndexByte(fullMethod, '/'); i > 0 {
			service, method = fullMethod[1:i], fullMethod[i+1:]
		}
		ctx, own, err := beginExtras(ctx)
		if err != nil {
			return nil, c.via.told(err)
		}
		if own == nil {
			return c.via.openStream(ctx, desc, service, method, req, extras)
		}
		defer own.end()
		return c.via.openStream(ctx, desc, service, method, req, own.over(extras))
	}
	if c.config.stream != nil {
		return c.config.stream(ctx, desc, fullPath(service, method), open)
	}
	return c.via.openStream(ctx, desc, service, method, req, extras)
}

// openStream implements [connector].
func (l *link) openStream(ctx context.Context, desc *StreamDesc, service, method string, req any, extras callerExtras) (ClientStream, error) {
	cs, err := l.open(ctx, desc, service, method, req, extras)
	if err != nil {
		return nil, l.told(err)
	}
	return cs, nil
}

func (l *link) open(ctx context.Context, desc *StreamDesc, service, method string, req any, extras callerExtras) (*clientStream, error) {
	head, err := newRequestHead(ctx, service, method)
	if err != nil {
		return nil, err
	}
	p, err := l.cfg.codec.measureOrNil(req)
	if err != nil {
		return nil, err
	}
	// 0x4 tells apart "no message yet" and "an empty message" (B36).
	flags := flagRemoteClosed
	if desc.StreamingClient {
		flags = flagRemoteOpen
		if p.size == 0 {
			flags |= flagNoData
		}
	}
	f, err := requestFrame(head, p, flags, l.conn.messageLimit())
	if err != nil {
		return nil, err
	}
	cs := &clientStream{link: l, ctx: ctx, desc: *desc, extras: extras}
	if cs.extras != nil {
		if err := cs.extras.attach(l.conn, f); err != nil {
			f.release()
			return nil, err
		}
	}
	s := &cs.stream
	s.init(l.conn)
	s.inbox = &cs.box
	s.inbox.init(l.conn)
	s.state, s.streams = stateOpen, desc.StreamingServer
	cs.names.service, cs.names.method = service, method
	cs.names.deadline, _ = ctx.Deadline()
	s.about = &cs.names
	if _, err := l.conn.open(ctx, s, f); err != nil {
		return nil, err
	}
	if t := l.conn.cfg.trace; t != nil {
		t.streamBegins(s, desc.StreamingClient)
	}
	if ctx.Done() != nil {
		cs.watch()
	}
	if desc.StreamingClient && req != nil && p.size == 0 {
		// No request can tell of an empty message. How the stream has ended is for RecvMsg to say.
		if err := cs.SendMsg(nil); err != nil && err != io.EOF {
			return nil, err
		}
	}
	return cs, nil
}

// A clientStream is a stream as its client sees it.
type clientStream struct {
	stream
	link   *link
	ctx    context.Context
	desc   StreamDesc
	extras callerExtras // or nil
	names  about        // is stream.about
	box    inbox        // is stream.inbox
}

// watch ends the stream when its context ends.
func (cs *clientStream) watch() {
	c, s := cs.conn, &cs.stream
	stop := afterFunc(cs.ctx, func() { c.giveUpCall(cs.ctx, s) })
	c.mu.Lock()
	active := s.isActive()
	if active {
		s.unwatch = stop
	}
	c.mu.Unlock()
	if !active {
		stop()
	}
}

// CloseSend implements [ClientStream].
func (cs *clientStream) CloseSend() error { return cs.link.told(cs.closeSend()) }

// SendMsg implements [ClientStream].
func (cs *clientStream) SendMsg(m any) error { return cs.link.told(cs.sendMsg(m)) }

// RecvMsg implements [ClientStream].
func (cs *clientStream) RecvMsg(m any) error { return cs.link.told(cs.recvMsg(m)) }

func (cs *clientStream) closeSend() error {
	if !cs.desc.StreamingClient {
		return fmt.Errorf("%w: cannot close non-streaming client", ErrProtocol)
	}
	return cs.conn.send(context.Background(), &cs.stream, closeFrame(0), true)
}

func (cs *clientStream) sendMsg(m any) error {
	if !cs.desc.StreamingClient {
		return fmt.Errorf("%w: cannot send data from non-streaming client", ErrProtocol)
	}
	ctx, m, err := unbound(m)
	if err != nil {
		return err
	}
	f, err := cs.conn.dataFrame(m)
	if err != nil {
		return err
	}
	return cs.conn.send(ctx, &cs.stream, f, false)
}

func (cs *clientStream) recvMsg(m any) error {
	ctx, m, err := unbound(m)
	if err != nil {
		return err
	}
	f, err := cs.take(ctx)
	if err != nil {
		return err
	}
	defer f.release()
	if f.header.Type == messageTypeData {
		return cs.conn.decodeData(&cs.stream, f, m, cs.conn.cfg.codec.decode)
	}
	f.join()
	if cs.extras != nil { // and not the message's own
		cs.extras.received(f, nil)
	}
	payload, err := responsePayload(cs.ctx, f.data)
	raw := rawOf(m)
	refused := cs.conn.turnedAway(f)
	switch {
	case refused != nil:
		err = refused
	case err != nil:
	case cs.desc.StreamingServer && len(payload) == 0 && raw == nil:
		err = io.EOF // a server that says success with a response
	default:
		err = decodeMessage(f, payload, m, cs.conn.cfg.codec.decode)
	}
	if err != nil {
		cs.inbox.close(err, true)
	} else if raw != nil {
		raw.EndsStream = true
	}
	return err
}

// dataFrame returns a sealed data frame that carries a message, with what it has beside
// its encoding.
func (c *conn) dataFrame(m any) (*frame, error) {
	if extra, ok := m.(extraMessage); ok {
		return extra.dataFrame(c)
	}
	return c.cfg.codec.dataFrame(m, c.messageLimit())
}

// decodeData decodes a data frame that the stream's receiver has taken into m.
func (c *conn) decodeData(s *stream, f *frame, m any, decode func(*frame, []byte, any) error) error {
	if c.mode != nil {
		c.mode.consumed(s, f)
	}
	f.join()
	return decodeMessage(f, f.data, m, decode)
}

// decodeMessage decodes b, which came in the frame f, into m.
func decodeMessage(f *frame, b []byte, m any, decode func(*frame, []byte, any) error) error {
	extra, ok := m.(extraMessage)
	if !ok {
		return decode(f, b, m)
	}
	err := decode(f, b, extra.message())
	if err != nil {
		f = nil
	}
	extra.received(f)
	return err
}
