// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
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

// A hello is what one end tells the other of itself.
type hello = wire.Hello

func parseHello(b []byte) (hello, error) { return wire.ParseHello(b) }

// ourHello returns what this end says of itself.
func (c *conn) ourHello() hello {
	return hello{
		Version:          helloVersion,
		Files:            c.ch.passesFiles(),
		MaxMessage:       uint64(c.cfg.maxMessage),
		Window:           uint64(c.cfg.queue.Window),
		ConnectionWindow: uint64(c.cfg.queue.ConnectionBytes),
		Serves:           c.serve != nil,
	}
}

// isHello tells whether a request asks for the extended mode.
func (c *conn) isHello(f *frame) bool {
	return f.header.StreamID == 1 && c.role == roleServer && !c.asked && !c.cfg.classic &&
		acceptedState(f.header.Flags) == stateUnary && wire.IsHello(f.data)
}

// answerHelloLocked begins the extended mode at the server.
func (c *conn) answerHelloLocked(f *frame) {
	v, err := parseRequest(f.data)
	var peer hello
	if err == nil {
		peer, err = parseHello(v.payload)
	}
	if err != nil {
		c.replyLocked(f.header.StreamID, status.Newf(codes.InvalidArgument, "ttrpc: malformed Hello: %v", err))
		return
	}
	c.extendLocked(peer)
	c.ext.lastPeer = f.header.StreamID
	ours := c.ourHello()
	p := ours.Append(nil)
	answer := newOutFrame(sizeResponse(nil, len(p)))
	answer.data = append(appendResponseFront(answer.data, nil, len(p)), p...)
	answer.seal(messageHeader{StreamID: f.header.StreamID, Type: messageTypeResponse})
	c.urgeLocked(answer) // a ping or goodbye must not overtake it
	if c.hooks.agreed != nil {
		c.hooks.agreed(c)
	}
}

// sayHello asks the server for the extended mode. It is the client's first call,
// for which all others wait.
func (c *conn) sayHello(timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	ours := c.ourHello()
	b := ours.Append(nil)
	head := requestHead{service: helloService, method: helloMethod}
	f, err := requestFrame(head, payload{encodedMessage(b), len(b)}, 0, c.messageLimit())
	if err == nil {
		f, err = c.call(ctx, helloService, helloMethod, f)
		f.release()
	}
	switch {
	case err == context.DeadlineExceeded:
		c.close(errors.New("ttrpc: the peer has not answered the Hello"))
	case err != nil:
		c.close(err)
	}
}

// asksHello tells whether a client's stream asks for the extended mode.
func (c *conn) asksHello(s *stream) bool {
	return s.id == 1 && c.role == roleClient && c.cfg.extends && c.ext == nil
}

// heardHelloLocked begins the extended mode at the client if the server agrees. An
// error means a peer that does not know it.
func (c *conn) heardHelloLocked(f *frame) {
	st, payload, err := parseResponse(f.data)
	if err != nil || st != nil && st.Code != int32(codes.OK) {
		return
	}
	peer, err := parseHello(payload)
	if err != nil {
		c.cause = &connError{fmt.Sprintf("malformed answer to Hello: %v", err)}
		return
	}
	c.extendLocked(peer)
}
