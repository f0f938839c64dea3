// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/internal/wire"
)

const (
	helloService = wire.HelloService
	helloMethod  = wire.HelloMethod
	helloVersion = wire.HelloVersion
)

const (
	noHello       = "the peer has not asked for the extended mode: it is an old or a classic client, or a server, too"
	helloRequired = "the server requires the extended mode"
)

// A hello is what one end tells the other of itself.
type hello = wire.Hello

func parseHello(b []byte) (hello, error) { return wire.ParseHello(b) }

// ourHello returns what this end says of itself.
func ourHello(c *conn) hello {
	_, calls, share := windowsOf(&c.cfg.limits.Queue)
	return hello{
		Version:          helloVersion,
		Files:            c.ch.passes,
		Metadata:         true,
		MaxMessage:       uint64(c.cfg.limits.MessageSize),
		Window:           uint64(share),
		ConnectionWindow: uint64(calls),
		Serves:           c.host != nil,
	}
}

// start implements [extension]. A client may be sent files together with the answer to
// its Hello.
func (e *extensions) start(c *conn) {
	c.ch.passes = c.cfg.limits.Files > 0 && canPassFiles(c.ch) && !closing.isTiedUp()
	switch {
	case c.role == roleServer:
		c.offer = e
		if e.required {
			e.awaitHello(c)
		}
	case c.ch.passes:
		c.ch.more = c.newAssembler(true)
	}
}

// awaitHello ends a connection whose client does not ask for the mode in time.
func (e *extensions) awaitHello(c *conn) {
	timer := time.AfterFunc(c.cfg.timeouts.Handshake, func() {
		c.mu.Lock()
		defer c.unlock()
		if c.mode == nil && c.cause == nil {
			c.cause = &connError{noHello}
			c.warnLocked("ttrpc: connection ended", "error", c.cause)
		}
	})
	c.onEnd(func(error) { timer.Stop() })
}

// offeredLocked implements [extension].
func (e *extensions) offeredLocked(c *conn, f *frame) bool {
	if f.header.StreamID != 1 || acceptedState(f.header.Flags) != stateUnary || !wire.IsHello(f.data) {
		if e.required {
			c.refuseLocked(f, &connError{helloRequired})
		} else {
			e.warnOfClassicLocked(c)
		}
		return e.required
	}
	v, err := parseRequest(f.data)
	var peer hello
	if err == nil {
		peer, err = parseHello(v.payload)
	}
	if err != nil {
		c.replyLocked(f.header.StreamID, status.Newf(codes.InvalidArgument, "ttrpc: malformed Hello: %v", err))
		return true
	}
	x := e.extendLocked(c, peer)
	x.lastPeer = f.header.StreamID
	ours := ourHello(c)
	ours.Metadata = peer.Metadata // who does not know it is told nothing new
	p := ours.Append(nil)
	answer := newOutFrame(sizeResponse(nil, len(p)))
	answer.data = append(appendResponseFront(answer.data, nil, len(p)), p...)
	answer.seal(messageHeader{StreamID: f.header.StreamID, Type: messageTypeResponse})
	x.urgeLocked(answer) // a ping or goodbye must not overtake it
	if e.hook != nil {
		c.after = append(c.after, func() { e.callHook(c) })
	}
	return true
}

// callHook calls the hook of connections, on a goroutine of its own.
func (e *extensions) callHook(c *conn) {
	ctx, end := context.WithCancelCause(c.base)
	c.onEnd(end)
	go e.hook(ctx)
}

// ask implements [extension]. It is the client's first call, for which all others wait.
func (e *extensions) ask(c *conn, call func(context.Context, string, string, *frame) (*frame, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.timeouts.Handshake)
	defer cancel()
	ours := ourHello(c)
	b := ours.Append(nil)
	head := requestHead{service: helloService, method: helloMethod}
	f, err := requestFrame(head, rawPayload(b), 0, c.messageLimit())
	if err == nil {
		f, err = call(ctx, helloService, helloMethod, f)
		f.release()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err := fmt.Errorf("ttrpc: the peer has not answered the Hello for %v, the time of a handshake", c.cfg.timeouts.Handshake)
		c.cfg.log.Error("ttrpc: connection ended", "error", err, "peer", c.nc.RemoteAddr())
		c.close(err)
	case err != nil && c.why() == nil: // else it ends anyway
		c.close(err)
	}
}

// answeredLocked implements [extension]. An error means a peer that does not know the
// mode.
func (e *extensions) answeredLocked(c *conn, f *frame) {
	st, payload, err := parseResponse(f.data)
	if c.blame != nil { // it says that the peer refuses the connection
		c.cause = c.blame
		return
	}
	if st != nil && st.Code == int32(codes.Unavailable) { // and so would all others be
		c.cause = fmt.Errorf("ttrpc: the server takes no calls: %s", st.Message)
		return
	}
	if err != nil || st != nil && st.Code != int32(codes.OK) {
		if a, ok := c.ch.more.(*assembler); ok {
			a.takeFiles(c.ch, false)
		}
		e.warnOfClassicLocked(c)
		return
	}
	peer, err := parseHello(payload)
	if err != nil {
		c.cause = &connError{fmt.Sprintf("malformed answer to Hello: %v", err)}
		return
	}
	e.extendLocked(c, peer)
}

// warnOfClassicLocked tells what the options ask for in vain, on a connection that stays
// classic.
func (e *extensions) warnOfClassicLocked(c *conn) {
	var without []string
	if e.keepalive.Interval > 0 {
		without = append(without, "keep-alive")
	}
	if c.role == roleClient && c.host != nil {
		without = append(without, "client services")
	}
	if without != nil {
		c.warnLocked("ttrpc: the peer does not agree to the extended mode", "without", strings.Join(without, ", "))
	}
}

// extendLocked begins the extended mode. The reader calls it, before it reads
// anything that belongs to it.
func (e *extensions) extendLocked(c *conn, peer hello) *extended {
	limit := min(uint64(c.cfg.limits.MessageSize), peer.MaxMessage, maxMessageCap)
	x := &extended{
		c: c, cfg: e, peer: peer,
		files:  peer.Files && c.ch.passes,
		pass:   sendFiles,
		credit: newCredit(&peer, &c.cfg.limits.Queue),
	}
	x.parts, _ = c.ch.more.(*assembler)
	if x.parts == nil {
		x.parts = c.newAssembler(false)
		c.ch.more = x.parts
	}
	x.parts.agreed = true
	x.parts.takeFiles(c.ch, x.files)
	c.mode, c.deep = x, true
	if c.host == nil {
		c.host = servesNothing{}
	}
	c.limit.Store(int64(limit))
	c.ch.max = int(limit)
	x.keepAliveLocked()
	return x
}
